//! What the endpoint receives.

use http::StatusCode;
use serde_json::{Value, json};

use super::{answered, ask, gateway, last, tools, with};
use crate::support::Gateway;

#[tokio::test]
async fn model_has_the_id_the_path_and_the_signature_of_its_host() {
    let gateway = gateway().await;
    for (model, path, id, service, route) in [
        (
            "gpt",
            "/openai/v1/responses",
            "us.openai.gpt-6-sol",
            "/bedrock/",
            "responses; reason=configured",
        ),
        (
            "daybreak",
            "/openai/v1/responses",
            "openai.gpt-daybreak-blue-5.6-sol",
            "/bedrock-mantle/",
            "mantle_responses; reason=only_route",
        ),
        (
            "gemma",
            "/openai/v1/responses",
            "google.gemma-4-31b",
            "/bedrock-mantle/",
            "mantle_responses; reason=configured",
        ),
        (
            "oss",
            "/v1/responses",
            "openai.gpt-oss-120b",
            "/bedrock-mantle/",
            "mantle_responses; reason=configured",
        ),
    ] {
        let reply = answered(&gateway, &ask(model, "Hi")).await;
        assert_eq!(reply.content(), "You said: Hi", "{model}");
        assert_eq!(reply.header("x-lintel-route"), Some(route), "{model}");
        let (sent_path, body) = last(&gateway);
        assert_eq!(
            (sent_path.as_str(), body["model"].as_str()),
            (path, Some(id)),
            "{model}"
        );
        let received = gateway.simulator.received().pop().unwrap();
        let authorization = received.headers["authorization"].to_str().unwrap();
        assert!(authorization.contains(service), "{model}: {authorization}");
        assert_eq!(body["store"], false, "{model}");
    }
}

/// The other route of GPT-5.4 cannot reason when it has tools.
#[tokio::test]
async fn tools_with_reasoning_go_by_responses() {
    let gateway = gateway().await;
    let plain = answered(&gateway, &ask("gpt5", "Hi")).await;
    assert_eq!(plain.header("x-lintel-route"), Some("mantle_chat"));
    let request = with(ask("gpt5", "use look"), "tools", tools());
    let reply = answered(&gateway, &request).await;
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("mantle_responses; reason=tools_with_reasoning")
    );
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn output_is_always_limited_to_sixteen_tokens_or_more() {
    let gateway = gateway().await;
    for model in ["gpt", "gemma", "oss"] {
        for (asked, sent) in [(None, 4096), (Some(50), 50), (Some(3), 16)] {
            let request = match asked {
                Some(tokens) => with(ask(model, "Hi"), "max_tokens", tokens),
                None => ask(model, "Hi"),
            };
            let reply = answered(&gateway, &request).await;
            assert_eq!(last(&gateway).1["max_output_tokens"], sent, "{model}");
            let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
            assert_eq!(
                warnings.contains("max_tokens: 3 was sent as 16"),
                sent == 16,
                "{model}"
            );
        }
    }
}

