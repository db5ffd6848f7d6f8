//! Citations of replies, in the form of Converse.

use serde_json::{Map, Value, json};

/// Returns the citation as Converse would report it.
pub fn converse_citation(citation: &Value) -> Value {
    let document = |start: &str, end: &str| {
        json!({
            "documentIndex": citation["document_index"],
            "start": citation[start],
            "end": citation[end],
        })
    };
    let location = match citation["type"].as_str() {
        Some("char_location") => {
            json!({"documentChar": document("start_char_index", "end_char_index")})
        }
        Some("page_location") => {
            json!({"documentPage": document("start_page_number", "end_page_number")})
        }
        Some("content_block_location") => {
            json!({"documentChunk": document("start_block_index", "end_block_index")})
        }
        Some("search_result_location") => json!({"searchResultLocation": {
            "searchResultIndex": citation["search_result_index"],
            "start": citation["start_block_index"],
            "end": citation["end_block_index"],
        }}),
        _ => Value::Null,
    };
    let title = [&citation["document_title"], &citation["title"]]
        .into_iter()
        .find(|title| title.is_string());
    let members = [
        ("title", title.cloned()),
        (
            "source",
            Some(citation["source"].clone()).filter(Value::is_string),
        ),
        (
            "sourceContent",
            Some(json!([{"text": citation["cited_text"]}])),
        ),
        ("location", Some(location).filter(Value::is_object)),
    ];
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(Map::from_iter(members))
}
