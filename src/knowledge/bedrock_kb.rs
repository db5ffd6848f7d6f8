//! Searches in Knowledge Bases of Amazon Bedrock, with the Retrieve operation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::timeout;

use super::{Retriever, SearchContext, SearchResults, failure, wire};
use crate::{
    call::{KnowledgeBaseKind, MAX_PAGES, Passage, Rerank, Search, SearchType, SentMark},
    error::{Error, Kind},
    metrics,
    upstream::{Attempt, Attempts, Request, ServiceOperation, Subject, Transport, Try, collected},
};

/// The most bytes of one reply: enough for a hundred of the longest passages and some images.
const MAX_REPLY_BYTES: usize = 16 << 20;

/// The approximate size of a token, in bytes.
const TOKEN_BYTES: u64 = 4;

/// How long an unsupported search type is not requested again. Limited, because the store can be replaced.
const UNSUPPORTED_FOR: Duration = Duration::from_secs(3600);

/// Calls Retrieve page by page, with retries.
pub struct BedrockKnowledgeBases {
    attempts: Attempts,
    /// The search types that stores do not support, and when the service last reported it.
    unsupported: Mutex<HashMap<(Arc<str>, SearchType), Instant>>,
}

/// The outcome of one request.
enum Outcome {
    Page(Page),
    /// The store does not support the search type.
    SearchTypeUnsupported,
}

/// One page of results.
struct Page {
    passages: Vec<Passage>,
    /// The number of results with neither text nor an image.
    empty: usize,
    next: Option<String>,
    blocked: bool,
}

impl BedrockKnowledgeBases {
    /// Creates a retriever that sends requests through `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            attempts: Attempts::new(transport),
            unsupported: Mutex::default(),
        }
    }

    async fn search(&self, search: &Search, cx: SearchContext<'_>) -> Result<SearchResults, Error> {
        let base = &search.base;
        let warnings = cx.trace.warnings();
        let label = base.label();
        let subject = Subject::new(&base.target, &label, base.retry, cx.trace);
        let typed =
            base.kind == KnowledgeBaseKind::Vector && search.search_type != SearchType::Auto;
        let mut without_type = typed && self.is_unsupported(search);
        let mut results = SearchResults::default();
        let mut token = None;
        let mut empty = 0;
        for _ in 0..MAX_PAGES {
            let page = loop {
                let with_type = typed && !without_type;
                let mut request = wire::request(search, cx, with_type);
                request.next_token.clone_from(&token);
                let attempt = PageAttempt {
                    search,
                    cx,
                    request: encode(&request)?,
                    with_type,
                };
                match self
                    .attempts
                    .run(subject, ServiceOperation::Retrieve, attempt)
                    .await?
                {
                    Outcome::Page(page) => break page,
                    Outcome::SearchTypeUnsupported => without_type = true,
                }
            };
            results.passages.extend(page.passages);
            results.blocked |= page.blocked;
            empty += page.empty;
            token = page.next;
            let enough = results.passages.len() >= search.max_results as usize;
            if token.is_none() || results.blocked || enough {
                break;
            }
        }
        if without_type {
            self.remember_unsupported(search);
            let kind = search.search_type.as_str();
            warnings.add(format!(
                "kb: '{}' was searched without a search type (its vector store does not support {kind} search)",
                base.name
            ));
        }
        if empty > 0 {
            let name = &base.name;
            warnings.add(format!(
                "kb: results of '{name}' dropped: {empty} (neither text nor an image)"
            ));
        }
        Ok(results)
    }

    fn is_unsupported(&self, search: &Search) -> bool {
        let unsupported = self
            .unsupported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unsupported
            .get(&(search.base.name.clone(), search.search_type))
            .is_some_and(|since| since.elapsed() < UNSUPPORTED_FOR)
    }

    /// Remembers that the store does not support the search type. Call it only after the search without a type
    /// succeeded, because the service can reject the request for another reason.
    fn remember_unsupported(&self, search: &Search) {
        let key = (search.base.name.clone(), search.search_type);
        let mut unsupported = self
            .unsupported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if unsupported
            .get(&key)
            .is_none_or(|since| since.elapsed() >= UNSUPPORTED_FOR)
        {
            unsupported.insert(key, Instant::now());
            let (kb, kind) = (&*search.base.name, search.search_type.as_str());
            tracing::warn!(
                kb,
                search = kind,
                "the vector store does not support this search type; searching without a type for an hour"
            );
        }
    }
}

fn encode(request: &wire::RetrieveRequest<'_>) -> Result<Request, Error> {
    let body = serde_json::to_vec(request)
        .map(Bytes::from)
        .map_err(|error| {
            let text = "The request to the knowledge base could not be encoded.";
            Error::new(Kind::Internal, text).with_detail(error.to_string())
        })?;
    Ok(Request {
        operation: ServiceOperation::Retrieve,
        headers: Vec::new(),
        body,
    })
}

