//! Answers with sources, whole and streamed, in combination with other parameters.

use serde_json::{Value, json};

use super::{READER, asking, cited, context, conversed, kb, result, results, searched, start};
use crate::support::streamed;

const QUESTION: &str = "What does a budget set aside?";

#[tokio::test]
async fn an_answer_cites_its_passages() {
    let gateway = start().await;
    let reply = gateway
        .as_key(READER, &asking(json!("docs"), QUESTION))
        .await;
    let kb = kb(&reply);
    assert_eq!(
        (&kb["name"], &kb["used"], kb.get("reason")),
        (&json!("docs"), &json!(true), None)
    );
    let passages = kb["passages"].as_array().unwrap();
    for (nth, passage) in passages.iter().enumerate() {
        assert_eq!(
            (&passage["index"], &passage["kb"]),
            (&json!(nth + 1), &json!("docs"))
        );
        assert_eq!(passage["source"], passage["location"]["s3Location"]["uri"]);
        assert!(
            passage["metadata"]["file"].is_string() && passage["score"].as_f64().unwrap() <= 1.0
        );
    }
    let message = &reply.json()["choices"][0]["message"];
    let found = cited(
        message["content"].as_str().unwrap(),
        &message["annotations"],
    );
    let source = |index: usize| passages[index]["source"].as_str().unwrap().to_owned();
    assert_eq!(
        found,
        [("[1]".to_owned(), source(0)), ("[2]".to_owned(), source(1))]
    );
    assert_eq!(
        searched(&gateway)[0]["retrievalQuery"]["text"],
        QUESTION,
        "the last user message"
    );
    let context = context(&gateway);
    assert!(
        context.contains("number=\"1\" source=\"s3://lintel-docs/")
            && context.contains("such as [1]"),
        "{context}"
    );
    let turn = conversed(&gateway)[0]["messages"][0]["content"].clone();
    assert_eq!(turn[1]["text"], QUESTION, "behind the passages, as it was");
    let said = kb["context_chars"].as_u64().unwrap();
    assert!(
        said <= 8000 && context.chars().count() as u64 > said,
        "{said}"
    );
}

#[tokio::test]
async fn a_stream_annotates_citations_and_ends_with_the_sources() {
    let gateway = start().await;
    let mut request = streamed(QUESTION);
    request["kb"] = json!({"name": ["docs"]});
    request["stream_options"] = json!({"include_usage": true});
    let reply = gateway.as_key(READER, &request).await;
    let events = reply.events();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let mut content = String::new();
    let mut found = Vec::new();
    for chunk in &chunks {
        let choice = &chunk["choices"][0];
        content += choice["delta"]["content"].as_str().unwrap_or_default();
        if !choice["delta"]["annotations"].is_null() {
            assert!(
                choice["delta"]["content"].as_str().unwrap().contains(']'),
                "the annotation is in the delta in which the marker ends"
            );
            found.extend(cited(&content, &choice["delta"]["annotations"]));
        }
        assert_eq!(
            chunk.get("kb").is_some(),
            choice["finish_reason"] == "stop",
            "{chunk}"
        );
    }
    let end = chunks.iter().find_map(|chunk| chunk.get("kb")).unwrap();
    assert_eq!(
        (&end["name"], &end["used"]),
        (&json!(["docs"]), &json!(true))
    );
    assert_eq!(
        found
            .iter()
            .map(|(marker, _)| marker.as_str())
            .collect::<Vec<_>>(),
        ["[1]", "[2]"]
    );
    assert_eq!(found[0].1, end["passages"][0]["source"].as_str().unwrap());
    let whole = gateway
        .as_key(READER, &asking(json!("docs"), QUESTION))
        .await
        .json();
    assert_eq!(
        whole["choices"][0]["message"]["content"], content,
        "a stream and a whole reply contain the same"
    );
    assert_eq!(whole["kb"]["passages"], end["passages"]);
}

