use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join_all};
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{
        Call, OnError, Passage, Rerank, Retrieval, RetrievalRequest, Search, SearchReport,
        SearchType, Trace, Unplanned,
    },
    error::Error,
    knowledge::{
        self, MAX_QUERY, Retriever, SearchContext, SearchResults, citations,
        prompt::{self, QueryImage},
    },
    metrics,
    operation::{
        Served,
        chat::{Chat, ChatReply},
        expansion,
    },
    upstream::converse,
};

mod condense;

/// Searches the Knowledge Bases that a call names, puts the passages before its question, and annotates the citations in
/// the answer. Calls without a retrieval pass through unchanged.
#[derive(Clone)]
pub struct Retrieve {
    pub retriever: Arc<dyn Retriever>,
    pub completer: Arc<dyn Completer>,
}

/// Makes side calls for the gateway's own purposes. They pass through the whole pipeline, with the caller's limits and
/// budgets.
pub trait Completer: Send + Sync + 'static {
    /// Makes `call`.
    ///
    /// # Errors
    /// The error of the call.
    fn complete(
        &self,
        call: Call<Chat, Unplanned>,
    ) -> BoxFuture<'static, Result<Served<ChatReply>, Error>>;
}

/// The answer if a guardrail blocks the retrieval.
const BLOCKED: &str =
    "This question cannot be answered: the guardrail of the knowledge base blocked it.";

/// The combined outcome of all searches.
#[derive(Default)]
struct Outcome {
    searches: Vec<SearchReport>,
    passages: Vec<Passage>,
    blocked: bool,
    /// The error code of the first failed search.
    failed: Option<&'static str>,
}

impl Middleware<Chat> for Retrieve {
    async fn handle<S>(&self, mut call: Call<Chat>, mut next: S) -> Result<Reply<Chat>, Error>
    where
        S: Service<Call<Chat>, Response = Reply<Chat>, Error = Error, Future: Send> + Send,
    {
        let Some(request) = call.body.retrieval.clone() else {
            return next.call(call).await;
        };
        let include_passages = request.include_passages && may_include_passages(&call);
        // Before a search is paid for.
        call.trace.warnings().refuse_dropped(&call.model)?;
        let began = Instant::now();
        let query = self.query(&call, &request).await;
        let outcome = self.search_all(&call, &request, &query).await;
        call.trace.waited_since(began);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let failed = Outcome {
                    failed: Some(error.label()),
                    ..Outcome::default()
                };
                let retrieval = retrieval(&call, &request, failed, &query, began.elapsed());
                call.trace.set_retrieval(Arc::new(retrieval));
                return Err(error);
            }
        };
        let blocked = outcome.blocked;
        let mut retrieval = retrieval(&call, &request, outcome, &query, began.elapsed());
        retrieval.include_passages = include_passages;
        let mut growth = 0;
        if retrieval.used() {
            let tag = prompt::tag()?;
            let mut context = prompt::render(&retrieval.passages, request.template(), &tag);
            growth = unreserved(&context.text, &request);
            let images = retrieval
                .passages
                .iter_mut()
                .filter_map(|passage| passage.image.take());
            let images: Vec<_> = images.collect();
            let keep = retrieval.include_passages;
            let texts = retrieval.passages.iter_mut().map(|passage| match keep {
                true => passage.text.clone(),
                // Moved, because a stream can be long, and annotations need only the sources.
                false => std::mem::take(&mut passage.text),
            });
            context.sources = texts.collect();
            prompt::add_context(Arc::make_mut(&mut call.body), context, images.into_iter());
        }
        let retrieval = Arc::new(retrieval);
        call.trace.set_retrieval(retrieval.clone());
        call.trace.spending().reserve_growth(growth).await?;
        let json = call.body.wants_json();
        let served = if blocked {
            blocked_reply(&call)
        } else {
            next.call(call).await?
        };
        // A guardrail can have withheld the passages.
        let retrieval = served.trace.retrieval().cloned().unwrap_or(retrieval);
        Ok(served.map(|reply| citations::annotated(reply, retrieval, json)))
    }
}

impl Retrieve {
    /// Runs all searches concurrently.
    ///
    /// # Errors
    /// The error of a failed search with `on_error = "fail"`. The other searches are cancelled.
    async fn search_all(
        &self,
        call: &Call<Chat>,
        request: &RetrievalRequest,
        query: &str,
    ) -> Result<Outcome, Error> {
        let image = image_query(call, request);
        let image = image.as_ref();
        let searches = request.searches.iter().map(async |search| {
            let began = Instant::now();
            let image = image.filter(|_| search.base.image_query);
            let cx = SearchContext {
                query,
                image,
                trace: &call.trace,
            };
            let by_image = image.map(|_| search_by_image(search, &call.trace));
            let asked = by_image.as_ref().unwrap_or(search);
            match self.retriever.retrieve(asked, cx).await {
                Err(error) if search.on_error == OnError::Fail => Err(error),
                result => Ok((search, began.elapsed(), result)),
            }
        });
        let mut outcome = Outcome::default();
        for (search, took, result) in try_join_all(searches).await? {
            match result {
                Ok(results) => outcome.add(search, took, results),
                Err(error) => outcome.add_failure(call, search, took, &error),
            }
        }
        if outcome.blocked {
            outcome.passages.clear();
        }
        Ok(outcome)
    }