#[tokio::test]
async fn sampling_parameters_are_dropped_with_a_warning() {
    let gateway = gateway().await;
    let sampled = |model| {
        let request = with(ask(model, "one END two"), "temperature", 0.5);
        with(with(with(request, "top_p", 1.0), "seed", 3), "stop", "END")
    };
    let reply = answered(&gateway, &sampled("gpt")).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    for member in ["temperature: ignored", "seed: ignored"] {
        assert!(warnings.contains(member), "{warnings}");
    }
    assert!(
        !warnings.contains("top_p"),
        "1 is the default of the model: {warnings}"
    );
    assert_eq!(reply.content(), "You said: one ", "the text is cut");
    let (_, body) = last(&gateway);
    for member in ["temperature", "top_p", "seed", "stop"] {
        assert!(body[member].is_null(), "{body}");
    }
    let refused = gateway.chat(&sampled("frugal")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn reasoning_has_an_effort_a_summary_and_encrypted_content() {
    let gateway = gateway().await;
    answered(
        &gateway,
        &with(ask("gpt", "Hi"), "reasoning_effort", "high"),
    )
    .await;
    let (_, body) = last(&gateway);
    assert_eq!(
        body["reasoning"],
        json!({"effort": "high", "summary": "auto"})
    );
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    let reply = answered(
        &gateway,
        &with(ask("gpt", "Hi"), "reasoning_effort", "none"),
    )
    .await;
    let (_, body) = last(&gateway);
    assert_eq!(body["reasoning"], json!({"effort": "none"}));
    assert!(body["include"].is_null());
    let message = &reply.json()["choices"][0]["message"];
    assert!(message["reasoning_content"].is_null(), "{message}");
    for model in ["gpt", "daybreak", "gemma", "oss"] {
        let request = with(ask(model, "Hi"), "reasoning_effort", "low");
        let reply = answered(&gateway, &request).await.json();
        let shown = reply["choices"][0]["message"]["reasoning_content"]
            .as_str()
            .unwrap();
        assert_eq!(
            shown.replace("\n\n", " "),
            "The user said something. I repeat it.",
            "{model}"
        );
        let tokens = &reply["usage"]["completion_tokens_details"]["reasoning_tokens"];
        assert_eq!(*tokens, 7, "{model}");
    }
}

#[tokio::test]
async fn image_is_a_data_url_and_a_document_is_rejected() {
    let gateway = gateway().await;
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let content = json!([
        {"type": "text", "text": "before"},
        {"type": "image_url", "image_url": {"url": png}},
    ]);
    let request = json!({"model": "gpt", "messages": [{"role": "user", "content": content}]});
    answered(&gateway, &request).await;
    let expected = json!([
        {"type": "input_text", "text": "before"},
        {"type": "input_image", "image_url": png, "detail": "auto"},
    ]);
    assert_eq!(last(&gateway).1["input"][0]["content"], expected);
    let file = json!([{"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}}]);
    let request = json!({"model": "gpt", "messages": [{"role": "user", "content": file}]});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.error()["code"], "unsupported_parameter");
    assert_eq!(reply.error()["param"], "messages[0].content[0]");
}

/// Both hosts ignore guardrails, so a request that needs one is never sent.
#[tokio::test]
async fn guardrail_rules_the_route_out() {
    let gateway = gateway().await;
    let own = json!({"guardrail": {"identifier": "abc123", "version": "1"}});
    for model in ["gpt", "daybreak"] {
        let request = with(ask(model, "Hi"), "bedrock", own.clone());
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
        assert_eq!(reply.error()["code"], "unsupported_parameter");
    }
    assert!(gateway.simulator.received().is_empty());
    // Where the gateway chooses, it chooses another route.
    let settings = "[models.auto]\ntarget = \"us.openai.gpt-6-sol\"\n";
    let gateway = Gateway::start_with(settings).await;
    let reply = answered(&gateway, &with(ask("auto", "Hi"), "bedrock", own)).await;
    assert_eq!(reply.header("x-lintel-route"), Some("chat"));
}

#[tokio::test]
async fn tier_is_sent_only_where_it_is_offered() {
    let gateway = gateway().await;
    let flex = |model| with(ask(model, "Hi"), "service_tier", "flex");
    let rejected = gateway.chat(&flex("gpt")).await;
    assert_eq!(rejected.error()["param"], "service_tier");
    let reply = answered(&gateway, &flex("gemma")).await.json();
    assert_eq!(last(&gateway).1["service_tier"], "flex");
    assert_eq!(reply["service_tier"], "flex");
}

#[tokio::test]
async fn schema_is_enforced_by_the_endpoint() {
    let gateway = gateway().await;
    let schema = json!({"type": "object", "properties": {"z": {"type": "integer"}, "a": {"type": "string"}}, "required": ["z", "a"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}});
    for stream in [false, true] {
        let request = with(ask("gpt", "Hi"), "response_format", format.clone());
        let reply = answered(&gateway, &with(request, "stream", stream)).await;
        assert_eq!(reply.content(), r#"{"z":1,"a":"a"}"#);
        let sent = &last(&gateway).1["text"]["format"];
        let expected =
            json!({"type": "json_schema", "name": "answer", "schema": schema, "strict": true});
        assert_eq!(*sent, expected);
        assert_eq!(
            sent["schema"].to_string(),
            schema.to_string(),
            "in the client's order"
        );
    }
}

#[tokio::test]
async fn additional_members_that_cost_or_store_are_rejected() {
    let gateway = gateway().await;
    let own = |fields: Value| json!({"additional_model_request_fields": fields});
    for name in [
        "store",
        "previous_response_id",
        "tools",
        "background",
        "max_output_tokens",
    ] {
        let fields = own(json!({name: 1}));
        let reply = gateway
            .chat(&with(ask("gpt", "Hi"), "bedrock", fields))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
    }
    assert!(gateway.simulator.received().is_empty());
    let fields = own(json!({"parallel_tool_calls": false}));
    answered(&gateway, &with(ask("gpt", "Hi"), "bedrock", fields)).await;
    assert_eq!(last(&gateway).1["parallel_tool_calls"], false);
}
