//! Imported models: Converse, or InvokeModel in the three forms of their bodies.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{
    Gateway,
    money::{budget, key, nano, of, standing},
    user,
};

const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcabcabcabc";

/// An input token costs 2000 nano-dollars, an output token 10,000.
fn settings() -> String {
    let model = |name: &str, more: &str| {
        format!(
            "[models.{name}]\ntarget = \"{ARN}\"\nmax_tokens = 100\nprice = {{ input = 2.0, output = 10.0 }}\n\
             retry = {{ attempts = 3, base = \"1ms\" }}\n{more}\n"
        )
    };
    [
        model("auto", ""),
        model("chat", "api = \"invoke\""),
        model(
            "llama",
            "api = \"invoke\"\nfacts = { invoke = { family = \"llama3\" } }",
        ),
        model(
            "mistral",
            "api = \"invoke\"\nfacts = { invoke = { family = \"mistral_text\" } }",
        ),
    ]
    .concat()
}

fn with_usage(mut request: Value) -> Value {
    request["stream"] = true.into();
    request["stream_options"] = json!({"include_usage": true});
    request
}

fn refusal(name: &str, status: u16, message: &str) -> ScriptedReply {
    let mut reply = ScriptedReply::json(status, json!({"message": message}).to_string());
    let name = name.to_owned();
    reply.headers.push(("x-amzn-errortype".to_owned(), name));
    reply
}

#[tokio::test]
async fn each_form_of_the_body_answers_whole_and_streamed_and_is_booked() {
    for (model, cap) in [
        ("chat", "max_tokens"),
        ("llama", "max_gen_len"),
        ("mistral", "max_tokens"),
    ] {
        let gateway = Gateway::start_with(&settings()).await;
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let request = of(model, user("Hello"));
        for request in [request.clone(), with_usage(request)] {
            let reply = gateway.as_key(&secret, &request).await;
            assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
            assert_eq!(reply.content(), "You said: Hello", "{model}");
            assert_eq!(
                reply.header("x-lintel-route"),
                Some("invoke; reason=configured")
            );
        }
        let bodies = gateway.bodies();
        assert!(bodies.iter().all(|body| body[cap] == 100), "{model}");
        let has_messages = bodies.iter().all(|body| body["messages"].is_array());
        assert_eq!(has_messages, model == "chat");
        let (input, output) = gateway.billed();
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        let settled = nano(&standing(&gateway, &id).await.0);
        assert_eq!(settled, 2000 * input + 10_000 * output, "{model}");
    }
}

/// Converse refuses Qwen2.5, for example.
#[tokio::test]
async fn a_model_that_converse_refuses_is_called_by_invoke_model_from_then_on() {
    let gateway = Gateway::start_with(&settings()).await;
    let request = of("auto", user("Hello"));
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.header("x-lintel-route"), Some("converse"));
    gateway.simulator.script(refusal(
        "ValidationException",
        400,
        "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
    ));
    for _ in 0..2 {
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(
            reply.header("x-lintel-route"),
            Some("invoke; reason=imported")
        );
    }
    let received = gateway.simulator.received();
    let paths = received
        .iter()
        .map(|one| one.path.rsplit('/').next().unwrap());
    assert_eq!(
        paths.collect::<Vec<_>>(),
        ["converse", "converse", "invoke", "invoke"]
    );
}

#[tokio::test]
async fn an_architecture_that_converse_does_not_serve_is_called_by_invoke_model_at_once() {
    let gateway = Gateway::start_with(&settings()).await;
    gateway.simulator.import(ARN, "qwen2_5_vl");
    let request = of("auto", user("Hello"));
    for _ in 0..2 {
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(
            reply.header("x-lintel-route"),
            Some("invoke; reason=imported")
        );
        assert_eq!(reply.header("x-lintel-attempts"), Some("1"));
    }
    assert_eq!(gateway.simulator.describes(), 1);
    // Others stay on Converse, also if AWS does not say what they are.
    for status in [None, Some(403)] {
        let gateway = Gateway::start_with(&settings()).await;
        gateway.simulator.import(ARN, "llama");
        if let Some(status) = status {
            gateway.simulator.fail_describe(status);
        }
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.header("x-lintel-route"), Some("converse"));
    }
    // The operator's word needs no call.
    let known = settings().replace(
        "[models.auto]",
        "[models.auto]\nfacts = { architecture = \"Qwen2.5\" }",
    );
    let gateway = Gateway::start_with(&known).await;
    let reply = gateway.chat(&request).await;
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("invoke; reason=imported")
    );
    assert_eq!(gateway.simulator.describes(), 0);
}

