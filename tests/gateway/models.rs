//! Settings of models: prices, facts, guardrails, remote media and timeouts.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{Gateway, streamed, user};

const SETTINGS: &str = r#"
[remote_media]
hosts = ["*"]
s3 = ["s3://public/*"]
allow_http = true
[models.guarded]
target = "amazon.nova-lite-v1:0"
guardrail = { identifier = "abc123", version = "2", trace = "enabled" }
[models.llama]
target = "us.meta.llama4-maverick-17b-instruct-v1:0"
structured = "repair"
[models.behind]
target = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/xyz"
base_model = "anthropic.claude-haiku-4-5-20251001-v1:0"
price = { input = 2.5, output = 10 }
facts = { max_output_tokens = 500, tool_choice = ["auto"] }
[models.named]
target = "amazon.nova-lite-v1:0"
message_names = "prefix"
file_names = "keep"
[models.hurried]
target = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
first_token_timeout = "100ms"
"#;

fn of(model: &str, mut request: Value) -> Value {
    request["model"] = model.into();
    request
}

fn sent(gateway: &Gateway) -> Value {
    serde_json::from_slice(&gateway.simulator.received().last().unwrap().body).unwrap()
}

#[tokio::test]
async fn a_client_cannot_replace_the_operators_guardrail() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("guarded", user("[simulate guardrail]"));
    request["bedrock"] =
        json!({"guardrail": {"identifier": "other", "version": "1", "trace": "disabled"}});
    let reply = gateway.chat(&request).await;
    assert_eq!(
        sent(&gateway)["guardrailConfig"]["guardrailIdentifier"],
        "abc123"
    );
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("bedrock.guardrail: ignored")
    );
    let reply = reply.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "content_filter");
    assert!(
        reply.get("bedrock_guardrail").is_none(),
        "the trace can contain personal data: {reply}"
    );
    assert!(
        reply["usage"]["cost"].as_f64().unwrap() > 0.0,
        "a blocked request is billed"
    );
}

#[tokio::test]
async fn additional_fields_cannot_override_limits_or_guardrails() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for fields in [
        json!({"max_tokens": 100_000}),
        json!({"inferenceConfig": {"maxTokens": 100_000}}),
        json!({"amazon-bedrock-guardrailConfig": {}}),
        json!({"metadata": {}}),
    ] {
        let mut request = user("Hi");
        request["bedrock"] = json!({"additional_model_request_fields": fields});
        let error = gateway.chat(&request).await.error();
        assert!(
            error["param"]
                .as_str()
                .unwrap()
                .starts_with("bedrock.additional_model_request_fields."),
            "{error}"
        );
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn configured_facts_and_prices_override_the_catalogue() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("behind", user("Hello there"));
    request["max_tokens"] = 1000.into();
    request["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    request["tool_choice"] = "required".into();
    let reply = gateway.chat(&request).await;
    let sent = sent(&gateway);
    assert_eq!(sent["inferenceConfig"]["maxTokens"], 500);
    assert!(sent["toolConfig"].get("toolChoice").is_none(), "{sent}");
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("tool_choice: emulated") && !warnings.contains("catalogue"),
        "{warnings}"
    );
    let usage = &reply.json()["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap();
    let nano = tokens("prompt_tokens") * 2500 + tokens("completion_tokens") * 10_000;
    assert_eq!(
        reply
            .header("x-lintel-cost-usd")
            .unwrap()
            .parse::<f64>()
            .unwrap(),
        nano as f64 / 1e9
    );
}

#[tokio::test]
async fn message_names_and_file_names_are_sent_if_configured() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let file =
        json!({"type": "file", "file": {"filename": "Q3 report_final.txt", "file_data": "SGk="}});
    let request = json!({"model": "named", "messages": [
        {"role": "user", "name": "zoe", "content": [{"type": "text", "text": "Hi"}, file]}]});
    assert!(
        gateway
            .chat(&request)
            .await
            .header("x-lintel-warnings")
            .is_none()
    );
    let content = &sent(&gateway)["messages"][0]["content"];
    assert_eq!(content[0]["text"], "zoe: Hi");
    assert_eq!(content[1]["document"]["name"], "Q3 report final txt");
}

