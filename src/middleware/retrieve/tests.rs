use std::sync::Mutex;

use futures_util::FutureExt;

use super::*;
use crate::{
    call::{KnowledgeBase, Rerank, SearchType},
    error::Kind,
    middleware::testing::{
        Next, caller, chat, complete, message, model, planned, send, stream_of, streamed, text,
        usage, whole,
    },
    model::{Model, Target},
    openai::{
        completion::{Annotation, FinishReason},
        knowledge_base::Names,
    },
    operation::{
        Operation as _,
        chat::{Chunk, Part, Role, WholeReply},
    },
};

mod condensing;

/// Finds what the test says, by the name of the Knowledge Base. Records the queries.
#[derive(Default)]
struct Library {
    queries: Mutex<Vec<String>>,
    passages: Vec<(&'static str, Passage)>,
    failing: Option<&'static str>,
    blocked: bool,
}

impl Retriever for Library {
    fn retrieve<'a>(
        &'a self,
        search: &'a Search,
        cx: SearchContext<'a>,
    ) -> BoxFuture<'a, Result<SearchResults, Error>> {
        let name = &*search.base.name;
        self.queries.lock().unwrap().push(cx.query.to_owned());
        if self.failing == Some(name) {
            let error = Error::new(Kind::Upstream, "The search failed.").with_code("kb_failed");
            return Box::pin(async { Err(error) });
        }
        let own = self.passages.iter().filter(|(kb, _)| *kb == name);
        let results = SearchResults {
            passages: own.map(|(_, passage)| passage.clone()).collect(),
            blocked: self.blocked,
        };
        Box::pin(async { Ok(results) })
    }
}

/// Answers every call with one text, or fails. Records the calls.
#[derive(Default)]
struct Condenser {
    calls: Mutex<Vec<Call<Chat, Unplanned>>>,
    question: Option<&'static str>,
    /// Never answers.
    is_silent: bool,
}

impl Completer for Condenser {
    fn complete(
        &self,
        call: Call<Chat, Unplanned>,
    ) -> BoxFuture<'static, Result<Served<ChatReply>, Error>> {
        let plan = call.body.plan(&call.model, &call.caller).unwrap();
        let (model, trace) = (call.model.clone(), call.trace.clone());
        self.calls.lock().unwrap().push(call);
        if self.is_silent {
            return Box::pin(std::future::pending());
        }
        let Some(question) = self.question else {
            let error = Error::new(Kind::UpstreamThrottle, "Busy.").with_code("upstream_throttle");
            return Box::pin(async { Err(error) });
        };
        let chunks = vec![
            Chunk::Content(question.to_owned()),
            Chunk::Finish(FinishReason::Stop),
        ];
        let reply = ChatReply::Whole(WholeReply {
            choices: vec![chunks],
            usage: usage(50, 10),
            guardrail: None,
        });
        let served = Served {
            reply,
            model,
            plan,
            trace,
        };
        Box::pin(async { Ok(served) })
    }
}

fn passage(kb: &'static str, text: &str, score: f64) -> (&'static str, Passage) {
    let passage = Passage {
        kb: kb.into(),
        text: text.to_owned(),
        source: format!("s3://docs/{kb}.txt"),
        score: Some(score),
        ..Passage::default()
    };
    (kb, passage)
}

/// The middleware, and the fakes that it uses.
fn retrieve(library: Library, condenser: Condenser) -> (Retrieve, Arc<Library>, Arc<Condenser>) {
    let (library, condenser) = (Arc::new(library), Arc::new(condenser));
    let middleware = Retrieve {
        retriever: library.clone(),
        completer: condenser.clone(),
    };
    (middleware, library, condenser)
}

fn base(name: &'static str) -> KnowledgeBase {
    let target = Target::new("ABCDEFGHIJ", "us-east-1");
    KnowledgeBase::new(name, target, "Use these:\n{passages}")
}

fn request(bases: Vec<KnowledgeBase>, on_error: OnError) -> RetrievalRequest {
    let names = bases.iter().map(|base| base.name.to_string()).collect();
    let search = |base: KnowledgeBase| Search {
        base: Arc::new(base),
        max_results: 5,
        min_score: 0.3,
        search_type: SearchType::Hybrid,
        filter: None,
        own_filter: false,
        only_own: true,
        user_id: None,
        rerank: Rerank::Default,
        on_error,
    };
    RetrievalRequest {
        names: Names::Many(names),
        searches: bases.into_iter().map(search).collect(),
        query: None,
        query_chars: 100,
        max_context_chars: 8000,
        max_context_tokens: None,
        max_images: 0,
        include_sources: true,
        include_passages: false,
    }
}