    /// Returns the query: the client's, the condensed conversation, or its last user message. Empty if all searches are
    /// by image.
    async fn query(&self, call: &Call<Chat>, request: &RetrievalRequest) -> String {
        let takes_image = request
            .searches
            .iter()
            .all(|search| search.base.image_query);
        if takes_image && image_query(call, request).is_some() {
            return String::new();
        }
        let own = match &request.query {
            Some(own) => Some(own.clone()),
            None => condense::query(&*self.completer, call, request).await,
        };
        let mut query = own
            .or_else(|| prompt::query(&call.body.messages))
            .unwrap_or_default();
        if let Some((end, _)) = query.char_indices().nth(MAX_QUERY) {
            query.truncate(end);
            call.trace.warnings().add(format!(
                "kb: the query was truncated to {MAX_QUERY} characters"
            ));
        }
        query
    }
}

/// Returns the image in the question, if the client sets no other query.
fn image_query<'a>(call: &'a Call<Chat>, request: &RetrievalRequest) -> Option<QueryImage<'a>> {
    match request.query {
        Some(_) => None,
        None => prompt::query_image(&call.body.messages),
    }
}

/// Returns the search as the service accepts it for an image: without keywords to match, and without reranking, which
/// compares texts.
fn search_by_image(search: &Search, trace: &Trace) -> Search {
    let rerank = match &search.rerank {
        Rerank::Model(_) | Rerank::Managed => {
            let warning = "kb.rerank: ignored, the query is an image";
            trace.warnings().add(warning);
            Rerank::Never
        }
        other => other.clone(),
    };
    Search {
        rerank,
        search_type: SearchType::Auto,
        ..search.clone()
    }
}

impl Outcome {
    fn add(&mut self, search: &Search, took: Duration, results: SearchResults) {
        self.blocked |= results.blocked;
        let kb = search.base.name.clone();
        let found = results.passages.len();
        let (best, dropped) = knowledge::best(search, results.passages);
        metrics::kb_dropped(&kb, dropped);
        self.searches.push(SearchReport {
            kb,
            found,
            dropped,
            context_chars: 0,
            took,
            failed: None,
        });
        self.passages.extend(best);
    }

    fn add_failure(&mut self, call: &Call<Chat>, search: &Search, took: Duration, error: &Error) {
        let (name, code) = (&search.base.name, error.label());
        tracing::warn!(
            request_id = &*call.request_id,
            kb = &**name,
            code,
            detail = error.detail(),
            "a search failed; the call continues without its passages"
        );
        call.trace.warnings().add(format!(
            "kb: '{name}' could not be searched ({code}): {}",
            error.message()
        ));
        self.failed.get_or_insert(code);
        let (kb, failed) = (name.clone(), Some(code));
        self.searches.push(SearchReport {
            kb,
            found: 0,
            dropped: 0,
            context_chars: 0,
            took,
            failed,
        });
    }
}

/// Returns the tokens that `text` may have above those that are reserved for it, at four bytes for each character. A
/// tokenizer that normalizes makes more of some characters.
fn unreserved(text: &str, request: &RetrievalRequest) -> u64 {
    let most = text.len().saturating_add(expansion::of_text(text)) as u64;
    most.saturating_sub(request.max_bytes())
}

/// Selects the passages for the prompt, and returns the outcome of the retrieval.
fn retrieval(
    call: &Call<Chat>,
    request: &RetrievalRequest,
    outcome: Outcome,
    query: &str,
    took: Duration,
) -> Retrieval {
    let Outcome {
        mut searches,
        passages,
        blocked,
        failed,
    } = outcome;
    let room = converse::MAX_IMAGES.saturating_sub(prompt::images(&call.body));
    let max_images = if call.model.facts.image {
        room.min(request.max_images as usize)
    } else {
        0
    };
    let selected = knowledge::select(passages, request, max_images, call.trace.warnings());
    for search in &mut searches {
        let own = selected
            .passages
            .iter()
            .filter(|passage| passage.kb == search.kb);
        search.context_chars = own.map(|passage| passage.text.chars().count()).sum();
        metrics::kb_context(&search.kb, search.context_chars);
    }
    let mut retrieval = Retrieval {
        names: request.names.clone(),
        searches,
        passages: selected.passages,
        reason: failed,
        context_chars: selected.context_chars,
        took,
        query_chars: query.chars().count(),
        include_sources: request.include_sources,
        include_passages: false,
    };
    if blocked {
        retrieval.reason = Some("guardrail");
    } else if !retrieval.used() {
        retrieval
            .reason
            .get_or_insert(match (retrieval.found(), retrieval.dropped()) {
                (0, _) => "no_results",
                (found, dropped) if found == dropped => "below_min_score",
                _ => "not_usable",
            });
    }
    retrieval
}

/// Reports whether the reply may include the passages' texts. A guardrail of the operator judges the prompt and the
/// answer, but nothing beside them.
fn may_include_passages(call: &Call<Chat>) -> bool {
    let guarded = !call.caller.guardrails_for(&call.model).is_empty();
    if guarded {
        let why = "the operator's guardrail does not evaluate them";
        call.trace.warnings().dropped("kb.include_passages", why);
    }
    !guarded
}

/// The reply to a call whose retrieval a guardrail blocked.
fn blocked_reply(call: &Call<Chat>) -> Reply<Chat> {
    Served {
        reply: ChatReply::blocked(&call.body, BLOCKED.to_owned(), &call.trace),
        model: call.model.clone(),
        plan: call.plan.clone(),
        trace: call.trace.clone(),
    }
}

#[cfg(test)]
mod tests;