#[tokio::test]
async fn a_model_that_is_loaded_first_is_asked_again() {
    let gateway = Gateway::start_with(&settings()).await;
    for _ in 0..2 {
        gateway.simulator.script(refusal(
            "ModelNotReadyException",
            429,
            "Model is not ready for inference. Wait and try your request again.",
        ));
    }
    let reply = gateway.chat(&of("chat", user("Hello"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-attempts"), Some("3"));
}

#[tokio::test]
async fn log_probabilities_and_grammars_choose_invoke_model() {
    let gateway = Gateway::start_with(&settings()).await;
    let mut request = of("auto", user("Hello there"));
    request["logprobs"] = true.into();
    request["top_logprobs"] = 2.into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("invoke; reason=imported")
    );
    // The digits of the service arrive unchanged.
    assert!(reply.text().contains(r#""logprob":-0.07903262227773666"#));
    let whole = reply.json()["choices"][0]["logprobs"]["content"].clone();
    let tokens = whole.as_array().unwrap().iter();
    let tokens: String = tokens.map(|one| one["token"].as_str().unwrap()).collect();
    assert_eq!(tokens, "You said: Hello there");
    assert_eq!(whole[0]["top_logprobs"].as_array().unwrap().len(), 2);
    request["stream"] = true.into();
    let reply = gateway.chat(&request).await;
    let mut streamed = Vec::new();
    for event in reply.events().iter().filter(|event| **event != "[DONE]") {
        let event: Value = serde_json::from_str(event).unwrap();
        let entries = event["choices"][0]["logprobs"]["content"].as_array();
        streamed.extend(entries.into_iter().flatten().cloned());
    }
    assert_eq!(Value::from(streamed), whole);
    let mut request = of("auto", user("Hello"));
    let choice = json!({"choice": ["yes", "no"]});
    request["bedrock"] = json!({"additional_model_request_fields": {"structured_outputs": choice}});
    let reply = gateway.chat(&request).await;
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("invoke; reason=imported")
    );
    let bodies = gateway.bodies();
    assert_eq!(bodies[0]["top_logprobs"], 2);
    assert_eq!(bodies[2]["structured_outputs"], choice);
    // Tokens of a prompt's completion are only numbers.
    let mut request = of("llama", user("Hello"));
    request["logprobs"] = true.into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "logprobs");
}

#[tokio::test]
async fn log_probabilities_that_the_model_does_not_report_have_a_warning() {
    let gateway = Gateway::start_with(&settings()).await;
    let message = json!({"role": "assistant", "content": "Hi"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop", "logprobs": null});
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 1});
    let body = json!({"choices": [choice], "usage": usage});
    let script = lintel::simulator::ScriptedReply::json(200, body.to_string());
    gateway.simulator.script(script);
    let mut request = of("auto", user("Hello"));
    request["logprobs"] = true.into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.json()["choices"][0]["logprobs"], Value::Null);
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    assert!(warnings.contains("logprobs: null"), "{warnings}");
}

#[tokio::test]
async fn schemas_and_grammars_are_sent_as_they_are() {
    let gateway = Gateway::start_with(&settings()).await;
    let mut request = of("chat", user("A city"));
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "city", "strict": true,
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}}});
    let reply = gateway.chat(&request).await;
    let answer: Value = serde_json::from_str(&reply.content()).unwrap();
    assert!(answer["name"].is_string());
    let mut request = of("chat", user("Hello"));
    let grammar = json!({"grammar": "root ::= \"yes\" | \"no\""});
    request["bedrock"] =
        json!({"additional_model_request_fields": {"structured_outputs": grammar}});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let bodies = gateway.bodies();
    assert_eq!(bodies[0]["response_format"]["json_schema"]["name"], "city");
    assert_eq!(bodies[1]["structured_outputs"], grammar);
    // A prompt has no place for a schema, so that the model is instructed.
    let mut request = of("llama", user("A city"));
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "city",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}});
    gateway.chat(&request).await;
    let prompt = gateway.bodies()[2]["prompt"].to_string();
    assert!(prompt.contains("JSON"), "{prompt}");
}
