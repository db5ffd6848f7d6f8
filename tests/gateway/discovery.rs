//! `GET /v1/models` with the models of the AWS account.

use std::{collections::BTreeSet, sync::Arc};

use axum::body::Body;
use http::{Request, StatusCode};
use lintel::{
    call::Secret,
    upstream::{AwsSettings, Clients, Discovery, Endpoints},
};
use serde_json::{Value, json};

use crate::support::{ANY_KEY, Gateway, money::of, serve, simulator, user};

const PROFILE: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/team";
const PROVISIONED: &str = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefabcdef";
const IMPORTED: &str = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcabcabcabc";
const DEPLOYED: &str =
    "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/fedcbafedcba";
const ELSEWHERE: &str = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/eu";

fn foundation(id: &str) -> String {
    format!("arn:aws:bedrock:us-east-1::foundation-model/{id}")
}

async fn start(more: &str) -> Gateway {
    let gateway = Gateway::start_with(more).await;
    let nova = foundation("amazon.nova-lite-v1:0");
    let custom = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/abcabcabcabc";
    for (arn, model) in [
        (PROFILE, nova.as_str()),
        (PROVISIONED, &nova),
        (IMPORTED, IMPORTED),
        (DEPLOYED, custom),
        (custom, &nova),
        (ELSEWHERE, &nova),
    ] {
        gateway.simulator.describe(arn, model);
    }
    gateway
}

async fn list_as(gateway: &Gateway, key: &str) -> Vec<Value> {
    let request = Request::get(format!("http://{}/v1/models", gateway.data))
        .header("authorization", format!("Bearer {key}"));
    let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["data"].as_array().unwrap().clone()
}

fn ids(models: &[Value]) -> BTreeSet<&str> {
    models
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect()
}

fn find<'a>(models: &'a [Value], id: &str) -> &'a Value {
    models
        .iter()
        .find(|model| model["id"] == id)
        .unwrap_or_else(|| panic!("{id} is not listed"))
}

#[tokio::test]
async fn models_of_the_account_are_listed_with_their_facts() {
    let gateway = start("").await;
    let models = list_as(&gateway, ANY_KEY).await;
    let nova = find(&models, "amazon.nova-lite-v1:0");
    assert_eq!(nova["source"], "foundation_model");
    assert_eq!(nova["name"], "Nova Lite");
    assert_eq!(nova["routes"], json!(["converse", "invoke"]));
    assert_eq!(nova["output_modalities"], json!(["text"]));
    assert!(nova["context_window"].as_u64().unwrap() > 100_000);
    assert!(nova["price"]["input"].is_number());
    let embed = find(&models, "cohere.embed-v4:0");
    assert_eq!(embed["output_modalities"], json!(["embedding"]));
    assert_eq!(embed["routes"], json!(["invoke"]));
    let haiku = find(&models, "us.anthropic.claude-haiku-4-5-20251001-v1:0");
    assert_eq!(haiku["source"], "inference_profile");
    assert_eq!(haiku["profile"], "us");
    assert_eq!(
        haiku["base_model"],
        "anthropic.claude-haiku-4-5-20251001-v1:0"
    );
    let old = find(&models, "anthropic.claude-3-haiku-20240307-v1:0");
    assert_eq!(old["lifecycle"]["eol"], "2027-03-10");
    // The catalog does not know it, so AWS's list is the only source.
    let new = find(&models, "somebody.new-v1:0");
    assert_eq!(new["input_modalities"], json!(["text", "image"]));
    for (arn, source) in [
        (PROFILE, "application_profile"),
        (PROVISIONED, "provisioned"),
        (DEPLOYED, "custom_deployment"),
    ] {
        let model = find(&models, arn);
        assert_eq!(model["source"], source);
        assert_eq!(model["base_model"], "amazon.nova-lite-v1:0", "{arn}");
        assert_eq!(model["owned_by"], "bedrock");
        assert!(model["price"]["input"].is_number(), "{arn}");
    }
    assert_eq!(find(&models, IMPORTED)["source"], "imported");
    let all = ids(&models);
    assert_eq!(all.len(), models.len(), "each id is listed once");
    for hidden in [
        "somebody.paint-v1:0",
        "amazon.nova-lite-v1:0:300k",
        "anthropic.claude-sonnet-5-5",
        ELSEWHERE,
    ] {
        assert!(!all.contains(hidden), "{hidden} cannot be called");
    }
    assert_eq!(gateway.simulator.describes(), 0, "no ARN is looked up");
    let listed = gateway.simulator.listed();
    assert!(
        listed.iter().any(|path| path.contains("nextToken")),
        "{listed:?}"
    );
}

