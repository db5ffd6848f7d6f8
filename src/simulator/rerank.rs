//! `POST /rerank`: reranks documents by the share of the query's words that they have. InvokeModel serves the same models.

use axum::{
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{ServiceError, Simulator, answer::pieces, fault::Plan, model, reply, sigv4};

/// The models, by the end of their ARN.
const MODELS: [&str; 2] = ["cohere.rerank-v3-5:0", "amazon.rerank-v1:0"];

/// The number of results on one page.
const PAGE: usize = 500;

/// A chunk of a document with the query, in tokens. The query takes up to half of them.
const CHUNK: usize = 510;

/// The chunks of one billed query.
const CHUNKS_PER_QUERY: usize = 100;

/// Reports whether a request is for Rerank.
pub fn is_rerank(method: &Method, uri: &Uri) -> bool {
    method == Method::POST && uri.path() == "/rerank"
}

/// Answers a Rerank request.
///
/// # Errors
/// The service's error for an invalid request, or the one that a directive in a text asks for.
pub async fn rerank(
    simulator: &Simulator,
    headers: &HeaderMap,
    request: &Value,
) -> Result<Response, ServiceError> {
    model::AGENT_RUNTIME
        .check("RerankRequest", request, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    let configuration = &request["rerankingConfiguration"]["bedrockRerankingConfiguration"];
    let arn = configuration["modelConfiguration"]["modelArn"]
        .as_str()
        .unwrap_or_default();
    let model = model_of(arn, sigv4::region(headers))?;
    let query = request["queries"][0]["textQuery"]["text"]
        .as_str()
        .unwrap_or_default();
    let sources = request["sources"].as_array().map_or(&[][..], Vec::as_slice);
    let documents = sources
        .iter()
        .map(|source| text(&source["inlineDocumentSource"]))
        .collect::<Result<Vec<_>, _>>()?;
    let plan = Plan::from_texts(std::iter::once(query).chain(documents.iter().copied()));
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let mut results = ranked(query, &documents);
    results.truncate(
        configuration["numberOfResults"]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(results.len()),
    );
    let start = request["nextToken"]
        .as_str()
        .and_then(|token| token.strip_prefix("page-")?.parse().ok())
        .unwrap_or(0);
    let usage = json!({"queries": queries(query, &documents)});
    simulator.bill("Rerank", model, &Value::Null, &usage);
    plan.before_reply().await;
    let page = results.iter().skip(start).take(PAGE);
    let page = page.map(|(index, score)| json!({"index": index, "relevanceScore": score}));
    let mut body = json!({"results": page.collect::<Vec<_>>()});
    if results.len() > start + PAGE {
        body["nextToken"] = format!("page-{}", start + PAGE).into();
    }
    Ok(reply::whole_body(&body, &plan))
}

/// The model of an ARN, which must be one of the called region.
fn model_of(arn: &str, region: Option<&str>) -> Result<&'static str, ServiceError> {
    let (head, id) = arn.split_once("::foundation-model/").unwrap_or_default();
    let own = head.rsplit(':').next().unwrap_or_default();
    let model = MODELS.into_iter().find(|model| *model == id);
    match model {
        Some(model) if region.is_none_or(|region| region == own) => Ok(model),
        _ => Err(ServiceError::validation(format!(
            "The model ARN {arn} is not a reranking model of this Region."
        ))),
    }
}

fn text(document: &Value) -> Result<&str, ServiceError> {
    match (document["type"].as_str(), &document["textDocument"]["text"]) {
        (Some("TEXT"), Value::String(text)) => Ok(text),
        _ => Err(ServiceError::validation(
            "The simulator reranks documents of type TEXT only.",
        )),
    }
}

/// The positions and scores of `documents`, the most relevant first.
pub fn ranked(query: &str, documents: &[&str]) -> Vec<(usize, f64)> {
    let words = |text: &str| -> Vec<String> {
        let lower = text.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric());
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let wanted = words(query);
    let score = |document: &str| {
        let own = words(document);
        let found = wanted.iter().filter(|word| own.contains(word)).count();
        found as f64 / wanted.len().max(1) as f64
    };
    let mut ranked: Vec<_> = documents
        .iter()
        .map(|text| score(text))
        .enumerate()
        .collect();
    // Stable, so that equal documents stay in order.
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked
}

/// The billed queries.
pub fn queries(query: &str, documents: &[&str]) -> usize {
    let room = CHUNK - pieces(query).count().min(CHUNK / 2);
    let chunks = |text: &&str| pieces(text).count().div_ceil(room).max(1);
    let chunks: usize = documents.iter().map(chunks).sum();
    chunks.div_ceil(CHUNKS_PER_QUERY)
}