fn asking(request: RetrievalRequest, stream: bool) -> Call<Chat> {
    let body = Chat {
        retrieval: Some(Arc::new(request)),
        ..chat(stream)
    };
    planned(&Arc::new(caller()), model(), body)
}

fn texts(chat: &Chat) -> Vec<&str> {
    let parts = chat.messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match part {
            Part::Retrieved(retrieved) => Some(retrieved.text.as_str()),
            part => part.as_text(),
        })
        .collect()
}

#[tokio::test]
async fn call_without_retrieval_passes_unchanged() {
    let (retrieve, library, condenser) = retrieve(Library::default(), Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    let call = planned(&Arc::new(caller()), model(), chat(false));
    send(&retrieve, &next, call).await.unwrap();
    let received = next.last();
    assert_eq!(texts(&received.body), ["What is new?"]);
    assert!(received.trace.retrieval().is_none());
    assert!(library.queries.lock().unwrap().is_empty());
    assert!(condenser.calls.lock().unwrap().is_empty());
}

/// Before, a character was reserved at four bytes, but a tokenizer makes up to 33 of this one.
#[tokio::test]
async fn passages_that_grow_when_they_are_normalized_are_reserved_before_the_call() {
    let ligatures = "\u{fdfa}".repeat(1_000);
    for (text, is_admitted) in [(&*ligatures, true), (&*ligatures, false), ("Plain.", false)] {
        let library = Library {
            passages: vec![passage("news", text, 0.9)],
            ..Library::default()
        };
        let (retrieve, ..) = retrieve(library, Condenser::default());
        let next = Next::new(whole(usage(1, 1)));
        let mut asked = request(vec![base("news")], OnError::Fail);
        asked.max_context_chars = 1_000;
        let most = asked.max_bytes();
        let call = asking(asked, false);
        let trace = call.trace.clone();
        trace.spending().ask_before_growth(move |_| {
            let result = match is_admitted {
                true => Ok(()),
                false => Err(Error::new(Kind::RateLimited, "The budget is spent.")),
            };
            Box::pin(std::future::ready(result))
        });
        let result = send(&retrieve, &next, call).await;
        let grown = trace.spending().total().input_growth;
        if text == "Plain." {
            assert!(result.is_ok() && grown == 0);
            continue;
        }
        assert_eq!(result.is_ok(), is_admitted);
        assert_eq!(next.calls(), usize::from(is_admitted));
        if is_admitted {
            let least = 33_000 - most;
            assert!((least..least + 1_000).contains(&grown), "{grown}");
        }
    }
}

#[tokio::test]
async fn next_receives_the_passages_before_the_question() {
    let library = Library {
        passages: vec![
            passage("news", "Second best.", 0.5),
            passage("news", "Best.", 0.9),
            passage("news", "Too bad.", 0.1),
        ],
        ..Library::default()
    };
    let (retrieve, library, _) = retrieve(library, Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    let call = asking(request(vec![base("news")], OnError::Fail), false);
    let served = send(&retrieve, &next, call).await.unwrap();
    assert_eq!(*library.queries.lock().unwrap(), ["What is new?"]);
    let received = next.last();
    let [context, question] = texts(&received.body)[..] else {
        panic!("{:?}", received.body.messages);
    };
    assert_eq!(question, "What is new?");
    assert!(context.starts_with("Use these:"), "{context}");
    let at = |text| context.find(text).unwrap_or_else(|| panic!("{context}"));
    assert!(at("number=\"1\"") < at("Best.") && at("Best.") < at("Second best."));
    assert!(!context.contains("Too bad."), "{context}");
    let retrieval = served.trace.retrieval().unwrap();
    assert_eq!((retrieval.found(), retrieval.dropped()), (3, 1));
    assert_eq!(retrieval.reason, None);
    assert_eq!(retrieval.passages.len(), 2);
    assert_eq!(retrieval.passages[0].text, "", "it is in the prompt");
}

#[tokio::test]
async fn citation_in_the_reply_is_annotated() {
    let library = Library {
        passages: vec![passage("news", "Best.", 0.9)],
        ..Library::default()
    };
    let (retrieve, ..) = retrieve(library, Condenser::default());
    let next = Next::new(streamed(|| {
        let mut chunks = complete(usage(1, 1));
        chunks[0] = Ok(Chunk::Content("It is so [1".to_owned()));
        chunks[1] = Ok(Chunk::Content("].".to_owned()));
        chunks
    }));
    let call = asking(request(vec![base("news")], OnError::Fail), true);
    let stream = stream_of(send(&retrieve, &next, call).await);
    let chunks: Vec<_> = futures_util::StreamExt::collect(stream).await;
    let cited: Vec<Annotation> = chunks
        .into_iter()
        .flat_map(|item| match item.unwrap().chunk {
            Chunk::CitedContent(_, annotations) => annotations,
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(cited.len(), 1, "{cited:?}");
    assert!(format!("{cited:?}").contains("s3://docs/news.txt"));
}

#[tokio::test]
async fn failed_search_rejects_the_call_if_it_must_not_go_on() {
    let library = Library {
        failing: Some("news"),
        ..Library::default()
    };
    let (retrieve, ..) = retrieve(library, Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    let call = asking(request(vec![base("news")], OnError::Fail), false);
    let trace = call.trace.clone();
    let error = send(&retrieve, &next, call).await.unwrap_err();
    assert_eq!(error.code(), Some("kb_failed"));
    assert_eq!(next.calls(), 0);
    assert_eq!(trace.retrieval().unwrap().reason, Some("kb_failed"));
}

#[tokio::test]
async fn call_goes_on_without_a_failed_search_if_it_may() {
    let library = Library {
        passages: vec![passage("other", "From the other.", 0.9)],
        failing: Some("news"),
        ..Library::default()
    };
    let (retrieve, ..) = retrieve(library, Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    let both = request(vec![base("news"), base("other")], OnError::AnswerWithout);
    let served = send(&retrieve, &next, asking(both, false)).await.unwrap();
    assert!(texts(&next.last().body)[0].contains("From the other."));
    let retrieval = served.trace.retrieval().unwrap();
    assert_eq!(retrieval.searches[0].failed, Some("kb_failed"));
    assert_eq!(retrieval.reason, Some("kb_failed"));
    let warnings = served.trace.warnings().joined().unwrap();
    assert!(
        warnings.contains("'news' could not be searched"),
        "{warnings}"
    );
    let alone = request(vec![base("news")], OnError::AnswerWithout);
    send(&retrieve, &next, asking(alone, false)).await.unwrap();
    assert_eq!(texts(&next.last().body), ["What is new?"]);
}

#[tokio::test]
async fn call_without_results_goes_on_with_the_reason() {
    let library = Library {
        passages: vec![passage("low", "Too bad.", 0.1)],
        ..Library::default()
    };
    let (retrieve, ..) = retrieve(library, Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    for (name, reason) in [("news", "no_results"), ("low", "below_min_score")] {
        let call = asking(request(vec![base(name)], OnError::Fail), false);
        let served = send(&retrieve, &next, call).await.unwrap();
        assert_eq!(texts(&next.last().body), ["What is new?"]);
        assert_eq!(served.trace.retrieval().unwrap().reason, Some(reason));
    }
}

#[tokio::test]
async fn blocked_question_is_answered_without_the_model() {
    for is_stream in [false, true] {
        let library = Library {
            passages: vec![passage("news", "Best.", 0.9)],
            blocked: true,
            ..Library::default()
        };
        let (retrieve, ..) = retrieve(library, Condenser::default());
        let next = Next::new(whole(usage(1, 1)));
        let call = asking(request(vec![base("news")], OnError::Fail), is_stream);
        let served = send(&retrieve, &next, call).await.unwrap();
        assert_eq!(next.calls(), 0);
        assert_eq!(served.trace.retrieval().unwrap().reason, Some("guardrail"));
        let chunks: Vec<Chunk> = match served.reply {
            ChatReply::Whole(reply) => reply.choices.into_iter().flatten().collect(),
            ChatReply::Stream(stream) => futures_util::StreamExt::collect::<Vec<_>>(stream)
                .now_or_never()
                .unwrap()
                .into_iter()
                .map(|item| item.unwrap().chunk)
                .collect(),
        };
        assert_eq!(chunks[0], Chunk::Content(BLOCKED.to_owned()));
        assert_eq!(chunks[1], Chunk::Blocked);
        assert_eq!(chunks[2], Chunk::Finish(FinishReason::ContentFilter));
    }
}
