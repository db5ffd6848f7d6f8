use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    future::{BoxFuture, try_join_all},
    stream,
};
use tower::Service;

use super::Around;
use crate::{
    call::{
        Call, ChatReply, ChoiceChunk, Chunk, ChunkStream, Cost, OnError, Passage, Question,
        Retrieval, Search, Searched, Usage, WholeChoice, WholeReply,
    },
    error::Error,
    knowledge::{self, Asked, Found, MAX_QUERY, Retriever, citations, prompt},
    metrics,
    openai::{
        chat::ChatRequest,
        completion::{AssistantMessage, FinishReason},
    },
    translate,
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
    fn complete(&self, call: Call<ChatRequest>) -> BoxFuture<'static, Result<ChatReply, Error>>;
}

/// What the client reads where a guardrail lets nothing through.
const BLOCKED: &str =
    "This question cannot be answered here: the guardrail of the knowledge base has stopped it.";

/// What all searches together came to.
#[derive(Default)]
struct Gathered {
    searches: Vec<Searched>,
    passages: Vec<Passage>,
    blocked: bool,
    /// The code of the first failure.
    failed: Option<&'static str>,
}

impl Around<ChatRequest> for Retrieve {
    async fn around<S>(&self, mut call: Call<ChatRequest>, mut next: S) -> Result<ChatReply, Error>
    where
        S: Service<Call<ChatRequest>, Response = ChatReply, Error = Error, Future: Send> + Send,
    {
        let Some(question) = call.question.clone() else {
            return next.call(call).await;
        };
        let began = Instant::now();
        let gathered = self.gather(&call, &question).await;
        call.upstream.add_since(began);
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(error) => {
                let failed = Gathered {
                    failed: Some(error.label()),
                    ..Gathered::default()
                };
                call.retrieved
                    .set(Arc::new(chosen(&call, &question, failed, began.elapsed())));
                return Err(error);
            }
        };
        let blocked = gathered.blocked;
        let mut retrieval = chosen(&call, &question, gathered, began.elapsed());
        if retrieval.used() {
            let context = prompt::render(&retrieval.passages, question.template(), &prompt::tag()?);
            let images = retrieval
                .passages
                .iter_mut()
                .filter_map(|passage| passage.image.take());
            call.body = prompt::with_context(&call.body, context, images);
            // A stream may be long, and who reads it needs to know no more than where it comes from.
            retrieval
                .passages
                .iter_mut()
                .for_each(|passage| passage.text = String::new());
        }
        let retrieval = Arc::new(retrieval);
        call.retrieved.set(retrieval.clone());
        // Whatever is spent beside the model is known before there can be an answer.
        let spent = call.spending.spent();
        let json = call
            .body
            .response_format
            .as_ref()
            .is_some_and(|format| format.kind != "text");
        let reply = if blocked {
            refusal(&call)
        } else {
            next.call(call).await?
        };
        Ok(citations::annotated(reply, retrieval, json, spent))
    }
}

impl Retrieve {
    /// # Errors
    /// A failed search, where the operator or the client wants that to fail the call; the others are given up then.
    async fn gather(
        &self,
        call: &Call<ChatRequest>,
        question: &Question,
    ) -> Result<Gathered, Error> {
        let query = self.query(call, question).await;
        let asked = Asked {
            query: &query,
            notes: &call.notes,
            spending: &call.spending,
        };
        let searches = question.searches.iter().map(async |search| {
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
    async fn query(&self, call: &Call<ChatRequest>, question: &Question) -> String {
        let own = match &question.query {
            Some(own) => Some(own.clone()),
            None => condense::query(&*self.completer, call, question).await,
        };
        let mut query = own
            .or_else(|| prompt::question(&call.body))
            .unwrap_or_default();
        if let Some((end, _)) = query.char_indices().nth(MAX_QUERY) {
            query.truncate(end);
            call.notes.add(format!(
                "kb: the question was cut to {MAX_QUERY} characters for the search"
            ));
        }
        query
    }
}

impl Gathered {
    fn add(&mut self, search: &Search, took: Duration, found: Found) {
        self.blocked |= found.blocked;
        let kb = search.base.name.clone();
        let count = found.passages.len();
        let (best, dropped) = knowledge::best(search, found.passages);
        metrics::kb_dropped(&kb, dropped);
        self.searches.push(Searched {
            kb,
            found: count,
            dropped,
            context_chars: 0,
            took,
            failed: None,
        });
        self.passages.extend(best);
    }

    fn survive(
        &mut self,
        call: &Call<ChatRequest>,
        search: &Search,
        took: Duration,
        error: &Error,
    ) {
        let (name, code) = (&search.base.name, error.label());
        tracing::warn!(
            request_id = &*call.request_id,
            kb = &**name,
            code,
            detail = error.detail(),
            "a search failed; the call goes on without it"
        );
        call.notes.add(format!(
            "kb: '{name}' could not be searched ({code}): {}",
            error.message()
        ));
        self.failed.get_or_insert(code);
        let (kb, failed) = (name.clone(), Some(code));
        self.searches.push(Searched {
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
    call: &Call<ChatRequest>,
    question: &Question,
    gathered: Gathered,
    took: Duration,
) -> Retrieval {
    let Gathered {
        mut searches,
        passages,
        blocked,
        failed,
    } = gathered;
    let room = translate::MAX_IMAGES.saturating_sub(prompt::images(&call.body));
    let max_images = if call.model.facts.image {
        room.min(question.max_images as usize)
    } else {
        0
    };
    let selected = knowledge::select(passages, question, max_images, &call.notes);
    for search in &mut searches {
        let own = selected
            .passages
            .iter()
            .filter(|passage| passage.kb == search.kb);
        search.context_chars = own.map(|passage| passage.text.chars().count()).sum();
        metrics::kb_context(&search.kb, search.context_chars);
    }
    let mut retrieval = Retrieval {
        names: question.names.clone(),
        searches,
        passages: selected.passages,
        reason: failed,
        context_chars: selected.context_chars,
        took,
        include_sources: question.include_sources,
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

/// An answer that no model has given.
fn refusal(call: &Call<ChatRequest>) -> ChatReply {
    let choices = 0..call.body.n.unwrap_or(1);
    let usage = Usage {
        cost: Some(Cost::default()),
        ..Usage::default()
    };
    if !call.body.is_stream() {
        let message = || AssistantMessage {
            content: Some(BLOCKED.to_owned()),
            ..AssistantMessage::default()
        };
        let choice = |_| WholeChoice {
            message: message(),
            finish_reason: FinishReason::ContentFilter,
        };
        let choices = choices.map(choice).collect();
        return ChatReply::Whole(WholeReply {
            choices,
            usage,
            guardrail: None,
            invoked_model: None,
        });
    }
    let chunks = choices.flat_map(|choice| {
        [
            Chunk::Content(BLOCKED.to_owned()),
            Chunk::Finish(FinishReason::ContentFilter),
        ]
        .map(|chunk| ChoiceChunk { choice, chunk })
    });
    let usage = ChoiceChunk {
        choice: 0,
        chunk: Chunk::Usage(usage),
    };
    ChatReply::Stream(ChunkStream::new(stream::iter(
        chunks.chain([usage]).map(Ok).collect::<Vec<_>>(),
    )))
}
