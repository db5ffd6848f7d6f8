//! Knowledge Bases of Amazon Bedrock, through Retrieve.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::timeout;

use super::{Asked, Found, Retriever, failure, wire};
use crate::{
    bedrock::{Operation, Retries, SendError, Subject, Transport, collected},
    call::{KnowledgeBaseKind, MAX_PAGES, Passage, Rerank, Search, SearchType},
    error::{Error, Kind},
    metrics,
};

/// Bytes of one reply: a hundred results with the longest passages, and some images.
const MAX_REPLY_BYTES: usize = 16 << 20;

/// About as many bytes are a token.
const TOKEN_BYTES: u64 = 4;

/// How long a store is believed to have no such search: it may be mended.
const WITHOUT_FOR: Duration = Duration::from_secs(3600);

/// Asks the service page by page, and again where that may help.
pub struct BedrockKnowledgeBases {
    transport: Arc<dyn Transport>,
    retries: Retries,
    /// Search types that stores have refused, and since when.
    refused: Mutex<HashMap<(Arc<str>, SearchType), Instant>>,
}

/// What one request came to.
enum Outcome {
    Read(Page),
    /// The store has no such search type.
    SearchTypeRefused,
}

struct Page {
    passages: Vec<Passage>,
    /// Results that hold nothing.
    empty: usize,
    next: Option<String>,
    blocked: bool,
}

impl BedrockKnowledgeBases {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            retries: Retries::default(),
            refused: Mutex::default(),
        }
    }

    async fn search(&self, search: &Search, asked: Asked<'_>) -> Result<Found, Error> {
        let base = &search.base;
        let label = base.label();
        let Asked {
            notes, spending, ..
        } = asked;
        let (operation, target, policy) = (Operation::Retrieve, &base.target, base.retry);
        let subject = Subject {
            operation,
            target,
            label: &label,
            policy,
            notes,
            spending,
        };
        let mut attempts = self.retries.begin(&*self.transport, subject);
        let typed =
            base.kind == KnowledgeBaseKind::Vector && search.search_type != SearchType::Auto;
        let mut without_type = typed && self.has_refused(search);
        let mut found = Found::default();
        let mut token = None;
        let mut empty = 0;
        for _ in 0..MAX_PAGES {
            let page = loop {
                let says_type = typed && !without_type;
                let mut request = wire::request(search, asked.query, says_type);
                request.next_token.clone_from(&token);
                let counted = Counted::new(search, asked, &label, attempts.is_repeated());
                match self.page(search, &request, says_type, counted).await {
                    Ok(Outcome::Read(page)) => break page,
                    Ok(Outcome::SearchTypeRefused) => without_type = true,
                    Err(error) => attempts.after(error).await?,
                }
            };
            found.passages.extend(page.passages);
            found.blocked |= page.blocked;
            empty += page.empty;
            token = page.next;
            if token.is_none()
                || found.blocked
                || found.passages.len() >= search.max_results as usize
            {
                break;
            }
        }
        if without_type {
            self.remember(search);
            let kind = search.search_type.as_str();
            notes.add(format!(
                "kb: '{}' has no {kind} search and was searched without",
                base.name
            ));
        }
        if empty > 0 {
            notes.add(format!(
                "kb: results of '{}' that hold neither text nor an image: {empty}",
                base.name
            ));
        }
        Ok(found)
    }

    async fn page(
        &self,
        search: &Search,
        request: &wire::RetrieveRequest<'_>,
        says_type: bool,
        mut counted: Counted<'_>,
    ) -> Result<Outcome, Error> {
        let name = &search.base.name;
        let body = serde_json::to_vec(request)
            .map(Bytes::from)
            .map_err(|error| {
                Error::new(
                    Kind::Internal,
                    "The gateway could not write the request to the knowledge base.",
                )
                .with_detail(error.to_string())
            })?;
        let reply = match self
            .transport
            .send(Operation::Retrieve, &search.base.target, body)
            .await
        {
            Ok(reply) => reply,
            Err(error) => {
                counted.billed &= matches!(error, SendError::Lost(_) | SendError::Other(_));
                return counted.record(Err(failure::from_send(error, name)));
            }
        };
        let (parts, body) = reply.into_parts();
        counted.billed &= !parts.status.is_client_error();
        let body = collected(body, MAX_REPLY_BYTES).await;
        if parts.status.is_success() {
            let cut = |error: Error| error.detail().unwrap_or_default().to_owned();
            let page = body.map_err(cut).and_then(|body| read(&body, name));
            let page = page.map_err(|detail| failure::malformed(name, &parts.headers, &detail));
            return counted.record(page.map(Outcome::Read));
        }
        let body = body.unwrap_or_default();
        let refused = says_type
            && parts.status == StatusCode::BAD_REQUEST
            && failure::is_about_search_type(&body);
        counted.record(match refused {
            true => Ok(Outcome::SearchTypeRefused),
            false => Err(failure::from_reply(
                parts.status,
                &parts.headers,
                &body,
                search,
            )),
        })
    }

    fn has_refused(&self, search: &Search) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused
            .get(&(search.base.name.clone(), search.search_type))
            .is_some_and(|since| since.elapsed() < WITHOUT_FOR)
    }

    /// Only once the search without a type went well: the refusal may have been about something else.
    fn remember(&self, search: &Search) {
        let key = (search.base.name.clone(), search.search_type);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused
            .get(&key)
            .is_none_or(|since| since.elapsed() >= WITHOUT_FOR)
        {
            refused.insert(key, Instant::now());
            let (kb, kind) = (&*search.base.name, search.search_type.as_str());
            tracing::warn!(
                kb,
                search = kind,
                "the store has no such search; it is searched without for an hour"
            );
        }
    }
}

