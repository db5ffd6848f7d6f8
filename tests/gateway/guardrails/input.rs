//! Inputs: blocked, masked, and withheld if the guardrail gives no verdict.

use serde_json::{Value, json};

use super::{MESSAGE, PNG, asking, judged, receive, script_passages, sent, settings, start};
use crate::support::{ANY_KEY, Gateway, endpoints::EMBEDDINGS, money::of, sha256, user};

#[tokio::test]
async fn a_blocked_input_is_answered_with_the_message_and_no_model_is_called() {
    for stream in [false, true] {
        let gateway = start().await;
        let received = receive(&gateway, &asking("input", "Sell contraband.", stream)).await;
        assert_eq!(
            (received.content.as_str(), &received.finish),
            (MESSAGE, &json!("content_filter"))
        );
        assert!(received.is_complete);
        assert!(sent(&gateway, "/converse").is_empty() && sent(&gateway, "-stream").is_empty());
        let usage = received.member("usage");
        assert_eq!(usage["total_tokens"], 0);
        // One unit of four policies, one of them with two sub-policies.
        assert_eq!(usage["cost"], 0.000_74);
        let trace = received.member("bedrock_guardrail");
        let words = &trace["inputAssessment"]["abc123"][0]["wordPolicy"]["customWords"];
        assert_eq!(words[0]["match"], "contraband", "{trace}");
    }
}

#[tokio::test]
async fn every_text_of_the_conversation_except_system_text_is_evaluated() {
    let call = json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let histories = [
        json!([{"role": "user", "content": "contraband"}, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Hi"}]),
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "contraband"}, {"role": "user", "content": "Hi"}]),
        json!([{"role": "user", "content": "Hi"}, call, {"role": "tool", "tool_call_id": "a", "content": "contraband"}]),
        json!([{"role": "user", "content": format!("{} contraband", "word ".repeat(5000))}]),
    ];
    let gateway = start().await;
    for messages in histories {
        let mut request = asking("input", "", false);
        request["messages"] = messages;
        request["tools"] = tools.clone();
        let received = receive(&gateway, &request).await;
        assert_eq!(received.finish, "content_filter", "{}", request["messages"]);
    }
    let mut request = asking("input", "Hi", false);
    let system = json!({"role": "system", "content": "Never mention contraband."});
    request["messages"]
        .as_array_mut()
        .unwrap()
        .insert(0, system);
    assert_eq!(receive(&gateway, &request).await.finish, "stop");
}

#[tokio::test]
async fn a_masked_input_reaches_the_model_with_its_masks() {
    let gateway = start().await;
    let long = format!("{}secret-b2 ends", "word ".repeat(3000));
    let mut request = asking("input", &long, false);
    let first = json!({"role": "user", "content": [{"type": "text", "text": "My secret-a1."}, {"type": "text", "text": "Plain."}]});
    request["messages"].as_array_mut().unwrap().insert(0, first);
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("parts of the input were masked"),
        "{warnings}"
    );
    let body = &sent(&gateway, "/converse")[0];
    let text = |nth: usize| body["messages"][0]["content"][nth]["text"].clone();
    assert_eq!((text(0), text(1)), (json!("My {SECRET}."), json!("Plain.")));
    assert_eq!(
        text(2),
        json!(format!("{}{{SECRET}} ends", "word ".repeat(3000)))
    );
    assert!(
        body["guardrailConfig"].is_null(),
        "the gateway has applied it"
    );
}

#[tokio::test]
async fn images_are_evaluated_and_other_media_are_reported() {
    let gateway = start().await;
    let image = |url: String| json!({"type": "image_url", "image_url": {"url": url}});
    let gif = "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
    let mut request = asking("input", "", false);
    request["messages"][0]["content"] = json!([
        {"type": "text", "text": "Look."},
        image(format!("data:image/png;base64,{PNG}")),
        image(format!("data:image/gif;base64,{gif}")),
    ]);
    let reply = gateway.chat(&request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("an image was not evaluated"),
        "{warnings}"
    );
    let images: Vec<Value> = sent(&gateway, "/apply")
        .iter()
        .map(|body| body["content"][0]["image"].clone())
        .filter(|image| !image.is_null())
        .collect();
    assert_eq!(images, [json!({"format": "png", "source": {"bytes": PNG}})]);
}

