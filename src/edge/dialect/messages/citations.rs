//! Citations in Anthropic's form.

use serde_json::{Value, json};

use crate::openai::completion::Annotation;

/// Returns the citation for an annotation of the answer: of a document, of a search result or of a page of the web. What
/// the gateway itself has cited is a search result.
pub fn citation(annotation: &Annotation) -> Value {
    let Annotation::UrlCitation {
        url_citation,
        bedrock_citation,
    } = annotation;
    let raw = bedrock_citation.as_ref().unwrap_or(&Value::Null);
    let location = &raw["location"];
    let cited_text: String = raw["sourceContent"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|content| content["text"].as_str())
        .collect();
    let document = |kind: &str, place: &Value, unit: &str| {
        json!({
            "type": kind,
            "cited_text": cited_text,
            "document_index": place["documentIndex"],
            "document_title": url_citation.title,
            format!("start_{unit}"): place["start"],
            format!("end_{unit}"): place["end"],
        })
    };
    if let Some(place) = location.get("documentChar") {
        return document("char_location", place, "char_index");
    }
    if let Some(place) = location.get("documentPage") {
        return document("page_location", place, "page_number");
    }
    if let Some(place) = location.get("documentChunk") {
        return document("content_block_location", place, "block_index");
    }
    if location.get("web").is_some() {
        return json!({
            "type": "web_search_result_location",
            "cited_text": cited_text,
            "url": url_citation.url,
            "title": url_citation.title,
            "encrypted_index": "",
        });
    }
    let place = &location["searchResultLocation"];
    let number = |member: &str| place[member].as_u64().unwrap_or_default();
    json!({
        "type": "search_result_location",
        "cited_text": cited_text,
        "source": url_citation.url,
        "title": url_citation.title,
        "search_result_index": number("searchResultIndex"),
        "start_block_index": number("start"),
        "end_block_index": number("end"),
    })
}