/// A scripted reply with one text block.
fn reply_of(text: &str) -> ScriptedReply {
    let reply = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
    });
    ScriptedReply::json(200, reply.to_string())
}

#[tokio::test]
async fn an_answer_that_does_not_match_its_schema_is_requested_again() {
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let mut request = of("llama", user("How many?"));
    request["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}});
    for stream in [false, true] {
        let gateway = Gateway::start_with(SETTINGS).await;
        gateway.simulator.script(reply_of("Three, I think."));
        gateway
            .simulator
            .script(reply_of("```json\n{\"n\": 3}\n```"));
        request["stream"] = stream.into();
        request["stream_options"] = if stream {
            json!({"include_usage": true})
        } else {
            Value::Null
        };
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert!(
            reply.text().contains(r#""content":"{\"n\": 3}""#),
            "{}",
            reply.text()
        );
        assert!(
            reply
                .text()
                .contains(r#""prompt_tokens":20,"completion_tokens":10"#),
            "the usage of both requests"
        );
        assert!(
            reply
                .header("x-lintel-warnings")
                .unwrap()
                .contains("requested twice")
        );
        let second = sent(&gateway);
        let text = second["messages"][2]["content"][0]["text"]
            .as_str()
            .unwrap();
        assert!(text.contains("not valid JSON"), "{text}");
    }
}

#[tokio::test]
async fn only_configured_public_urls_are_fetched() {
    let image = |url: &str| {
        json!({"model": "nova", "messages": [{"role": "user", "content": [
            {"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]}]})
    };
    let closed = Gateway::start().await;
    let open = Gateway::start_with(SETTINGS).await;
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:9/",
        "http://localhost:9/a.png",
        "s3://secret/a.png",
    ] {
        for gateway in [&closed, &open] {
            let error = gateway.chat(&image(url)).await.error();
            assert_eq!(error["code"], "unsupported_url", "{url}: {error}");
            assert_eq!(error["param"], "messages[0].content[1].image_url.url");
        }
    }
    assert!(open.simulator.received().is_empty());
    assert_eq!(
        open.chat(&image("s3://public/a.webp")).await.status,
        StatusCode::OK
    );
    let block = &sent(&open)["messages"][0]["content"][1]["image"];
    assert_eq!(
        *block,
        json!({"format": "webp", "source": {"s3Location": {"uri": "s3://public/a.webp"}}})
    );
}

#[tokio::test]
async fn the_first_use_of_a_schema_extends_the_timeout() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let schema = json!({"type": "object", "properties": {}});
    let mut request = of("hurried", streamed("Hi [simulate slow 250ms]"));
    assert_eq!(
        gateway.chat(&request).await.error()["code"],
        "first_token_timeout"
    );
    request["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}});
    assert_eq!(
        gateway.chat(&request).await.status,
        StatusCode::OK,
        "the time limit is five times as long"
    );
    assert_eq!(
        gateway.chat(&request).await.error()["code"],
        "first_token_timeout",
        "the schema is compiled"
    );
}

#[tokio::test]
async fn a_model_without_a_supported_route_is_a_404_with_the_reason() {
    let gateway = Gateway::start().await;
    for (id, reason) in [("amazon.titan-embed-text-v2:0", "embedding")] {
        let reply = gateway.any(&of(id, user("Hi"))).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        let error = reply.error();
        assert!(
            error["message"].as_str().unwrap().contains(reason),
            "{id}: {error}"
        );
    }
}

#[tokio::test]
async fn a_managed_prompt_is_called_with_variables_and_no_inference_settings() {
    let prompt =
        "[models.prompt]\ntarget = \"arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1\"";
    let gateway = Gateway::start_with(prompt).await;
    let mut request = of("prompt", user("Hi"));
    request["bedrock"] = json!({"prompt_variables": {"city": "Rome"}});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let mut sent = sent(&gateway);
    assert_eq!(sent["requestMetadata"]["lintel_key_id"], "all");
    sent.as_object_mut().unwrap().remove("requestMetadata");
    let expected = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}],
                          "promptVariables": {"city": {"text": "Rome"}}});
    assert_eq!(sent, expected);
    request["temperature"] = 0.5.into();
    assert_eq!(gateway.chat(&request).await.error()["param"], "temperature");
    request = of("claude", request);
    assert_eq!(
        gateway.chat(&request).await.error()["param"],
        "bedrock.prompt_variables"
    );
}

#[tokio::test]
async fn a_whole_reply_is_replayed_as_a_stream_if_the_model_cannot_stream_tools() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("llama", streamed("Use f"));
    request["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let reply = gateway.chat(&request).await;
    assert_eq!(
        gateway.sent().path,
        "/model/us.meta.llama4-maverick-17b-instruct-v1%3A0/converse"
    );
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("converse; reason=stream_not_offered")
    );
    let events = reply.events();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    assert!(
        reply.text().contains(r#""finish_reason":"tool_calls""#),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn metrics_count_tokens_and_cost_by_key_and_model() {
    let gateway = Gateway::start_with("[models.counted]\ntarget = \"amazon.nova-lite-v1:0\"").await;
    gateway.chat(&of("counted", user("Hello there"))).await;
    gateway.chat(&of("counted", streamed("Hello there"))).await;
    let (_, metrics) = gateway.admin("/metrics").await;
    let value = |series: &str| -> f64 {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(series))
            .unwrap_or_else(|| panic!("{series}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let labels = |rest: &str| format!("{{team=\"\",key_id=\"all\",model=\"counted\",{rest}}}");
    assert_eq!(
        value(&format!(
            "lintel_tokens_total{}",
            labels("token_type=\"output\"")
        )),
        8.0
    );
    let spent = value(&format!(
        "lintel_spend_usd_total{}",
        labels("kind=\"actual\"")
    ));
    assert!(
        (spent - (4.0 * 0.06 + 8.0 * 0.24) / 1e6).abs() < 1e-12,
        "{spent}"
    );
    value("gen_ai_server_time_per_output_token_seconds_count{request_model=\"counted\"}");
}

#[tokio::test]
async fn the_base_model_of_an_arn_is_queried_from_aws() {
    const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/team";
    let settings = format!(
        "[models.ours]\ntarget = \"{ARN}\"\n[models.priced]\ntarget = \"{ARN}\"\nprice = {{ input = 1, output = 1 }}"
    );
    let gateway = Gateway::start_with(&settings).await;
    gateway.simulator.describe(
        ARN,
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
    );
    let mut request = of("ours", user("Hi"));
    request["reasoning_effort"] = "low".into();
    let reply = gateway.chat(&request).await;
    assert!(
        !reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("guessed"),
        "{:?}",
        reply.headers
    );
    let sent = sent(&gateway);
    assert_eq!(
        sent["additionalModelRequestFields"]["thinking"]["budget_tokens"], 1024,
        "the form of Claude 4.5"
    );
    assert!(
        reply.json()["usage"]["cost"]
            .as_f64()
            .is_some_and(|cost| cost > 0.0),
        "{}",
        reply.text()
    );
    // A configured price takes precedence over the catalogue's.
    let priced = gateway.chat(&of("priced", user("Hi"))).await.json();
    assert_eq!(priced["usage"]["cost"], 0.000004);
    // A profile that AWS does not describe is served with a warning.
    let unknown = gateway.chat(&of("patient", user("Hi"))).await;
    assert_eq!(unknown.status, StatusCode::OK);
    assert!(
        unknown
            .header("x-lintel-warnings")
            .unwrap()
            .contains("not in the catalogue")
    );
}
