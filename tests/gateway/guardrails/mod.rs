//! Guardrails that the gateway applies itself, before and after any model, and what guardrails cost.

mod bypass;
mod growth;
mod in_call;
mod input;
mod money;
mod output;
mod overlap;

use serde_json::{Value, json};

use crate::support::{Gateway, money::of, user};

/// The message of the simulator's guardrails.
const MESSAGE: &str = "The guardrail blocked this.";

/// A PNG of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Models whose guardrail is applied to the input, to the answer, or to both, or is in the call to the model.
fn settings() -> String {
    let model = |name: &str, target: &str, guardrail: &str| {
        format!(
            r#"
            [models.{name}]
            target = "{target}"
            price = {{ input = 2.0, output = 10.0 }}
            retry = {{ attempts = 2, base = "1ms" }}
            guardrail = {{ version = "1", {guardrail} }}
            "#
        )
    };
    let chat = "amazon.nova-lite-v1:0";
    let traced = r#"identifier = "abc123", trace = "enabled", show_trace = true"#;
    [
        model("input", chat, &format!(r#"{traced}, apply = "input""#)),
        model("output", chat, &format!(r#"{traced}, apply = "output""#)),
        model("both", chat, r#"identifier = "abc123", apply = "both""#),
        model("call", chat, r#"identifier = "abc123""#),
        model("shown", chat, traced),
        model(
            "silent",
            chat,
            r#"identifier = "abc123", trace = "disabled", show_trace = true"#,
        ),
        model(
            "missing",
            chat,
            r#"identifier = "missing000", apply = "both""#,
        ),
        model(
            "vectors",
            "amazon.titan-embed-text-v2:0",
            r#"identifier = "abc123", apply = "input""#,
        ),
        r#"
        [models.bare]
        target = "amazon.nova-lite-v1:0"
        price = { input = 2.0, output = 10.0 }
        [knowledge_bases.docs]
        id = "LINTELDOCS"
        "#
        .to_owned(),
    ]
    .concat()
}

async fn start() -> Gateway {
    Gateway::start_with(&settings()).await
}

/// The bodies of all requests whose path ends with `operation`.
fn sent(gateway: &Gateway, operation: &str) -> Vec<Value> {
    let received = gateway.simulator.received();
    let requests = received
        .iter()
        .filter(|request| request.path.ends_with(operation));
    requests
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

/// The source and the texts of all guardrail requests.
fn judged(gateway: &Gateway) -> Vec<(String, Vec<String>)> {
    let of = |body: &Value| {
        let blocks = body["content"].as_array().unwrap().iter();
        let texts = blocks.filter_map(|block| block["text"]["text"].as_str());
        let source = body["source"].as_str().unwrap().to_owned();
        (source, texts.map(str::to_owned).collect())
    };
    sent(gateway, "/apply").iter().map(of).collect()
}

/// The next search finds `results`, after the guardrail has passed the question.
fn script_passages(gateway: &Gateway, results: &Value) {
    let pass = json!({"usage": {}, "action": "NONE", "outputs": [], "assessments": []});
    for reply in [&pass, results] {
        let reply = lintel::simulator::ScriptedReply::json(200, reply.to_string());
        gateway.simulator.script(reply);
    }
}

/// A request with one user message, whole or streamed.
fn asking(model: &str, text: &str, stream: bool) -> Value {
    let mut request = of(model, user(text));
    request["stream"] = stream.into();
    if stream {
        request["stream_options"] = json!({"include_usage": true});
    }
    request
}

/// What a client receives: the content and the finish reason of the first choice, and whether the reply is complete.
struct Received {
    content: String,
    finish: Value,
    is_complete: bool,
    /// The chunks of a stream, or the whole reply.
    chunks: Vec<Value>,
}

impl Received {
    /// The first value of a top-level member that is not null.
    fn member(&self, name: &str) -> &Value {
        let values = self.chunks.iter().map(|chunk| &chunk[name]);
        values
            .into_iter()
            .find(|value| !value.is_null())
            .unwrap_or(&Value::Null)
    }
}

async fn receive(gateway: &Gateway, request: &Value) -> Received {
    let reply = gateway.chat(request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    if request["stream"] != true {
        let whole = reply.json();
        let choice = &whole["choices"][0];
        return Received {
            content: choice["message"]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            finish: choice["finish_reason"].clone(),
            is_complete: true,
            chunks: vec![whole],
        };
    }
    let events = reply.events();
    let is_complete = events.last() == Some(&"[DONE]");
    let chunks: Vec<Value> = events
        .iter()
        .filter(|event| **event != "[DONE]")
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let choices = || chunks.iter().map(|chunk| &chunk["choices"][0]);
    let content = choices()
        .filter_map(|choice| choice["delta"]["content"].as_str())
        .collect();
    let finish = choices()
        .map(|choice| choice["finish_reason"].clone())
        .find(|finish| !finish.is_null());
    Received {
        content,
        finish: finish.unwrap_or_default(),
        is_complete,
        chunks,
    }
}
