//! Answers from Knowledge Bases, with the simulator's documents and with scripted results.

mod answers;
mod caps;
mod condense;
mod failures;
mod grounding;
mod hostile;
mod images;
mod money;
mod passages;
mod permissions;
mod results;
mod searches;

use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{Gateway, Reply, user};

/// A key that may use every Knowledge Base.
const READER: &str = "sk-test-reader";

/// A key that may use two Knowledge Bases, with a filter on one file.
const TENANT: &str = "sk-test-tenant";

fn settings() -> String {
    format!(
        r#"
        [knowledge_bases.docs]
        id = "LINTELDOCS"
        description = "The gateway's own"
        retry = {{ attempts = 3, base = "1ms" }}
        [knowledge_bases.hasty]
        id = "HASTY00000"
        timeout = "200ms"
        [knowledge_bases.strict]
        id = "arn:aws:bedrock:eu-west-1:123456789012:knowledge-base/STRICT0000"
        on_error = "fail"
        [knowledge_bases.readme]
        id = "README0000"
        filter = {{ equals = {{ key = "file", value = "README.md" }} }}
        [knowledge_bases.plain]
        id = "NOHYBRID00"
        [knowledge_bases.managed]
        id = "MANAGED000"
        type = "managed"
        user_context = true
        guardrail = {{ identifier = "abc123", version = "1" }}
        [knowledge_bases.photos]
        id = "IMAGES0000"
        image_query = true
        rerank = "cohere.rerank-v3-5:0"
        [knowledge_bases.capped]
        id = "CAPPED0000"
        min_score = 0.3
        caps = {{ max_results = 6, max_context_chars = 9000, max_context_tokens = 3000, min_score = 0.2 }}
        [keys.reader]
        sha256 = "{reader}"
        knowledge_bases = ["*"]
        [keys.tenant]
        sha256 = "{tenant}"
        knowledge_bases = ["readme", "managed"]
        knowledge_base_filter = {{ type = "eq", key = "tenant", value = "acme" }}
        knowledge_base_user = "alice@example.com"
        "#,
        reader = crate::support::sha256(READER),
        tenant = crate::support::sha256(TENANT),
    )
}

async fn start() -> Gateway {
    Gateway::start_with(&settings()).await
}

/// Returns a request with `kb` and one user message.
fn asking(kb: Value, text: &str) -> Value {
    let mut request = user(text);
    request["kb"] = kb;
    request
}

/// Returns the bodies of all Retrieve requests.
fn searched(gateway: &Gateway) -> Vec<Value> {
    let received = gateway.simulator.received();
    let searches = received
        .iter()
        .filter(|request| request.path.ends_with("/retrieve"));
    searches
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

/// Returns the bodies of all requests to models.
fn conversed(gateway: &Gateway) -> Vec<Value> {
    let received = gateway.simulator.received();
    let calls = received
        .iter()
        .filter(|request| !request.path.ends_with("/retrieve"));
    calls
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

/// Returns the text before the question in the last request to a model.
fn context(gateway: &Gateway) -> String {
    let calls = conversed(gateway);
    let turn = calls.last().unwrap()["messages"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(turn["role"], "user", "never in the system prompt");
    turn["content"][0]["text"].as_str().unwrap().to_owned()
}

/// Scripts the results of the next Retrieve request.
fn results(gateway: &Gateway, results: Value) {
    gateway.simulator.script(ScriptedReply::json(
        200,
        json!({"retrievalResults": results}).to_string(),
    ));
}

/// Returns a result with a text and a score.
fn result(text: &str, score: Option<f64>) -> Value {
    json!({"content": {"text": text, "type": "TEXT"}, "location": {"type": "S3", "s3Location": {"uri": format!("s3://b/{text}")}}, "score": score})
}

/// Returns the `kb` object of a successful reply.
fn kb(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["kb"].clone()
}

/// Returns the cited text and the URL of every annotation.
fn cited(content: &str, annotations: &Value) -> Vec<(String, String)> {
    let chars: Vec<char> = content.chars().collect();
    let of = |annotation: &Value| {
        assert_eq!(annotation["type"], "url_citation");
        let citation = &annotation["url_citation"];
        let at = |member: &str| usize::try_from(citation[member].as_u64().unwrap()).unwrap();
        let marker: String = chars[at("start_index")..at("end_index")].iter().collect();
        (marker, citation["url"].as_str().unwrap().to_owned())
    };
    annotations
        .as_array()
        .map(|all| all.iter().map(of).collect())
        .unwrap_or_default()
}
