//! Reranking models: the documents as strings, and the scores of the best.

use serde_json::{Value, json};

use super::Answer;
use crate::simulator::rerank::{queries, ranked};

pub fn answer(body: &Value) -> Answer {
    let query = body["query"].as_str().unwrap_or_default();
    let documents: Vec<&str> = body["documents"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut results = ranked(query, &documents);
    results.truncate(
        body["top_n"]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(results.len()),
    );
    let results = results.iter();
    let results = results.map(|(index, score)| json!({"index": index, "relevance_score": score}));
    Answer {
        reply: json!({"results": results.collect::<Vec<_>>()}),
        usage: json!({"queries": queries(query, &documents)}),
    }
}
