//! `POST /v1/rerank`.

mod pages;

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{
    ANY_KEY, Gateway, KEY, Reply,
    endpoints::EMBEDDINGS,
    log::Log,
    money::{booked, budget, key, nano, standing},
    serve, simulator, user,
};

const RERANK: &str = "/v1/rerank";
const COHERE: &str = "cohere.rerank-v3-5:0";

/// The catalogue's price of one query to Cohere's model, in nano-dollars.
const QUERY: i64 = 2_000_000;

const SETTINGS: &str = r#"
    [models.ranker]
    target = "cohere.rerank-v3-5:0"
    [models.amazon]
    target = "amazon.rerank-v1:0"
    [models.picky]
    target = "cohere.rerank-v3-5:0"
    dropped_parameters = "refuse"
    [models.guarded]
    target = "cohere.rerank-v3-5:0"
    guardrail = { identifier = "abc123", version = "1", apply = "input" }
    [models.unguarded]
    target = "cohere.rerank-v3-5:0"
    guardrail = { identifier = "abc123", version = "1" }
    [models.chats]
    target = "amazon.nova-lite-v1:0"
    [models.own]
    target = "cohere.rerank-v3-5:0"
    price = { query = 0.5 }
    [models.few]
    target = "cohere.rerank-v3-5:0"
    limits = { requests_per_minute = 60, burst = 1 }
"#;

fn request(model: &str) -> Value {
    json!({"model": model, "query": "capital of France",
           "documents": ["Berlin is in Germany", "Paris is the capital of France", "The capital gains tax"]})
}

async fn rank(gateway: &Gateway, request: &Value) -> Reply {
    gateway.ask(RERANK, KEY, request).await
}

fn order(reply: &Reply) -> Vec<u64> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let reply = reply.json();
    let results = reply["results"].as_array().unwrap();
    let index = |result: &Value| result["index"].as_u64().unwrap();
    results.iter().map(index).collect()
}

#[tokio::test]
async fn documents_come_back_by_relevance_in_the_form_of_cohere_and_jina() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = rank(&gateway, &request("ranker")).await;
    assert_eq!(order(&reply), [1, 2, 0]);
    let body = reply.json();
    assert!(body["id"].as_str().unwrap().starts_with("rerank-"));
    assert_eq!(body["model"], "ranker");
    assert_eq!(
        body["results"][0],
        json!({"index": 1, "relevance_score": 1.0})
    );
    assert_eq!(body["meta"]["billed_units"]["search_units"], 1);
    let usage = &body["usage"];
    assert_eq!(
        (&usage["cost"], &usage["estimated"]),
        (&json!(0.002), &json!(true))
    );
    assert_eq!(reply.header("x-lintel-route"), Some("rerank"));
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.002"));
    assert_eq!(reply.header("x-lintel-model"), Some(COHERE));
    assert_eq!(reply.header("x-lintel-warnings"), None);
    let mut request = request("amazon");
    request["top_n"] = 2.into();
    request["return_documents"] = true.into();
    request["documents"][1] = json!({"text": "Paris is the capital of France"});
    let reply = rank(&gateway, &request).await;
    assert_eq!(order(&reply), [1, 2]);
    let document = &reply.json()["results"][0]["document"];
    assert_eq!(document, &json!({"text": "Paris is the capital of France"}));
    request["top_n"] = 99.into();
    assert_eq!(order(&rank(&gateway, &request).await).len(), 3);
}

#[tokio::test]
async fn rerank_receives_this_body() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("ranker");
    request["documents"] = json!(["one", {"text": "two"}]);
    request["top_n"] = 1.into();
    rank(&gateway, &request).await;
    let source = |text: &str| json!({"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}});
    let sent = gateway.sent();
    assert_eq!(sent.path, "/rerank");
    assert_eq!(
        serde_json::from_slice::<Value>(&sent.body).unwrap(),
        json!({
            "queries": [{"type": "TEXT", "textQuery": {"text": "capital of France"}}],
            "sources": [source("one"), source("two")],
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "numberOfResults": 1,
                    "modelConfiguration": {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0"},
                },
            },
        })
    );
}

