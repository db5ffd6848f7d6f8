//! Inputs that a guardrail must not miss, however the client sends them.

use serde_json::{Value, json};

use super::{MESSAGE, PNG, asking, judged, receive, script_passages, sent, settings};
use crate::support::{Gateway, sha256};

/// Keys and models whose guardrails differ, and a Knowledge Base that condenses conversations.
async fn start() -> Gateway {
    let key = |name: &str, guardrail: &str| {
        format!(
            "[keys.{name}]\nsha256 = \"{}\"\nknowledge_bases = [\"*\"]\n{guardrail}\n",
            sha256(&format!("sk-test-{name}"))
        )
    };
    let guardrail =
        |rest: &str| format!(r#"guardrail = {{ identifier = "def456", version = "1"{rest} }}"#);
    let more = r#"
        [models.carried]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "abc123", version = "1" }
        [models.condenser]
        target = "amazon.nova-lite-v1:0"
        [models.named]
        target = "amazon.nova-lite-v1:0"
        message_names = "prefix"
        guardrail = { identifier = "abc123", version = "1", apply = "input" }
        [models.prompted]
        target = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1"
        base_model = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "abc123", version = "1", apply = "input" }
        [models.web]
        target = "us.amazon.nova-2-lite-v1:0"
        guardrail = { identifier = "abc123", version = "1", apply = "input" }
        [knowledge_bases.condensed]
        id = "LINTELDOCS"
        condense_with = "condenser"
        "#;
    let keys = [
        key("reader", ""),
        key("answers", &guardrail(r#", apply = "output""#)),
        key("inputs", &guardrail(r#", apply = "input""#)),
        key("carried", &guardrail("")),
    ];
    Gateway::start_with(&format!("{}{more}{}", settings(), keys.concat())).await
}

/// The source and the identifier of every guardrail request, and the guardrails in the calls to models.
fn guardrails(gateway: &Gateway) -> (Vec<String>, Vec<String>) {
    let received = gateway.simulator.received();
    let applied = received.iter().filter(|one| one.path.ends_with("/apply"));
    let applied = applied.map(|one| {
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        let id = one.path.split('/').nth(2).unwrap();
        format!("{} {id}", body["source"].as_str().unwrap())
    });
    let carried = sent(gateway, "/converse");
    let carried = carried.iter().filter_map(|body| {
        let id = body["guardrailConfig"]["guardrailIdentifier"].as_str()?;
        Some(id.to_owned())
    });
    (applied.collect(), carried.collect())
}

#[tokio::test]
async fn a_guardrail_of_a_key_replaces_that_of_a_model_only_for_what_it_covers() {
    // Before, the second guardrail of every row was missing.
    for (key, model, applied, carried) in [
        (
            "answers",
            "input",
            vec!["INPUT abc123", "OUTPUT def456"],
            vec![],
        ),
        (
            "answers",
            "both",
            vec!["INPUT abc123", "OUTPUT def456"],
            vec![],
        ),
        (
            "inputs",
            "both",
            vec!["INPUT def456", "OUTPUT abc123"],
            vec![],
        ),
        (
            "carried",
            "both",
            vec!["INPUT abc123", "OUTPUT abc123"],
            vec!["def456"],
        ),
        ("answers", "carried", vec!["OUTPUT def456"], vec!["abc123"]),
        ("carried", "carried", vec![], vec!["def456"]),
        (
            "reader",
            "both",
            vec!["INPUT abc123", "OUTPUT abc123"],
            vec![],
        ),
    ] {
        let gateway = start().await;
        let key = format!("sk-test-{key}");
        let reply = gateway.as_key(&key, &asking(model, "Hi", false)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let expected = (applied, carried);
        let (applied, carried) = guardrails(&gateway);
        assert_eq!(
            (
                applied.iter().map(String::as_str).collect(),
                carried.iter().map(String::as_str).collect()
            ),
            expected,
            "{key} {model}"
        );
    }
    let gateway = start().await;
    let request = asking("input", "contraband", false);
    let reply = gateway.as_key("sk-test-answers", &request).await.json();
    // Before, the model answered.
    assert_eq!(reply["choices"][0]["message"]["content"], MESSAGE);
}

#[tokio::test]
async fn an_image_is_evaluated_however_its_base64_is_written() {
    let (start_of, rest) = PNG.split_at(20);
    // Before, none but the first was evaluated.
    for url in [
        format!("data:image/png;base64,{PNG}"),
        PNG.to_owned(),
        format!("data:image/png;base64, {PNG}"),
        format!("data:image/png;base64,{start_of}\n{rest}"),
        format!("\n{PNG}"),
        PNG.trim_end_matches('=').to_owned(),
    ] {
        for in_tool in [false, true] {
            let gateway = start().await;
            let image = json!([{"type": "image_url", "image_url": {"url": url}}]);
            let mut request = asking("input", "Look.", false);
            if in_tool {
                let call = json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
                let result = json!({"role": "tool", "tool_call_id": "a", "content": image});
                request["messages"]
                    .as_array_mut()
                    .unwrap()
                    .extend([call, result]);
                request["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
            } else {
                request["messages"][0]["content"] = image;
            }
            let reply = gateway.chat(&request).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let bodies = sent(&gateway, "/apply");
            let images = bodies
                .iter()
                .filter_map(|body| body["content"][0].get("image"));
            let images: Vec<_> = images.collect();
            assert_eq!(
                images,
                [&json!({"format": "png", "source": {"bytes": PNG}})],
                "{url:?}"
            );
        }
    }
    // A broken image costs nothing.
    let gateway = start().await;
    let mut request = asking("input", "", false);
    request["messages"][0]["content"] = json!([
        {"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}
    ]);
    assert_eq!(gateway.chat(&request).await.status, 400);
    assert_eq!(judged(&gateway), [], "before, the text was evaluated first");
}

#[tokio::test]
async fn text_outside_the_content_of_messages_is_evaluated_and_masked() {
    let fields = |text: &str| json!({"additional_model_request_fields": {"own": [{"deep": text}]}});
    let variables = |text: &str| json!({"prompt_variables": {"q": text}});
    let results = |text: &str| {
        json!([
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y", "server_tool_blocks": [
                {"toolUse": {"toolUseId": "a", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
                {"toolResult": {"toolUseId": "a", "type": "nova_grounding_result", "content": [{"text": text}, {"json": {"a": text}}]}},
            ]},
            {"role": "user", "content": "z"},
        ])
    };
    let named = |text: &str| json!([{"role": "user", "name": text, "content": "x"}]);
    let gateway = start().await;
    let request = |model: &str, member: &str, value: Value| {
        let mut request = asking(model, "x", false);
        if model == "web" {
            request["web_search_options"] = json!({});
        }
        request[member] = value;
        request
    };
    let requests = |text: &str| {
        [
            request("input", "bedrock", fields(text)),
            request("prompted", "bedrock", variables(text)),
            request("named", "messages", named(text)),
            request("web", "messages", results(text)),
        ]
    };
    for request in requests("contraband") {
        // Before, the model answered.
        assert_eq!(
            receive(&gateway, &request).await.content,
            MESSAGE,
            "{request}"
        );
    }
    for request in requests("secret-a1") {
        let gateway = start().await;
        assert_eq!(
            receive(&gateway, &request).await.finish,
            "stop",
            "{request}"
        );
        let body = sent(&gateway, "/converse")[0].to_string();
        assert!(
            body.contains("{SECRET}") && !body.contains("secret-a1"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn neither_a_search_nor_a_condensing_model_receives_what_is_blocked_or_masked() {
    let conversation = |text: &str| {
        let mut request = asking("input", "", false);
        request["messages"] = json!([
            {"role": "user", "content": text}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "And?"}
        ]);
        request["kb"] = json!("condensed");
        request
    };
    let mut own = asking("input", "Hi", false);
    own["kb"] = json!({"name": "docs", "query": "contraband"});
    for request in [conversation("contraband"), own] {
        let gateway = start().await;
        let reply = gateway.as_key("sk-test-reader", &request).await;
        let reply = reply.json();
        // Before, the condensing model and the search were called first.
        assert_eq!(
            reply["choices"][0]["message"]["content"], MESSAGE,
            "{reply}"
        );
        assert_eq!(
            (&reply["kb"]["used"], &reply["kb"]["reason"]),
            (&json!(false), &json!("guardrail"))
        );
        let paths = gateway.simulator.received().into_iter().map(|one| one.path);
        let paths: Vec<_> = paths.filter(|path| !path.ends_with("/apply")).collect();
        assert_eq!(paths, Vec::<String>::new());
    }
    let gateway = start().await;
    let reply = gateway
        .as_key("sk-test-reader", &conversation("My secret-a1"))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for request in gateway.simulator.received() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let is_guardrail = request.path.ends_with("/apply");
        assert!(
            is_guardrail || !body.contains("secret-a1"),
            "{}: {body}",
            request.path
        );
    }
    let texts: Vec<_> = judged(&gateway)
        .into_iter()
        .flat_map(|(_, texts)| texts)
        .collect();
    let again = texts.iter().filter(|text| text.as_str() == "And?");
    assert_eq!(again.count(), 1, "no text is evaluated twice: {texts:?}");
}

#[tokio::test]
async fn a_blocked_reply_does_not_show_the_passages() {
    let gateway = start().await;
    let results = json!({"retrievalResults": [{
        "content": {"text": "contraband [1]"}, "score": 0.9, "metadata": {"note": "secret-zzz"},
        "location": {"type": "WEB", "webLocation": {"url": "https://x/secret-zzz"}}
    }]});
    script_passages(&gateway, &results);
    let mut request = asking("input", "q", false);
    request["kb"] = json!("docs");
    let reply = gateway.as_key("sk-test-reader", &request).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], MESSAGE);
    // Before, the passages' sources and metadata were shown.
    assert!(!reply.text().contains("secret-zzz"), "{}", reply.text());
    let kb = &reply.json()["kb"];
    let outcome = (&kb["used"], &kb["reason"], &kb["passages"]);
    assert_eq!(outcome, (&json!(false), &json!("guardrail"), &json!([])));
}

#[tokio::test]
async fn options_are_checked_before_a_guardrail_is_paid_for() {
    let gateway = start().await;
    let system = json!({"system": "Hi"});
    for (member, value) in [
        ("performance", json!("x")),
        ("cache", json!("x")),
        ("additional_model_request_fields", system),
    ] {
        let mut request = asking("input", "Hi", false);
        request["bedrock"] = json!({member: value});
        assert_eq!(gateway.chat(&request).await.status, 400);
    }
    assert_eq!(
        judged(&gateway),
        [],
        "before, the input was evaluated first"
    );
    let mut request = asking("carried", "Hi", false);
    request["bedrock"] =
        json!({"guardrail": {"identifier": "abc123", "version": "1", "guard": "last_user"}});
    let warnings = gateway
        .chat(&request)
        .await
        .header("x-lintel-warnings")
        .unwrap_or_default()
        .to_owned();
    // Before, there was no warning.
    assert!(
        warnings.contains("bedrock.guardrail.guard: ignored"),
        "{warnings}"
    );
}
