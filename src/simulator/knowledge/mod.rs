//! Knowledge Bases: `POST /knowledgebases/{knowledgeBaseId}/retrieve` over the gateway's own documentation. Every id
//! exists, except [`MISSING`]; [`EMPTY`] finds nothing and [`NO_HYBRID`] has no hybrid search. Ids that begin with
//! `MANAGED` belong to managed Knowledge Bases.

mod documents;
mod filter;

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{ServiceError, escapes, model, reply, request_id::with_request_id};

/// Ids with a behavior of their own.
const MISSING: &str = "MISSING000";
const EMPTY: &str = "EMPTY00000";
const NO_HYBRID: &str = "NOHYBRID00";
const MANAGED: &str = "MANAGED";
/// Ids that begin with this take images as queries.
const IMAGES: &str = "IMAGES";

/// What an image is searched by.
const SEEN: &str = "budget";

/// The number of results on one page.
const PAGE: usize = 6;

/// The number of results if the request names none.
const DEFAULT_RESULTS: u64 = 5;

/// The id of the Knowledge Base in a Retrieve request.
pub fn route(method: &Method, uri: &Uri) -> Option<String> {
    let path = uri
        .path()
        .strip_prefix("/knowledgebases/")
        .filter(|_| method == Method::POST)?;
    escapes::percent_decode(path.strip_suffix("/retrieve")?)
}

/// Answers a Retrieve request.
///
/// # Errors
/// The service's error for an invalid request, or the one that a directive in the query asks for.
pub async fn retrieve(id: &str, request: &Value) -> Result<Response, ServiceError> {
    model::AGENT_RUNTIME
        .check("RetrieveRequest", request, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    let resource = id
        .strip_prefix("arn:")
        .and_then(|arn| arn.rsplit_once('/'))
        .map_or(id, |(_, resource)| resource);
    if resource == MISSING {
        return Err(ServiceError {
            name: "ResourceNotFoundException",
            status: 404,
            message: format!(
                "Knowledge base arn:aws:bedrock:us-east-1:123456789012:knowledge-base/{resource} does not exist."
            ),
        });
    }
    let configuration = configuration(resource, request)?;
    let query = query(resource, request, configuration)?;
    let directives = Directives::of(query);
    if let Some(error) = directives.refusal() {
        return Err(error);
    }
    directives.wait().await;
    if directives.has("malformed") {
        return Ok(with_request_id(
            200,
            Body::from(r#"{"retrievalResults": 7"#),
        ));
    }
    if directives.has("guardrail") && request["guardrailConfiguration"].is_object() {
        return Ok(reply::json(
            &json!({"guardrailAction": "INTERVENED", "retrievalResults": []}),
        ));
    }
    let wanted = usize::try_from(
        configuration["numberOfResults"]
            .as_u64()
            .unwrap_or(DEFAULT_RESULTS),
    )
    .unwrap_or(1);
    let mut found = match resource == EMPTY || directives.has("empty") {
        true => Vec::new(),
        false => documents::search(query, &configuration["filter"]),
    };
    found.truncate(wanted);
    let reranking = &configuration["rerankingConfiguration"]["bedrockRerankingConfiguration"];
    if reranking.is_object() {
        documents::rerank(query, &mut found);
        found.truncate(
            reranking["numberOfRerankedResults"]
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(wanted),
        );
    }
    let start = request["nextToken"]
        .as_str()
        .and_then(|token| token.strip_prefix("page-")?.parse().ok())
        .unwrap_or(0);
    let mut body = json!({"retrievalResults": found.iter().skip(start).take(PAGE).map(documents::result).collect::<Vec<_>>()});
    if request["guardrailConfiguration"].is_object() {
        body["guardrailAction"] = "NONE".into();
    }
    if found.len() > start + PAGE {
        body["nextToken"] = format!("page-{}", start + PAGE).into();
    }
    Ok(reply::json(&body))
}

/// The text of the query, or what the image of the query shows.
///
/// # Errors
/// `ValidationException` if there is no query, or if the Knowledge Base or the search takes no images.
fn query<'a>(id: &str, request: &'a Value, configuration: &Value) -> Result<&'a str, ServiceError> {
    let query = &request["retrievalQuery"];
    let text = query["text"].as_str().unwrap_or_default();
    if query["image"].is_null() && query["type"] != "IMAGE" {
        return match text.trim() {
            "" => Err(ServiceError::validation("The query is empty.")),
            _ => Ok(text),
        };
    }
    let reranks = configuration["rerankingConfiguration"].is_object();
    let problem = match () {
        () if !id.starts_with(IMAGES) => "This knowledge base does not support image queries.",
        () if query["image"].is_null() || query["type"] != "IMAGE" || !text.is_empty() => {
            "A query of type IMAGE has an image and no text."
        }
        () if configuration["overrideSearchType"] == "HYBRID" || reranks => {
            "An image query supports neither hybrid search nor reranking."
        }
        () => return Ok(SEEN),
    };
    Err(ServiceError::validation(problem))
}