/// Rerank takes no Bedrock API key, and InvokeModel does.
#[tokio::test]
async fn with_a_bedrock_api_key_the_request_goes_to_invoke_model() {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"");
    let variables = [("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-test")];
    let gateway = Gateway::start_in(simulator, &aws, SETTINGS, &variables).await;
    let reply = rank(&gateway, &request("ranker")).await;
    assert_eq!(order(&reply), [1, 2, 0]);
    let expected = Some("invoke; reason=bearer");
    assert_eq!(reply.header("x-lintel-route"), expected);
    let reply = rank(&gateway, &request("amazon")).await;
    assert_eq!(order(&reply), [1, 2, 0]);
    let raw = gateway.ask(RERANK, ANY_KEY, &request(COHERE)).await;
    assert_eq!(raw.header("x-lintel-route"), expected, "{}", raw.text());
    let [cohere, amazon, _] = &gateway.bodies()[..] else {
        panic!("three requests")
    };
    let documents = request("ranker")["documents"].clone();
    let common = json!({"query": "capital of France", "documents": documents, "top_n": 3});
    assert_eq!(amazon, &common);
    let mut versioned = common;
    versioned["api_version"] = 2.into();
    assert_eq!(cohere, &versioned);
}

#[tokio::test]
async fn a_wrong_request_is_a_400_that_names_the_member() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let one = |member: &str, value: Value| {
        let mut request = request("ranker");
        request[member] = value;
        request
    };
    for (request, param) in [
        (one("query", json!("")), "query"),
        (one("query", json!(7)), "query"),
        (one("query", json!("x".repeat(32_001))), "query"),
        (one("documents", json!([])), "documents"),
        (one("documents", json!("text")), "documents"),
        (one("documents", json!(["a", " "])), "documents[1]"),
        (
            one("documents", json!(["a", {"title": "b"}])),
            "documents[1].text",
        ),
        (one("documents", json!(["a", 1])), "documents[1]"),
        (
            one("documents", json!(["é".repeat(32_001)])),
            "documents[0]",
        ),
        (one("documents", json!(vec!["a"; 1001])), "documents"),
        (one("top_n", json!(0)), "top_n"),
        (one("top_n", json!(-1)), "top_n"),
        (one("return_documents", json!("yes")), "return_documents"),
        (one("rank_fields", json!(["title"])), "rank_fields"),
        (one("max_cost_usd", json!(0.0019)), "max_cost_usd"),
    ] {
        let shown: String = request.to_string().chars().take(120).collect();
        let reply = rank(&gateway, &request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
        assert_eq!(reply.error()["param"], param, "{shown}");
    }
    assert!(gateway.simulator.received().is_empty());
    let mut unknown = request("ranker");
    unknown["max_tokens_per_doc"] = 100.into();
    let reply = rank(&gateway, &unknown).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.starts_with("max_tokens_per_doc: ignored"),
        "{warnings}"
    );
    unknown["model"] = "picky".into();
    let reply = rank(&gateway, &unknown).await;
    assert_eq!(reply.error()["code"], "unsupported_parameter");
}

#[tokio::test]
async fn models_of_other_kinds_are_a_404() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = rank(&gateway, &request("chats")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let mut chat = user("Hi");
    chat["model"] = "ranker".into();
    let mut embedding = json!({"model": "ranker", "input": "text"});
    for reply in [
        gateway.chat(&chat).await,
        gateway.ask(EMBEDDINGS, KEY, &embedding).await,
    ] {
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
        assert_eq!(reply.error()["code"], "model_not_found");
    }
    embedding["model"] = COHERE.into();
    let models = gateway.get("/v1/models").await.json();
    let models = models["data"].as_array().unwrap();
    let listed = models.iter().find(|model| model["id"] == "ranker").unwrap();
    assert_eq!(
        (&listed["modality"], &listed["input_modalities"]),
        (&json!("rerank"), &json!(["text"]))
    );
    assert_eq!(
        (&listed["price"]["query"], &listed["tools"]),
        (&json!(0.002), &json!(false))
    );
    assert_eq!(listed.get("default_max_tokens"), None);
}

/// Checks that the ledger and the budget of a key have one request, and returns its kind and cost.
async fn only_record(gateway: &Gateway, id: &str) -> (String, i64) {
    gateway
        .until(async || !booked(gateway, id).await.is_empty())
        .await;
    let rows = booked(gateway, id).await;
    let [(kind, 1, cost)] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(standing(gateway, id).await, (cost.clone(), "0".to_owned()));
    (kind.clone(), nano(cost))
}

fn queries(gateway: &Gateway) -> i64 {
    let lines = gateway.simulator.invocations();
    lines
        .iter()
        .map(|line| line["units"]["queries"].as_i64().unwrap())
        .sum()
}

