//! Models whose API completes one prompt, and which are past their end of life: `api = "invoke"` still reaches them.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{Gateway, money::of, user};

const MODELS: [(&str, &str); 4] = [
    ("llama2", "meta.llama2-70b-chat-v1"),
    ("claude2", "anthropic.claude-v2"),
    ("command", "cohere.command-light-text-v14"),
    ("jurassic", "ai21.j2-ultra-v1"),
];

async fn start() -> Gateway {
    let settings: Vec<String> = MODELS
        .iter()
        .map(|(name, target)| {
            format!("[models.{name}]\ntarget = \"{target}\"\napi = \"invoke\"\nmax_tokens = 100\n")
        })
        .collect();
    Gateway::start_with(&settings.concat()).await
}

#[tokio::test]
async fn the_end_of_life_is_a_warning_and_white_space_before_the_answer_is_left_out() {
    let gateway = start().await;
    for (model, _) in MODELS {
        let reply = gateway.chat(&of(model, user("Hello"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
        assert_eq!(reply.content(), "You said: Hello", "{model}");
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(warnings.contains("past its end of life"), "{warnings}");
    }
    let caps = [
        "max_gen_len",
        "max_tokens_to_sample",
        "max_tokens",
        "maxTokens",
    ];
    for (body, cap) in gateway.bodies().iter().zip(caps) {
        assert_eq!(body[cap], 100, "{body}");
    }
}

#[tokio::test]
async fn turns_are_written_by_the_template_or_rejected_where_there_is_none() {
    let gateway = start().await;
    let conversation = json!({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "What now?"}]});
    for (model, _) in MODELS {
        let before = gateway.bodies().len();
        let reply = gateway.chat(&of(model, conversation.clone())).await;
        if ["llama2", "claude2"].contains(&model) {
            assert_eq!(reply.content(), "You said: What now?", "{model}");
        } else {
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{model}");
            assert_eq!(reply.error()["code"], "unsupported_content", "{model}");
            assert_eq!(gateway.bodies().len(), before);
        }
        // The system text alone is no earlier turn.
        let mut single = of(model, conversation.clone());
        single["messages"].as_array_mut().unwrap().drain(1..3);
        let reply = gateway.chat(&single).await;
        assert!(
            reply.content().contains("What now?"),
            "{model}: {}",
            reply.text()
        );
        let sent = gateway.bodies().pop().unwrap()["prompt"].to_string();
        assert!(sent.contains("Be brief."), "{model}: {sent}");
    }
}

#[tokio::test]
async fn a_stop_sequence_of_the_client_is_reported_and_that_of_the_template_is_not() {
    let gateway = start().await;
    for (stop, reported) in [("END", json!("END")), ("\n\nHuman:", Value::Null)] {
        let body = json!({"completion": " Hi", "stop_reason": "stop_sequence", "stop": stop});
        gateway
            .simulator
            .script(ScriptedReply::json(200, body.to_string()));
        let reply = gateway.chat(&of("claude2", user("Hello"))).await;
        let choice = &reply.json()["choices"][0];
        assert_eq!(choice["finish_reason"], "stop");
        assert_eq!(choice["message"]["stop_sequence"], reported);
    }
    let body = json!({"generations": [{"text": " Hi", "finish_reason": "ERROR"}]});
    for _ in 0..3 {
        gateway
            .simulator
            .script(ScriptedReply::json(200, body.to_string()));
    }
    let reply = gateway.chat(&of("command", user("Hello"))).await;
    assert_eq!(reply.error()["code"], "model_error", "{}", reply.text());
}
