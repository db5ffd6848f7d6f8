//! Snapshots of the body that each model family receives for the same request. Models that receive the same body are
//! grouped.

use std::fs;

use lintel::{
    call::{Caller, Delivery, Warnings},
    catalogue,
    error::Error,
    model::{DefaultMaxTokens, Target},
    operation::Operation,
    upstream::converse::{self, Context},
};

use super::{files, name, settings};

/// One model of each family and generation, and one that is not in the catalogue.
const MODELS: [&str; 26] = [
    "anthropic.claude-3-haiku-20240307-v1:0",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "anthropic.claude-sonnet-4-20250514-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-4-6-v1",
    "us.anthropic.claude-opus-4-7",
    "us.anthropic.claude-sonnet-5",
    "us.anthropic.claude-sonnet-5-5",
    "amazon.nova-lite-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "meta.llama3-1-70b-instruct-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "mistral.mistral-large-2402-v1:0",
    "mistral.mistral-large-3-675b-instruct",
    "cohere.command-r-v1:0",
    "us.deepseek.r1-v1:0",
    "deepseek.v3.2",
    "openai.gpt-oss-120b-1:0",
    "openai.gpt-5.6-sol",
    "openai.gpt-6-sol",
    "qwen.qwen3-32b-v1:0",
    "moonshotai.kimi-k3",
    "zai.glm-5",
    "ai21.jamba-1-5-large-v1:0",
    "amazon.titan-text-express-v1",
    "somebody.new-v1:0",
];

/// Returns the operation, body and warnings for the model `id`.
fn sent(id: &str, body: &[u8]) -> Result<String, Error> {
    let warnings = Warnings::default();
    let lifecycle = |text: &str| text.starts_with("model: ");
    let request = lintel::edge::chat_request(body, &warnings)?;
    let mut model = catalogue::model("m", Target::new(id, "us-east-1"));
    // Models that differ in nothing but their maximum share a snapshot.
    model.defaults.max_tokens = DefaultMaxTokens::Fixed(4096);
    let caller = Caller::default();
    warnings.about_model(&model);
    let plan = request.plan(&model, &caller)?;
    let cx = Context {
        model: &model,
        caller: &caller,
        warnings: &warnings,
        messages: &request.messages,
        extras: Default::default(),
    };
    let translated = converse::chat_request(&request, &cx)?;
    let stream = plan.delivery == Delivery::Stream;
    let operation = if stream {
        "converse-stream"
    } else {
        "converse"
    };
    let converse = serde_json::to_string(&translated.request).unwrap();
    lintel::simulator::validate(id, converse.as_bytes(), stream)
        .unwrap_or_else(|error| panic!("{id} rejects the request: {error:?}\n{converse}"));
    // Warnings about the lifecycle of a model are the same for every request.
    let joined = warnings.joined().unwrap_or_default();
    let warnings: Vec<&str> = joined
        .split("; ")
        .filter(|text| !text.is_empty() && !lifecycle(text) && !text.starts_with("use "))
        .collect();
    let warnings = if warnings.is_empty() {
        "none".to_owned()
    } else {
        warnings.join("; ")
    };
    Ok(format!("{operation} {converse}\nwarnings: {warnings}"))
}

#[test]
fn requests_are_translated_for_each_model_family() {
    for path in files("families", ".json") {
        let body = fs::read(&path).unwrap();
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for id in MODELS {
            let text = sent(id, &body)
                .unwrap_or_else(|error| format!("refused: {error} [{:?}]", error.param()));
            let text = text.replace("word ".repeat(5000).as_str(), "word … ");
            match groups.iter_mut().find(|(other, _)| *other == text) {
                Some((_, ids)) => ids.push(id),
                None => groups.push((text, vec![id])),
            }
        }
        let text: String = groups
            .iter()
            .map(|(text, ids)| format!("{}\n{text}\n\n", ids.join("\n")))
            .collect();
        settings().bind(|| insta::assert_snapshot!(format!("family_{}", name(&path)), text));
    }
}