/// The search configuration for this kind of Knowledge Base.
///
/// # Errors
/// `ValidationException` if the request has the configuration of the other kind.
fn configuration<'a>(id: &str, request: &'a Value) -> Result<&'a Value, ServiceError> {
    let all = &request["retrievalConfiguration"];
    let (own, other) = match id.starts_with(MANAGED) {
        true => ("managedSearchConfiguration", "vectorSearchConfiguration"),
        false => ("vectorSearchConfiguration", "managedSearchConfiguration"),
    };
    if all[other].is_object() {
        return Err(ServiceError::validation(format!(
            "{other} is not supported for this knowledge base."
        )));
    }
    if id == NO_HYBRID && all[own]["overrideSearchType"] == "HYBRID" {
        let text = "HYBRID search type is not supported for search operation on index 0123456789. Retry your request with a different search type.";
        return Err(ServiceError::validation(text));
    }
    Ok(&all[own])
}

/// Faults on demand: `[simulate kb throttle]` in the query.
struct Directives<'a>(Vec<&'a str>);

impl<'a> Directives<'a> {
    fn of(query: &'a str) -> Self {
        let directives = query
            .split("[simulate kb ")
            .skip(1)
            .filter_map(|rest| rest.split(']').next());
        Self(directives.collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    async fn wait(&self) {
        if self.has("hang") {
            std::future::pending::<()>().await;
        }
        let slow = self
            .0
            .iter()
            .find_map(|directive| humantime::parse_duration(directive.strip_prefix("slow ")?).ok());
        tokio::time::sleep(slow.unwrap_or(Duration::ZERO)).await;
    }

    /// The error that the query asks for. An unknown directive is an error, too, so that a misspelled test fails.
    fn refusal(&self) -> Option<ServiceError> {
        let known = |directive: &str| {
            directive.starts_with("slow ")
                || ["hang", "malformed", "guardrail", "empty"].contains(&directive)
        };
        let (name, status, message) = match self
            .0
            .iter()
            .find(|directive| !known(directive))
            .copied()?
        {
            "throttle" => (
                "ThrottlingException",
                429,
                "Your request rate is too high. Reduce the frequency of requests.",
            ),
            "quota" => (
                "ServiceQuotaExceededException",
                400,
                "A quota of the account is exceeded.",
            ),
            "internal" => (
                "InternalServerException",
                500,
                "An internal server error occurred. Retry your request.",
            ),
            "access-denied" => (
                "AccessDeniedException",
                403,
                "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:Retrieve",
            ),
            "dependency-failed" => (
                "DependencyFailedException",
                424,
                "There was an issue with a dependency.",
            ),
            "bad-gateway" => (
                "BadGatewayException",
                502,
                "There was an issue with a dependency. Retry your request.",
            ),
            "conflict" => (
                "ConflictException",
                409,
                "There was a conflict performing an operation.",
            ),
            "not-ready" => (
                "ModelNotReadyException",
                424,
                "The model specified in the request is not ready to serve inference requests.",
            ),
            "validation" => (
                "ValidationException",
                400,
                "The filter at arn:aws:bedrock:us-east-1:123456789012:x is not valid.",
            ),
            other => {
                return Some(ServiceError::validation(format!(
                    "the simulator knows no fault 'kb {other}'"
                )));
            }
        };
        Some(ServiceError {
            name,
            status,
            message: message.to_owned(),
        })
    }
}

/// Rejects a Bedrock API key, because it is valid for the runtime only.
pub fn refuse_api_key() -> Response {
    ServiceError {
        name: "AccessDeniedException",
        status: 403,
        message:
            "Bearer tokens are not supported for this operation; sign it with Signature Version 4."
                .to_owned(),
    }
    .into_response()
}
