use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    future::{BoxFuture, try_join_all},
    stream,
};
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Call, OnError, Passage, Retrieval, RetrievalRequest, Search, SearchReport, Unplanned},
    error::Error,
    knowledge::{self, MAX_QUERY, Retriever, SearchContext, SearchResults, citations, prompt},
    metrics,
    money::{Cost, Usage},
    openai::completion::FinishReason,
    operation::{
        Served,
        chat::{Chat, ChatReply, ChoiceChunk, Chunk, ChunkStream, WholeReply},
    },
    upstream::converse,
};

mod condense;

/// Searches the Knowledge Bases that a call asks, puts what they found before its question, and marks in the answer where
/// it cites. Calls that ask none pass through.
#[derive(Clone)]
pub struct Retrieve {
    pub retriever: Arc<dyn Retriever>,
    pub completer: Arc<dyn Completer>,
}

/// Makes calls for the gateway's own purposes, on their way like any caller's: limited, metered, and paid for.
pub trait Completer: Send + Sync + 'static {
    /// # Errors
    /// Those of the call.
    fn complete(
        &self,
        call: Call<Chat, Unplanned>,
    ) -> BoxFuture<'static, Result<Served<ChatReply>, Error>>;
}

/// What the client reads where a guardrail lets nothing through.
const BLOCKED: &str =
    "This question cannot be answered here: the guardrail of the knowledge base has stopped it.";

/// What all searches together came to.
#[derive(Default)]
struct Gathered {
    searches: Vec<SearchReport>,
    passages: Vec<Passage>,
    blocked: bool,
    /// The code of the first failure.
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
        let began = Instant::now();
        let gathered = self.gather(&call, &request).await;
        call.trace.waited_since(began);
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(error) => {
                let failed = Gathered {
                    failed: Some(error.label()),
                    ..Gathered::default()
                };
                let retrieval = chosen(&call, &request, failed, began.elapsed());
                call.trace.set_retrieval(Arc::new(retrieval));
                return Err(error);
            }
        };
        let blocked = gathered.blocked;
        let mut retrieval = chosen(&call, &request, gathered, began.elapsed());
        if retrieval.used() {
            let tag = prompt::tag()?;
            let context = prompt::render(&retrieval.passages, request.template(), &tag);
            let images = retrieval
                .passages
                .iter_mut()
                .filter_map(|passage| passage.image.take());
            prompt::add_context(Arc::make_mut(&mut call.body), context, images);
            // A stream may be long, and its reader needs no more than the sources.
            for passage in &mut retrieval.passages {
                passage.text = String::new();
            }
        }
        let retrieval = Arc::new(retrieval);
        call.trace.set_retrieval(retrieval.clone());
        let json = call.body.wants_json();
        let served = if blocked {
            refusal(&call)
        } else {
            next.call(call).await?
        };
        Ok(served.map(|reply| citations::annotated(reply, retrieval, json)))
    }
}

impl Retrieve {
    /// # Errors
    /// A failed search, where the operator or the client wants that to fail the call; the others are given up then.
    async fn gather(
        &self,
        call: &Call<Chat>,
        request: &RetrievalRequest,
    ) -> Result<Gathered, Error> {
        let query = self.query(call, request).await;
        let asked = SearchContext {
            query: &query,
            trace: &call.trace,
        };
        let searches = request.searches.iter().map(async |search| {
            let began = Instant::now();
            match self.retriever.retrieve(search, asked).await {
                Err(error) if search.on_error == OnError::Fail => Err(error),
                result => Ok((search, began.elapsed(), result)),
            }
        });
        let mut gathered = Gathered::default();
        for (search, took, result) in try_join_all(searches).await? {
            match result {
                Ok(found) => gathered.add(search, took, found),
                Err(error) => gathered.survive(call, search, took, &error),
            }
        }
        if gathered.blocked {
            gathered.passages.clear();
        }
        Ok(gathered)
    }

    /// What to look for: what the client says, the conversation as one question, or its last user message.
    async fn query(&self, call: &Call<Chat>, request: &RetrievalRequest) -> String {
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
                "kb: the question was cut to {MAX_QUERY} characters for the search"
            ));
        }
        query
    }
}

impl Gathered {
    fn add(&mut self, search: &Search, took: Duration, found: SearchResults) {
        self.blocked |= found.blocked;
        let kb = search.base.name.clone();
        let count = found.passages.len();
        let (best, dropped) = knowledge::best(search, found.passages);
        metrics::kb_dropped(&kb, dropped);
        self.searches.push(SearchReport {
            kb,
            found: count,
            dropped,
            context_chars: 0,
            took,
            failed: None,
        });
        self.passages.extend(best);
    }

    fn survive(&mut self, call: &Call<Chat>, search: &Search, took: Duration, error: &Error) {
        let (name, code) = (&search.base.name, error.label());
        tracing::warn!(
            request_id = &*call.request_id,
            kb = &**name,
            code,
            detail = error.detail(),
            "a search failed; the call goes on without it"
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

/// What of it the model is given.
fn chosen(
    call: &Call<Chat>,
    request: &RetrievalRequest,
    gathered: Gathered,
    took: Duration,
) -> Retrieval {
    let Gathered {
        mut searches,
        passages,
        blocked,
        failed,
    } = gathered;
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
        include_sources: request.include_sources,
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

/// An answer that no model gave.
fn refusal(call: &Call<Chat>) -> Reply<Chat> {
    let usage = Usage {
        cost: Some(Cost::default()),
        ..Usage::default()
    };
    let steps = || {
        [
            Chunk::Content(BLOCKED.to_owned()),
            Chunk::Finish(FinishReason::ContentFilter),
        ]
    };
    let choices = 0..call.body.choices();
    let reply = if call.body.stream {
        let chunks = choices
            .flat_map(|choice| steps().map(|chunk| ChoiceChunk { choice, chunk }))
            .chain([ChoiceChunk {
                choice: 0,
                chunk: Chunk::Usage(usage),
            }]);
        let chunks: Vec<_> = chunks.map(Ok).collect();
        ChatReply::Stream(ChunkStream::new(stream::iter(chunks), call.trace.clone()))
    } else {
        let usage = call.trace.spending().total().with_side_costs(usage);
        let choices = choices.map(|_| steps().to_vec()).collect();
        ChatReply::Whole(WholeReply {
            choices,
            usage,
            guardrail: None,
        })
    };
    Served {
        reply,
        model: call.model.clone(),
        plan: call.plan.clone(),
        trace: call.trace.clone(),
    }
}

#[cfg(test)]
mod tests;
