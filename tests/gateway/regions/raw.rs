//! Bedrock ids that no model is configured for, with the regions of `[defaults]`.

use http::StatusCode;

use crate::support::regions::{Regions, ask, failure};

const DEFAULTS: &str = r#"
    [defaults]
    max_tokens = 100
    regions = ["us-east-1", "eu-west-1", "us-west-2"]
"#;

#[tokio::test]
async fn raw_id_moves_to_the_next_of_the_default_regions() {
    let regions = Regions::start(DEFAULTS).await;
    for (id, expected) in [
        ("amazon.nova-pro-v1:0", "eu-west-1"),
        ("us.amazon.nova-premier-v1:0", "us-west-2"),
    ] {
        regions
            .east
            .script(failure(503, "ServiceUnavailableException"));
        let reply = regions.gateway.any(&ask(id, "Hi")).await;
        assert_eq!(reply.status, StatusCode::OK, "{id}: {}", reply.text());
        assert_eq!(reply.header("x-lintel-region"), Some(expected), "{id}");
        assert_eq!(reply.header("x-lintel-attempts"), Some("2"), "{id}");
    }
}

/// It is another spelling of the model, so it has its region.
#[tokio::test]
async fn raw_id_of_a_configured_model_has_the_regions_of_that_model() {
    let regions = Regions::start(
        r#"
        [models.pro]
        target = "amazon.nova-pro-v1:0"
        regions = ["us-west-2", "us-east-1"]
        "#,
    )
    .await;
    let reply = regions
        .gateway
        .any(&ask("us.amazon.nova-pro-v1:0", "Hi"))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"));
}