/// The attempt to fetch one page of results.
struct PageAttempt<'a> {
    search: &'a Search,
    cx: SearchContext<'a>,
    request: Request,
    with_type: bool,
}

impl Attempt for PageAttempt<'_> {
    type Output = Outcome;

    async fn attempt(&mut self, send: Try<'_>) -> Result<Outcome, Error> {
        let name = &self.search.base.name;
        let mut fee = FeeGuard {
            search: self.search,
            cx: self.cx,
            billed: true,
            sent: send.sent(),
            longest: None,
        };
        let reply = match send.send(self.request.clone()).await {
            Ok(reply) => reply,
            Err(error) => return Err(failure::from_send(error, name)),
        };
        let (parts, body) = reply.into_parts();
        fee.billed &= !parts.status.is_client_error();
        let body = collected(body, MAX_REPLY_BYTES).await;
        if parts.status.is_success() {
            let detail = |error: Error| error.detail().unwrap_or_default().to_owned();
            let page = body
                .map_err(detail)
                .and_then(|body| parse_page(&body, name));
            let page = page.map_err(|detail| failure::malformed(name, &parts.headers, &detail))?;
            fee.longest = Some(
                page.passages
                    .iter()
                    .map(|one| fee.document(one))
                    .max()
                    .unwrap_or(0),
            );
            return Ok(Outcome::Page(page));
        }
        let body = body.unwrap_or_default();
        let unsupported = self.with_type
            && parts.status == StatusCode::BAD_REQUEST
            && failure::is_about_search_type(&body);
        match unsupported {
            true => Ok(Outcome::SearchTypeUnsupported),
            false => Err(failure::from_reply(
                parts.status,
                &parts.headers,
                &body,
                self.search,
            )),
        }
    }
}

/// Parses the body of a reply.
///
/// # Errors
/// A text for the log, without any content of the body.
fn parse_page(body: &[u8], name: &Arc<str>) -> Result<Page, String> {
    let reply: wire::RetrieveReply = serde_json::from_slice(body).map_err(|error| {
        format!(
            "{:?} at column {} of {} bytes",
            error.classify(),
            error.column(),
            body.len()
        )
    })?;
    let results = reply.retrieval_results.len();
    let passages: Vec<Passage> = reply
        .retrieval_results
        .iter()
        .filter_map(|result| wire::passage(result, name))
        .collect();
    Ok(Page {
        empty: results - passages.len(),
        passages,
        next: reply.next_token.filter(|token| !token.is_empty()),
        blocked: reply.guardrail_action.as_deref() == Some("INTERVENED"),
    })
}

impl Retriever for BedrockKnowledgeBases {
    fn retrieve<'a>(
        &'a self,
        search: &'a Search,
        cx: SearchContext<'a>,
    ) -> BoxFuture<'a, Result<SearchResults, Error>> {
        Box::pin(async move {
            let (name, began) = (&search.base.name, Instant::now());
            let limit = search.base.timeout;
            let result = timeout(limit, self.search(search, cx)).await;
            let result = result.unwrap_or_else(|_| Err(failure::timed_out(name, limit)));
            metrics::kb_retrieved(name, began.elapsed());
            match &result {
                // Results that a guardrail blocked must not count as a search without results.
                Ok(found) if found.blocked => {}
                Ok(found) => metrics::kb_results(name, found.passages.len()),
                Err(error) => metrics::kb_error(name, error.label()),
            }
            result
        })
    }
}

/// Records the cost of reranking when the request ends, even if it fails or is cancelled: a query that was sent can be
/// billed, unless the service rejects it.
struct FeeGuard<'a> {
    search: &'a Search,
    cx: SearchContext<'a>,
    billed: bool,
    sent: SentMark,
    /// The bytes of the longest reranked document, once known.
    longest: Option<usize>,
}

impl FeeGuard<'_> {
    /// The bytes of a passage as it was reranked: with its metadata, if that is configured.
    fn document(&self, passage: &Passage) -> usize {
        let metadata = match &self.search.rerank {
            Rerank::Model(model) if model.metadata.is_some() => passage
                .metadata
                .iter()
                .map(|(key, value)| key.len() + value.to_string().len())
                .sum(),
            _ => 0,
        };
        passage.text.len() + metadata
    }
}

impl Drop for FeeGuard<'_> {
    fn drop(&mut self) {
        if !matches!(self.search.rerank, Rerank::Model(_)) || !self.billed || !self.sent.is_set() {
            return;
        }
        let query = self.cx.query;
        self.cx.trace.spending().add_fee(match self.longest {
            Some(longest) => self
                .search
                .fee(((query.len() + longest) as u64).div_ceil(TOKEN_BYTES)),
            None => self.search.max_fee(query.chars().count()),
        });
    }
}