#[tokio::test]
async fn every_listed_id_can_be_called() {
    let gateway = start("").await;
    for model in list_as(&gateway, ANY_KEY).await {
        if model["routes"] == json!(["converse"]) {
            let id = model["id"].as_str().unwrap();
            let reply = gateway.any(&of(id, user("Hi"))).await;
            assert_eq!(reply.status, StatusCode::OK, "{id}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn only_keys_that_may_use_raw_ids_see_models_that_are_not_configured() {
    let gateway = start("").await;
    let models = list_as(&gateway, crate::support::KEY).await;
    assert!(models.iter().all(|model| model.get("source").is_none()));
    assert!(
        gateway.simulator.listed().is_empty(),
        "nothing is asked for them"
    );
    let models = list_as(&gateway, "sk-test-some").await;
    assert_eq!(
        ids(&models),
        BTreeSet::from(["nova", "us.amazon.nova-2-lite-v1:0"])
    );
    for settings in ["[defaults]\nraw_model_ids = false", ""] {
        let off = match settings {
            "" => Gateway::start_at(simulator(), "discovery = false", "").await,
            settings => Gateway::start_at(simulator(), settings, "").await,
        };
        let models = list_as(&off, ANY_KEY).await;
        assert!(
            models.iter().all(|model| model.get("source").is_none()),
            "{settings}"
        );
    }
}

#[tokio::test]
async fn listed_id_of_a_configured_model_has_that_models_settings() {
    let own = "[models.own]\ntarget = \"anthropic.claude-3-haiku-20240307-v1:0\"\nmax_tokens = 77\n\
               price = { input = 9.0, output = 9.0 }\nlimits = { requests_per_minute = 5 }\n";
    let gateway = start(own).await;
    let haiku = "anthropic.claude-3-haiku-20240307-v1:0";
    let profile = PROFILE.replace("team", "haiku");
    gateway.simulator.describe(&profile, &foundation(haiku));
    let models = list_as(&gateway, ANY_KEY).await;
    for id in [haiku, &profile] {
        let model = find(&models, id);
        assert_eq!(model["price"]["input"], 9.0, "{id}");
        assert_eq!(model["default_max_tokens"], 77, "{id}");
    }
}

#[tokio::test]
async fn list_that_the_role_may_not_read_hides_only_its_own_models() {
    let gateway = start("").await;
    gateway
        .simulator
        .fail_list("/inference-profiles", Some(403));
    gateway.simulator.fail_list("/foundation-models", Some(500));
    let models = list_as(&gateway, ANY_KEY).await;
    let all = ids(&models);
    assert!(all.contains("claude") && all.contains(PROVISIONED) && all.contains(IMPORTED));
    assert!(!all.contains(PROFILE) && !all.contains("amazon.nova-lite-v1:0"));
    let path = format!("/v1/models/{}", PROVISIONED.replace(':', "%3A"));
    let request = Request::get(format!("http://{}{path}", gateway.data))
        .header("authorization", format!("Bearer {ANY_KEY}"));
    let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.json()["source"], "provisioned");
}

#[tokio::test]
async fn models_of_a_list_that_fails_later_stay() {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let settings = AwsSettings {
        endpoints: Endpoints::of_bedrock(&format!("http://{address}")),
        static_credentials: Some(("simulator".into(), Secret::new("simulator"))),
        ..AwsSettings::default()
    };
    let region = "us-east-1".to_owned();
    let clients = Arc::new(Clients::new(settings, region.clone(), [region.clone()]));
    let discovery = Discovery::new(clients, region, true);
    assert!(discovery.refresh().await.is_empty());
    let before = discovery.models().await;
    assert!(!before.is_empty());
    for status in [403, 500, 400] {
        for path in ["/foundation-models", "/inference-profiles", "/v1/models"] {
            simulator.fail_list(path, Some(status));
        }
        let failures = discovery.refresh().await;
        assert_eq!(failures.len(), 4, "{failures:?}");
        assert_eq!(failures[0].action, "bedrock:ListFoundationModels");
        assert_eq!(discovery.models().await, before, "{status}");
    }
}

#[tokio::test]
async fn models_that_only_mantle_serves_are_listed() {
    let gateway = start("").await;
    // Nobody waits for this list.
    let is_listed = async || ids(&list_as(&gateway, ANY_KEY).await).contains("xai.grok-4.3");
    gateway.until(is_listed).await;
    let models = list_as(&gateway, ANY_KEY).await;
    for (id, routes) in [
        (
            "google.gemma-4-31b",
            json!(["mantle_chat", "mantle_responses"]),
        ),
        ("xai.grok-4.3", json!(["mantle_chat", "mantle_responses"])),
        ("openai.gpt-5.4", json!(["mantle_chat", "mantle_responses"])),
        ("anthropic.claude-mythos-5", json!(["mantle_messages"])),
    ] {
        let model = find(&models, id);
        assert_eq!(model["source"], "mantle", "{id}");
        assert_eq!(model["routes"], routes, "{id}");
        let reply = gateway.any(&of(id, user("Hi"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{id}: {}", reply.text());
    }
    let all = ids(&models);
    for hidden in [
        "openai.gpt-oss-120b",
        "qwen.qwen3-next-80b-a3b-instruct",
        "somebody.mantle-only",
    ] {
        assert!(!all.contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn mantle_is_not_asked_if_it_is_off_and_its_failure_hides_only_its_models() {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"\nmantle = \"off\"");
    let off = Gateway::start_at(simulator, &aws, "").await;
    let models = list_as(&off, ANY_KEY).await;
    assert!(ids(&models).contains("amazon.nova-lite-v1:0"));
    let listed = off.simulator.listed();
    assert!(
        !listed.iter().any(|path| path.contains("/v1/models")),
        "{listed:?}"
    );
    let gateway = start("").await;
    gateway.simulator.fail_list("/v1/models", Some(403));
    list_as(&gateway, ANY_KEY).await;
    let is_asked = async || {
        gateway
            .simulator
            .listed()
            .iter()
            .any(|path| path.contains("/v1/models"))
    };
    gateway.until(is_asked).await;
    let models = list_as(&gateway, ANY_KEY).await;
    let all = ids(&models);
    assert!(all.contains("amazon.nova-lite-v1:0") && !all.contains("xai.grok-4.3"));
}