/// # Errors
/// A text for the log, without anything of the body.
fn read(body: &[u8], name: &Arc<str>) -> Result<Page, String> {
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
        asked: Asked<'a>,
    ) -> BoxFuture<'a, Result<Found, Error>> {
        Box::pin(async move {
            let (name, began) = (&search.base.name, Instant::now());
            let limit = search.base.timeout;
            let result = timeout(limit, self.search(search, asked)).await;
            let result = result.unwrap_or_else(|_| Err(failure::timed_out(name, limit)));
            metrics::kb_retrieved(name, began.elapsed());
            match &result {
                // What a guardrail holds back was not missing.
                Ok(found) if found.blocked => {}
                Ok(found) => metrics::kb_results(name, found.passages.len()),
                Err(error) => metrics::kb_error(name, error.label()),
            }
            result
        })
    }
}

/// Counts a request however it ends, and what its reranking costs: a query may be on the bill once it has left, unless
/// the service refuses it.
struct Counted<'a> {
    search: &'a Search,
    asked: Asked<'a>,
    label: &'a str,
    repeated: bool,
    code: &'static str,
    billed: bool,
    /// Bytes of the longest document that was reranked, once it is known.
    longest: Option<usize>,
}

impl<'a> Counted<'a> {
    fn new(search: &'a Search, asked: Asked<'a>, label: &'a str, repeated: bool) -> Self {
        Self {
            search,
            asked,
            label,
            repeated,
            code: "abandoned",
            billed: true,
            longest: None,
        }
    }

    /// Bytes that a passage was when it was reranked: with its metadata, where the operator wants that.
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

    fn record(mut self, result: Result<Outcome, Error>) -> Result<Outcome, Error> {
        self.code = match &result {
            Ok(Outcome::Read(page)) => {
                self.longest = Some(
                    page.passages
                        .iter()
                        .map(|passage| self.document(passage))
                        .max()
                        .unwrap_or(0),
                );
                "ok"
            }
            Ok(Outcome::SearchTypeRefused) => "search_type_refused",
            Err(error) => error.label(),
        };
        result
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Self { search, asked, .. } = self;
        metrics::upstream_request(
            &search.base.target.region,
            self.label,
            self.code,
            self.repeated,
        );
        if matches!(search.rerank, Rerank::Model(_)) && self.billed {
            asked.spending.fee(match self.longest {
                Some(longest) => {
                    search.fee(((asked.query.len() + longest) as u64).div_ceil(TOKEN_BYTES))
                }
                None => search.most_fee(asked.query.chars().count()),
            });
        }
    }
}