#[tokio::test]
async fn sources_can_be_hidden() {
    let gateway = start().await;
    let request = asking(json!({"name": "docs", "include_sources": false}), QUESTION);
    let reply = gateway.as_key(READER, &request).await.json();
    assert_eq!(
        (&reply["kb"]["used"], reply["kb"].get("passages")),
        (&json!(true), None)
    );
    assert_eq!(reply["choices"][0]["message"].get("annotations"), None);
    assert!(
        reply["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .contains("[1]")
    );
    assert!(!reply.to_string().contains("s3://"));
}

#[tokio::test]
async fn all_choices_come_from_one_search() {
    let gateway = start().await;
    let mut request = asking(json!("docs"), QUESTION);
    request["n"] = 2.into();
    let reply = gateway.as_key(READER, &request).await.json();
    assert_eq!(
        (searched(&gateway).len(), conversed(&gateway).len()),
        (1, 2)
    );
    for choice in reply["choices"].as_array().unwrap() {
        assert_eq!(
            choice["message"]["annotations"].as_array().unwrap().len(),
            2
        );
    }
    request["stream"] = true.into();
    let reply = gateway.as_key(READER, &request).await;
    let chunks: Vec<&str> = reply
        .events()
        .into_iter()
        .filter(|event| event.contains("\"kb\":"))
        .collect();
    assert!(
        chunks.len() == 1 && chunks[0].contains("\"finish_reason\":\"stop\""),
        "one kb object for all choices: {chunks:?}"
    );
}

#[tokio::test]
async fn retrieval_does_not_change_tools_guardrail_and_system_prompt() {
    let gateway = start().await;
    let mut request = asking(json!("docs"), "look budgets up with the tool lookup");
    request["messages"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"role": "system", "content": "Be brief."}));
    request["tools"] = json!([{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}}]);
    request["bedrock"] =
        json!({"guardrail": {"identifier": "abc123", "version": "1", "guard": "last_user"}});
    let reply = gateway.as_key(READER, &request).await.json();
    assert_eq!(
        reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
        "lookup"
    );
    assert_eq!(reply["kb"]["used"], true);
    let sent = &conversed(&gateway)[0];
    assert_eq!(
        sent["system"],
        json!([{"text": "Be brief."}]),
        "the gateway adds nothing to the system prompt"
    );
    assert_eq!(sent["guardrailConfig"]["guardrailIdentifier"], "abc123");
    let turn = sent["messages"][0]["content"].as_array().unwrap();
    let guarded: Vec<bool> = turn
        .iter()
        .map(|block| block.get("guardContent").is_some())
        .collect();
    assert_eq!(
        guarded,
        [false, true, true],
        "the guardrail evaluates the passages and the question: {turn:?}"
    );
    // In the next request of the tool loop, the question is still the user's message.
    request["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "tool_calls": reply["choices"][0]["message"]["tool_calls"]}),
        json!({"role": "tool", "tool_call_id": reply["choices"][0]["message"]["tool_calls"][0]["id"], "content": "found"}),
    ]);
    let reply = gateway.as_key(READER, &request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    assert!(warnings.contains("not in a turn that the guardrail evaluates"));
    assert_eq!(
        searched(&gateway)[1]["retrievalQuery"]["text"],
        "look budgets up with the tool lookup"
    );
    let sent = &conversed(&gateway)[1]["messages"];
    assert!(
        sent[0]["content"][0].to_string().contains("passages-"),
        "the passages are before the question"
    );
    assert!(!sent[2].to_string().contains("passages-"));
}

