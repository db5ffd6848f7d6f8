//! The choice of routes, as clients and operators see it.

use http::StatusCode;
use lintel::config::{self, Environment};
use serde_json::Value;

use crate::support::{Gateway, user};

const BARE: &str = "amazon.nova-2-lite-v1:0";

fn of(model: &str) -> Value {
    let mut request = user("Hi");
    request["model"] = model.into();
    request
}

#[tokio::test]
async fn first_route_of_a_model_has_no_reason() {
    let settings = "[models.fixed]\ntarget = \"amazon.nova-lite-v1:0\"\napi = \"converse\"\n";
    let gateway = Gateway::start_with(settings).await;
    for (model, route) in [
        ("nova", "converse"),
        ("fixed", "converse; reason=configured"),
    ] {
        let reply = gateway.chat(&of(model)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-lintel-route"), Some(route), "{model}");
    }
}

#[tokio::test]
async fn model_without_a_supported_route_is_not_found() {
    let settings =
        "[models.spoken]\ntarget = \"amazon.nova-lite-v1:0\"\nfacts = { routes = [\"bidi\"] }\n";
    let gateway = Gateway::start_with(settings).await;
    let reply = gateway.chat(&of("spoken")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let error = reply.error();
    assert_eq!(error["code"], "model_not_found");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("bidi"), "{message}");
    assert_eq!(gateway.simulator.received().len(), 0);
}

/// Bedrock rejected the bare id.
#[tokio::test]
async fn bare_id_is_called_through_the_profile_of_its_geography() {
    let gateway = Gateway::start().await;
    let reply = gateway.any(&of(BARE)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(
        gateway
            .sent()
            .path
            .starts_with("/model/us.amazon.nova-2-lite-v1")
    );
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("us.amazon.nova-2-lite-v1:0")
    );
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("model: called as 'us.amazon.nova-2-lite-v1:0'"),
        "{warnings}"
    );
    let bare = reply.json()["usage"]["cost"].clone();
    let reply = gateway.any(&of(&format!("us.{BARE}"))).await;
    assert_eq!(reply.json()["usage"]["cost"], bare);
}

#[tokio::test]
async fn residency_can_require_the_bare_id() {
    let simulator = crate::support::simulator();
    let address = crate::support::serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"\nresidency = \"au\"");
    let gateway = Gateway::start_at(simulator, &aws, "").await;
    gateway.any(&of(BARE)).await;
    assert!(
        gateway
            .sent()
            .path
            .starts_with("/model/amazon.nova-2-lite-v1")
    );
}

#[test]
fn settings_of_routes_are_checked() {
    let parse = |aws: &str, model: &str| {
        let text = format!(
            "[aws]\nregion = \"us-east-1\"\n{aws}\n[models.a]\n{model}\n[keys.k]\nsecret_env = \"KEY\""
        );
        let secret = "sk-0123456789abcdef0123456789abcdef".to_owned();
        let environment = Environment {
            variables: vec![("KEY".to_owned(), secret)],
            flags: Vec::new(),
        };
        config::parse(&text, &environment, None)
    };
    let nova = "target = \"amazon.nova-lite-v1:0\"";
    for (aws, model, problem) in [
        (
            "mantle = \"on\"",
            nova.to_owned(),
            "aws.mantle: 'on' is not",
        ),
        (
            "residency = \"mars\"",
            nova.to_owned(),
            "aws.residency: 'mars' is not",
        ),
        (
            "",
            format!("{nova}\napi = \"soap\""),
            "models.a.api: 'soap' is not",
        ),
        (
            "",
            format!("{nova}\napi = \"mantle\""),
            "models.a.api: the route 'mantle_chat' does not serve this model; Bedrock serves it on: converse, invoke",
        ),
        (
            "",
            "target = \"xai.grok-4.3\"\napi = \"converse\"".to_owned(),
            "models.a.api: the route 'converse' does not serve this model",
        ),
        (
            "",
            "target = \"amazon.titan-embed-text-v2:0\"\napi = \"converse\"".to_owned(),
            "models.a.api: must be \"auto\" or \"invoke\"",
        ),
    ] {
        let problems = parse(aws, &model).unwrap_err();
        let found = problems.iter().any(|one| one.to_string().contains(problem));
        assert!(found, "{problem} is not in {problems:?}");
    }
    let (config, _) = parse("residency = \"geo\"", &format!("target = \"{BARE}\"")).unwrap();
    let warnings = config::warnings(&config).join("\n");
    let expected = "is available only through an inference profile, so it is called as us.amazon";
    assert!(warnings.contains(expected), "{warnings}");
    let (config, _) = parse("residency = \"au\"", &format!("target = \"{BARE}\"")).unwrap();
    let warnings = config::warnings(&config).join("\n");
    assert!(
        warnings.contains("none fits its region and aws.residency"),
        "{warnings}"
    );
}