#[tokio::test]
async fn passages_are_evaluated_with_the_input() {
    let gateway = Gateway::start_with(&format!(
        "{}\n[keys.reader]\nsha256 = \"{}\"\nknowledge_bases = [\"*\"]",
        settings(),
        sha256("sk-test-reader")
    ))
    .await;
    let results =
        json!({"retrievalResults": [{"content": {"text": "The secret-c3 <b>"}, "score": 0.9}]});
    script_passages(&gateway, &results);
    let mut request = asking("input", "What?", false);
    request["kb"] = json!("docs");
    let reply = gateway.as_key("sk-test-reader", &request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let prompt = sent(&gateway, "/converse")[0].to_string();
    assert!(prompt.contains("The {SECRET} &lt;b>"), "{prompt}");
    let texts = judged(&gateway).concat_texts();
    assert!(
        !texts.contains("Here are passages"),
        "our instruction is not the user's text"
    );
}

trait Concat {
    fn concat_texts(&self) -> String;
}

impl Concat for Vec<(String, Vec<String>)> {
    fn concat_texts(&self) -> String {
        self.iter().flat_map(|(_, texts)| texts.clone()).collect()
    }
}

#[tokio::test]
async fn inputs_to_embed_are_evaluated() {
    let gateway = start().await;
    let ask = async |input: Value| {
        let request = json!({"model": "vectors", "input": input});
        gateway.ask(EMBEDDINGS, ANY_KEY, &request).await
    };
    let blocked = ask(json!(["Hi", "contraband"])).await;
    assert_eq!(blocked.status, 400);
    let error = blocked.error();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("content_filter"), &json!("input"))
    );
    assert!(sent(&gateway, "/invoke").is_empty(), "nothing was embedded");
    let masked = ask(json!(["A secret-d4.", "Plain."])).await;
    assert_eq!(masked.status, 200, "{}", masked.text());
    let mut texts: Vec<Value> = sent(&gateway, "/invoke")
        .iter()
        .map(|body| body["inputText"].clone())
        .collect();
    texts.sort_by_key(ToString::to_string);
    assert_eq!(texts, [json!("A {SECRET}."), json!("Plain.")]);
}

#[tokio::test]
async fn an_input_without_a_verdict_reaches_no_model() {
    for (model, text, status, code, attempts) in [
        ("missing", "Hi", 502, "guardrail_refused", 1),
        (
            "input",
            "[simulate apply throttle]",
            429,
            "rate_limit_exceeded",
            2,
        ),
        (
            "input",
            "[simulate apply unavailable]",
            503,
            "upstream_unavailable",
            2,
        ),
        (
            "input",
            "[simulate apply internal]",
            502,
            "guardrail_failed",
            2,
        ),
        (
            "input",
            "[simulate apply access-denied]",
            502,
            "upstream_access_denied",
            2,
        ),
    ] {
        let gateway = start().await;
        let reply = gateway.chat(&of(model, user(text))).await;
        assert_eq!(reply.status, status, "{text}: {}", reply.text());
        assert_eq!(reply.error()["code"], code, "{text}");
        assert_eq!(judged(&gateway).len(), attempts, "{text}");
        assert!(sent(&gateway, "/converse").is_empty(), "{text}");
    }
}

#[tokio::test]
async fn the_guardrail_of_a_key_is_applied_to_every_model() {
    let gateway = Gateway::start_with(&format!(
        "[keys.guarded]\nsha256 = \"{}\"\nguardrail = {{ identifier = \"abc123\", version = \"2\", apply = \"both\" }}",
        sha256("sk-test-guarded")
    ))
    .await;
    let mut request = of("claude", user("contraband"));
    // A client cannot replace it.
    request["bedrock"] = json!({"guardrail": {"identifier": "mine", "version": "1"}});
    let reply = gateway.as_key("sk-test-guarded", &request).await.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "content_filter");
    assert!(
        reply.get("bedrock_guardrail").is_none(),
        "the trace is not shown"
    );
    let path = gateway.simulator.received()[0].path.clone();
    assert_eq!(path, "/guardrail/abc123/version/2/apply");
}

#[tokio::test]
async fn the_guardrail_of_a_model_evaluates_inputs_that_the_guardrail_of_the_key_does_not() {
    let key = format!(
        "[keys.answers]\nsha256 = \"{}\"\nguardrail = {{ identifier = \"def456\", version = \"1\", apply = \"output\" }}
        [models.plain]\ntarget = \"amazon.titan-embed-text-v2:0\"",
        sha256("sk-test-answers")
    );
    let gateway = Gateway::start_with(&format!("{}\n{key}", settings())).await;
    let ask = async |model: &str| {
        let request = json!({"model": model, "input": "contraband"});
        gateway.ask(EMBEDDINGS, "sk-test-answers", &request).await
    };
    assert_eq!(ask("vectors").await.status, 400);
    let plain = ask("plain").await;
    assert_eq!(plain.status, 200, "{}", plain.text());
    let warnings = plain.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("bedrock.guardrail: not applied"),
        "{warnings}"
    );
}