#[tokio::test]
async fn kb_query_replaces_the_last_user_message_as_the_query() {
    let gateway = start().await;
    let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    let mut request = asking(json!("docs"), "");
    request["messages"] = json!([{"role": "user", "content": "first"}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": parts}]);
    assert_eq!(gateway.as_key(READER, &request).await.status, 200);
    request["kb"] = json!({"name": "docs", "query": "budgets"});
    assert_eq!(gateway.as_key(READER, &request).await.status, 200);
    // The passages become a user message if there is none.
    request["messages"] = json!([{"role": "system", "content": "Tell of budgets."}]);
    let reply = gateway.as_key(READER, &request).await;
    assert_eq!(
        (kb(&reply)["used"].clone(), reply.status.as_u16()),
        (json!(true), 200)
    );
    let long = "budget ".repeat(4000);
    request["kb"]["query"] = long.as_str().into();
    let reply = gateway.as_key(READER, &request).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("truncated to 20000 characters")
    );
    let texts: Vec<Value> = searched(&gateway)
        .iter()
        .map(|search| search["retrievalQuery"]["text"].clone())
        .collect();
    assert_eq!(
        texts[..3],
        [json!("one\ntwo"), json!("budgets"), json!("budgets")]
    );
    assert_eq!(texts[3].as_str().unwrap().len(), 20_000);
}

#[tokio::test]
async fn the_file_search_tool_is_equivalent_to_kb() {
    let gateway = start().await;
    let mut request = asking(Value::Null, QUESTION);
    request["tools"] = json!([{"type": "file_search", "vector_store_ids": ["docs"], "max_num_results": 2,
        "ranking_options": {"score_threshold": 0.1, "hybrid_search": {"embedding_weight": 1, "text_weight": 2}},
        "filters": {"type": "and", "filters": [{"type": "eq", "key": "file", "value": "README.md"}, {"type": "gte", "key": "part", "value": 1}]}}]);
    request["tool_choice"] = "required".into();
    let reply = gateway.as_key(READER, &request).await;
    let kb = kb(&reply);
    assert_eq!(
        (&kb["name"], kb["passages"].as_array().unwrap().len()),
        (&json!(["docs"]), 2)
    );
    assert_eq!(kb["passages"][0]["metadata"]["file"], "README.md");
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("tools[0].ranking_options.hybrid_search")
    );
    assert_eq!(
        conversed(&gateway)[0].get("toolConfig"),
        None,
        "the model does not receive the tool"
    );
    let sent = &searched(&gateway)[0]["retrievalConfiguration"]["vectorSearchConfiguration"];
    assert_eq!(sent["numberOfResults"], 2);
    assert_eq!(
        sent["filter"],
        json!({"andAll": [{"equals": {"key": "file", "value": "README.md"}}, {"greaterThanOrEquals": {"key": "part", "value": 1}}]})
    );
    request["kb"] = "docs".into();
    assert_eq!(
        gateway.as_key(READER, &request).await.error()["param"],
        "kb",
        "kb and file_search cannot be combined"
    );
    request["kb"] = Value::Null;
    let search = request["tools"][0].clone();
    request["tools"] = json!([search, {"type": "function", "function": {"name": ""}}]);
    let reply = gateway.as_key(READER, &request).await;
    assert_eq!(
        reply.error()["param"],
        "tools[1].function.name",
        "paths use the index in the client's list of tools"
    );
    request["tools"] = json!([search, {"type": "custom", "custom": {"name": "run"}}]);
    request["tool_choice"] = "auto".into();
    assert_eq!(gateway.as_key(READER, &request).await.status, 200);
    assert_eq!(
        conversed(&gateway)[1]["toolConfig"]["tools"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    request["tools"] = json!([search, search]);
    assert_eq!(
        gateway.as_key(READER, &request).await.error()["param"],
        "tools"
    );
}

#[tokio::test]
async fn several_knowledge_bases_share_one_numbering() {
    let gateway = start().await;
    results(
        &gateway,
        json!([result("good", Some(0.9)), result("poor", Some(0.2))]),
    );
    results(
        &gateway,
        json!([result("fair", Some(0.5)), result("mute", None)]),
    );
    let reply = gateway
        .as_key(READER, &asking(json!(["docs", "strict"]), QUESTION))
        .await;
    let kb = kb(&reply);
    let order: Vec<&str> = kb["passages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["source"].as_str().unwrap())
        .collect();
    assert_eq!(
        order,
        ["s3://b/good", "s3://b/fair", "s3://b/poor", "s3://b/mute"],
        "by score, and passages without a score last"
    );
    assert_eq!(kb["name"], json!(["docs", "strict"]));
    let mut names: Vec<&str> = kb["passages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kb"].as_str().unwrap())
        .collect();
    names.dedup();
    assert!(names.contains(&"docs") && names.contains(&"strict"));
}
