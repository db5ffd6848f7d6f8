//! Stop sequences and the sampling parameters that Converse lacks, by family.

use http::StatusCode;
use lintel::{
    call::{Caller, Warnings},
    catalogue,
    model::Target,
    simulator::{ScriptedReply, encode_event},
    upstream::converse::{self, Context},
};
use serde_json::{Value, json};

use crate::support::{Gateway, Reply, streamed, user};

/// Returns the request to Converse, the stop sequences that the gateway applies, and the warnings.
fn translate(id: &str, body: &Value) -> (Value, Vec<String>, String) {
    let (warnings, caller) = (Warnings::default(), Caller::default());
    let chat = lintel::edge::chat_request(body.to_string().as_bytes(), &warnings).unwrap();
    let model = catalogue::model("m", Target::new(id, "us-east-1"));
    let cx = Context {
        model: &model,
        caller: &caller,
        warnings: &warnings,
        messages: &chat.messages,
        extras: Default::default(),
    };
    let translated = converse::chat_request(&chat, &cx).unwrap();
    let sent = serde_json::to_value(&translated.request).unwrap();
    (
        sent,
        translated.plan.stops,
        warnings.joined().unwrap_or_default(),
    )
}

/// The old code sent all four to all of these models but GPT and Grok, and Converse rejects them.
#[test]
fn stop_sequences_are_sent_only_to_families_that_accept_them() {
    let all = ["END", "\nObservation:", " ", "User:"];
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stop": all});
    let none: [&str; 0] = [];
    for (id, sent) in [
        (
            "anthropic.claude-sonnet-4-6",
            &["END", "\nObservation:", "User:"][..],
        ),
        ("amazon.nova-lite-v1:0", &all),
        ("amazon.titan-text-express-v1", &["User:"]),
        ("mistral.mistral-large-2402-v1:0", &all),
        ("cohere.command-r-v1:0", &all),
        ("ai21.jamba-1-5-large-v1:0", &all),
        ("ai21.j2-ultra-v1", &["END"]),
        ("us.deepseek.r1-v1:0", &["END", " ", "User:"]),
        ("writer.palmyra-x5-v1:0", &all),
        ("us.meta.llama3-1-70b-instruct-v1:0", &none),
        ("us.meta.llama4-maverick-17b-instruct-v1:0", &none),
        ("openai.gpt-oss-120b-1:0", &none),
        ("openai.gpt-oss-safeguard-20b", &none),
        ("openai.gpt-6-sol", &none),
        ("xai.grok-4.7", &none),
        ("qwen.qwen3-32b-v1:0", &none),
        ("deepseek.v3-v1:0", &none),
        ("moonshotai.kimi-k3", &none),
        ("moonshot.kimi-k2-thinking", &none),
        ("minimax.minimax-m2", &none),
        ("google.gemma-3-27b-it", &none),
        ("nvidia.nemotron-nano-9b-v2", &none),
        ("zai.glm-5", &none),
        ("mistral.mistral-large-3-675b-instruct", &none),
    ] {
        let (converse, applied, warnings) = translate(id, &body);
        let given = converse["inferenceConfig"]["stopSequences"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(given, sent, "{id}");
        let emulated = sent.len() < all.len();
        assert_eq!(
            warnings.contains("stop: emulated"),
            emulated,
            "{id}: {warnings}"
        );
        let covered =
            |stop: &&str| sent.contains(stop) || applied.iter().any(|other| other == stop);
        assert!(all.iter().all(covered), "{id}: {applied:?}");
    }
}

/// Returns the text of a whole or streamed answer, which must end with `stop`.
fn content(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(reply.text().contains(r#""finish_reason":"stop""#));
    reply.content()
}

/// The old code sent `stopSequences`, which the model rejects.
#[tokio::test]
async fn the_text_of_a_model_without_stop_sequences_is_cut() {
    let gateway = Gateway::start().await;
    for mut request in [user("one STOP two"), streamed("one STOP two")] {
        request["model"] = "openai.gpt-oss-120b-1:0".into();
        request["stop"] = json!(["STOP"]);
        assert_eq!(content(&gateway.any(&request).await), "You said: one ");
    }
}

/// The old code returned `one END`, because Nova leaves the stop sequence in the text.
#[tokio::test]
async fn a_stop_sequence_that_the_model_leaves_in_the_text_is_removed() {
    let gateway = Gateway::start().await;
    let whole = json!({"output": {"message": {"role": "assistant", "content": [{"text": "one END"}]}},
                       "stopReason": "stop_sequence", "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}});
    gateway
        .simulator
        .script(ScriptedReply::json(200, whole.to_string()));
    let events = [
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "one E"}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "ND"}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "stop_sequence"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}}),
        ),
    ];
    let events = events.map(|(kind, payload)| encode_event(kind, &payload.to_string()));
    gateway
        .simulator
        .script(ScriptedReply::stream(events.to_vec()));
    for mut request in [user("Hi"), streamed("Hi")] {
        request["model"] = "amazon.nova-lite-v1:0".into();
        request["stop"] = json!("END");
        let reply = gateway.any(&request).await;
        let sent: Value =
            serde_json::from_slice(&gateway.simulator.received().last().unwrap().body).unwrap();
        assert_eq!(sent["inferenceConfig"]["stopSequences"], json!(["END"]));
        assert_eq!(content(&reply), "one ");
    }
}

/// `seed` has a place in the requests to few families.
#[test]
fn a_seed_is_sent_where_the_family_has_one_and_warned_about_elsewhere() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 7});
    let mut with_seed = Vec::new();
    for id in catalogue::ids() {
        let (sent, _, warnings) = translate(id, &body);
        let fields = &sent["additionalModelRequestFields"];
        assert_ne!(
            fields["seed"] == 7,
            warnings.contains("seed: ignored"),
            "{id}: {fields}, {warnings}"
        );
        with_seed.extend((fields["seed"] == 7).then_some(id));
    }
    assert_eq!(
        with_seed,
        ["cohere.command-r-plus-v1:0", "cohere.command-r-v1:0"]
    );
}

/// The old code named `logprobs` where only `top_logprobs` was sent.
#[tokio::test]
async fn log_probabilities_and_biases_are_rejected_before_anything_is_sent() {
    let gateway = Gateway::start().await;
    for (members, param) in [
        (json!({"logprobs": true}), "logprobs"),
        (json!({"logprobs": true, "top_logprobs": 2}), "logprobs"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (
            json!({"logprobs": false, "top_logprobs": 2}),
            "top_logprobs",
        ),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"logit_bias": {"50256": -100}}), "logit_bias"),
    ] {
        let mut request = user("Hi");
        request
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{members}");
        assert_eq!(reply.error()["param"], param, "{members}");
    }
    assert!(gateway.simulator.received().is_empty());
    for members in [
        json!({"logprobs": false}),
        json!({"top_logprobs": 0}),
        json!({"logit_bias": {}}),
        json!({"logit_bias": null, "logprobs": null}),
    ] {
        let mut request = user("Hi");
        request
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{members}: {}", reply.text());
    }
}
