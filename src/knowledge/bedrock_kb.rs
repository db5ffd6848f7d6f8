//! Knowledge Bases of Amazon Bedrock, through Retrieve.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::timeout;

use super::{Asked, Found, Retriever, failure, wire};
use crate::{
    bedrock::{Operation, Retries, SendError, Subject, Transport, collected},
    call::{KnowledgeBaseKind, MAX_PAGES, Rerank, Search, SearchType, Spending},
    error::{Error, Kind},
    metrics,
};

/// Asks the service page by page, and again where that may help.
pub struct BedrockKnowledgeBases {
    transport: Arc<dyn Transport>,
    retries: Retries,
    /// Those whose store has refused a search type.
    plain: Mutex<HashSet<Arc<str>>>,
}

/// What one request came to.
enum Page {
    Read(wire::RetrieveReply),
    /// The store has no such search type.
    SearchTypeRefused,
}

impl BedrockKnowledgeBases {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, retries: Retries::default(), plain: Mutex::default() }
    }

    async fn search(&self, search: &Search, asked: Asked<'_>) -> Result<Found, Error> {
        let base = &search.base;
        let label = base.label();
        let Asked { notes, spending, .. } = asked;
        let subject = Subject { target: &base.target, label: &label, policy: base.retry, notes, spending };
        let mut attempts = self.retries.begin(&*self.transport, subject);
        let mut found = Found::default();
        let mut token = None;
        let mut pages = 0;
        let mut unread = 0;
        let typed = base.kind == KnowledgeBaseKind::Vector && search.search != SearchType::Auto;
        loop {
            let says_type = typed && !self.plain().contains(&base.name);
            let mut request = wire::request(search, asked.query, says_type);
            request.next_token = token.clone();
            let counted = Counted::new(search, asked.spending, &label, attempts.is_repeated());
            let reply = match self.page(search, &request, says_type, counted).await {
                Ok(Page::Read(reply)) => reply,
                Ok(Page::SearchTypeRefused) => {
                    self.plain().insert(base.name.clone());
                    tracing::warn!(kb = &*base.name, "its store has no such search type; it is searched without one");
                    continue;
                }
                Err(error) => {
                    attempts.after(error).await?;
                    continue;
                }
            };
            found.blocked |= reply.guardrail_action.as_deref() == Some("INTERVENED");
            for result in reply.retrieval_results {
                match wire::passage(result, &base.name) {
                    Some(passage) => found.passages.push(passage),
                    None => unread += 1,
                }
            }
            pages += 1;
            token = reply.next_token.filter(|token| !token.is_empty());
            let enough = found.passages.len() >= search.max_results as usize;
            if token.is_none() || enough || found.blocked || pages == MAX_PAGES {
                break;
            }
        }
        if typed && self.plain().contains(&base.name) {
            let search = search.search.as_str();
            notes.add(format!("kb: '{}' has no {search} search and was searched without", base.name));
        }
        if unread > 0 {
            notes.add(format!("kb: {unread} results of '{}' hold neither text nor an image", base.name));
        }
        Ok(found)
    }

    async fn page(
        &self,
        search: &Search,
        request: &wire::RetrieveRequest<'_>,
        says_type: bool,
        mut counted: Counted<'_>,
    ) -> Result<Page, Error> {
        let body = serde_json::to_vec(request).map(Bytes::from).map_err(|error| {
            Error::new(Kind::Internal, "The gateway could not write the request to the knowledge base.")
                .with_detail(error.to_string())
        })?;
        let reply = match self.transport.send(Operation::Retrieve, &search.base.target, body).await {
            Ok(reply) => reply,
            Err(error) => {
                counted.billed &= matches!(error, SendError::Lost(_) | SendError::Other(_));
                return counted.record(Err(failure::from_send(error)));
            }
        };
        let (parts, body) = reply.into_parts();
        counted.billed &= !parts.status.is_client_error();
        let body = collected(body).await;
        if parts.status.is_success() {
            return counted.record(body.map_err(failure::cut).and_then(|body| read(&body)).map(Page::Read));
        }
        let body = body.unwrap_or_default();
        let refused = says_type && parts.status == StatusCode::BAD_REQUEST && failure::is_about_search_type(&body);
        counted.record(match refused {
            true => Ok(Page::SearchTypeRefused),
            false => Err(failure::from_reply(parts.status, &parts.headers, &body, search.own_filter)),
        })
    }

    fn plain(&self) -> std::sync::MutexGuard<'_, HashSet<Arc<str>>> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(body: &[u8]) -> Result<wire::RetrieveReply, Error> {
    serde_json::from_slice(body).map_err(|error| {
        failure::malformed(format!("{:?} at column {} of {} bytes", error.classify(), error.column(), body.len()))
    })
}

impl Retriever for BedrockKnowledgeBases {
    fn retrieve<'a>(&'a self, search: &'a Search, asked: Asked<'a>) -> BoxFuture<'a, Result<Found, Error>> {
        Box::pin(async move {
            let (name, began) = (&search.base.name, Instant::now());
            let limit = search.base.timeout;
            let result = timeout(limit, self.search(search, asked)).await;
            let result = result.unwrap_or_else(|_| Err(failure::timed_out(limit)));
            metrics::kb_retrieved(name, began.elapsed());
            match &result {
                Ok(found) => metrics::kb_results(name, found.passages.len()),
                Err(error) => metrics::kb_error(name, error.code().unwrap_or(error.kind().reason())),
            }
            result
        })
    }
}

/// Counts a request however it ends, and what its reranking costs: a query may be on the bill once it has left, unless
/// the service refuses it.
struct Counted<'a> {
    search: &'a Search,
    spending: &'a Spending,
    label: &'a str,
    repeated: bool,
    code: &'static str,
    billed: bool,
}

impl<'a> Counted<'a> {
    fn new(search: &'a Search, spending: &'a Spending, label: &'a str, repeated: bool) -> Self {
        Self { search, spending, label, repeated, code: "abandoned", billed: true }
    }

    fn record(mut self, result: Result<Page, Error>) -> Result<Page, Error> {
        self.code = match &result {
            Ok(Page::Read(_)) => "ok",
            Ok(Page::SearchTypeRefused) => "search_type_refused",
            Err(error) => error.code().unwrap_or(error.kind().reason()),
        };
        result
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        metrics::upstream_request(&self.search.base.target.region, self.label, self.code, self.repeated);
        if let (Rerank::Model(model), true) = (&self.search.rerank, self.billed) {
            self.spending.fee(model.price);
        }
    }
}