#[tokio::test]
async fn a_hundred_and_one_documents_hold_two_queries_and_so_does_a_long_one() {
    for documents in [json!(vec!["short"; 101]), json!(["x".repeat(32_000)])] {
        let gateway = Gateway::start_with(SETTINGS).await;
        let mut request = request("ranker");
        request["documents"] = documents;
        let (_, secret) = key(&gateway, budget(0.003_999_999)).await;
        let rejected = gateway.ask(RERANK, &secret, &request).await;
        assert_eq!(
            rejected.status,
            StatusCode::TOO_MANY_REQUESTS,
            "{}",
            rejected.text()
        );
        let message = rejected.error()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("$0.004") && message.contains("Send fewer or shorter documents"),
            "{message}"
        );
        assert!(gateway.simulator.received().is_empty());
        let (id, secret) = key(&gateway, budget(0.004)).await;
        let admitted = gateway.ask(RERANK, &secret, &request).await;
        assert_eq!(admitted.status, StatusCode::OK, "{}", admitted.text());
        assert_eq!(admitted.json()["meta"]["billed_units"]["search_units"], 2);
        assert_eq!(
            only_record(&gateway, &id).await,
            ("estimated".to_owned(), 2 * QUERY)
        );
        assert!(queries(&gateway) <= 2);
    }
}

#[tokio::test]
async fn the_operators_price_replaces_the_catalogues() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = rank(&gateway, &request("own")).await;
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.5"));
}

#[tokio::test]
async fn failures_are_openai_errors_and_booked_if_they_may_be_billed() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (directive, status, cost) in [
        ("validation", 400, 0),
        ("throttle", 429, 0),
        ("access-denied", 502, 0),
        ("reset", 502, QUERY),
    ] {
        let (id, secret) = key(&gateway, budget(0.002)).await;
        let mut request = request("ranker");
        request["query"] = format!("[simulate {directive}]").into();
        let reply = gateway.ask(RERANK, &secret, &request).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{directive}: {}",
            reply.text()
        );
        assert_eq!(only_record(&gateway, &id).await.1, cost, "{directive}");
    }
    for body in [
        r#"{"results": 7}"#,
        r#"{"results": []}"#,
        r#"{"results": [{"index": 3, "relevanceScore": 0.5}]}"#,
        r#"{"results": [{"index": 1, "relevanceScore": 0.5}, {"index": 1, "relevanceScore": 0.5}]}"#,
    ] {
        gateway.simulator.script(ScriptedReply::json(200, body));
        let (id, secret) = key(&gateway, budget(0.002)).await;
        let reply = gateway.ask(RERANK, &secret, &request("ranker")).await;
        assert_eq!(reply.error()["code"], "upstream_malformed", "{body}");
        assert_eq!(only_record(&gateway, &id).await.1, QUERY, "{body}");
    }
}

#[tokio::test]
async fn a_guardrail_judges_the_query_and_the_documents() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("guarded");
    request["documents"][2] = "Sell contraband".into();
    let reply = rank(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "content_filter");
    assert_eq!(
        gateway.simulator.received().len(),
        1,
        "the model receives nothing"
    );
    request["documents"][2] = "secret-a1 of France".into();
    let reply = rank(&gateway, &request).await;
    assert_eq!(order(&reply), [1, 2, 0]);
    let last = gateway.bodies().pop().unwrap().to_string();
    assert!(!last.contains("secret-a1"), "{last}");
    request["model"] = "unguarded".into();
    let reply = rank(&gateway, &request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("bedrock.guardrail: not applied"),
        "{warnings}"
    );
}

#[tokio::test]
async fn limits_and_the_log_treat_it_like_any_request() {
    let log = Log::start();
    let gateway = Gateway::start_with(SETTINGS).await;
    assert_eq!(order(&rank(&gateway, &request("few")).await).len(), 3);
    let reply = rank(&gateway, &request("few")).await;
    assert_eq!(reply.error()["code"], "rate_limit_exceeded");
    gateway
        .until(async || log.requests(RERANK).len() == 2)
        .await;
    let lines = log.requests(RERANK);
    let mut lines = lines.iter();
    let ok = lines.find(|line| line["status"] == 200).unwrap();
    assert_eq!(
        (&ok["model"], &ok["cost_usd"]),
        (&json!("few"), &json!("0.002"))
    );
    assert_eq!(ok["target_model"], COHERE);
    let (_, metrics) = gateway.admin("/metrics").await;
    assert!(metrics.contains(r#"route="/v1/rerank""#));
}
