//! Helpers of the tests of middlewares: a fake rest of the stack, calls to send to it, and replies.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{future::BoxFuture, stream};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use super::{MiddlewareService, Reply, layer};
use crate::{
    call::{Call, Caller, Plan, Ticket, Trace, Unplanned},
    error::{Error, Kind},
    model::{Embed as EmbedFacts, EmbedFamily, Facts, Model, Target},
    money::{Cost, PicoUsd, Price, Usage},
    openai::completion::FinishReason,
    operation::{
        Operation, Served,
        chat::{Chat, ChatReply, ChoiceChunk, Chunk, ChunkStream, Message, Origin, Part, Role},
        chat::{ToolInput, ToolUse, WholeReply},
        embed::{Embed, EmbedReply, Input},
    },
};

/// The state of a call, from which a fake reply takes its plan.
pub trait State: Send + Sync + 'static {
    fn plan<T: Operation>(call: &Call<T, Self>) -> Plan
    where
        Self: Sized;
}

impl State for Plan {
    fn plan<T: Operation>(call: &Call<T, Self>) -> Plan {
        call.plan.clone()
    }
}

impl State for Unplanned {
    fn plan<T: Operation>(call: &Call<T, Self>) -> Plan {
        call.body.plan(&call.model, &call.caller).unwrap()
    }
}

type Answer<T, P> =
    dyn Fn(&Call<T, P>, Ticket) -> Result<<T as Operation>::Reply, Error> + Send + Sync;

type Received<T, P> = Mutex<Vec<Arc<Call<T, P>>>>;

/// A fake rest of the stack. Records the calls it receives. Each call has a ticket, like a request
/// to Bedrock, which counts as lost if the call is dropped before its answer.
pub struct Next<T: Operation, P = Plan> {
    answer: Arc<Answer<T, P>>,
    /// If `None`, the answer never comes.
    delay: Option<Duration>,
    received: Arc<Received<T, P>>,
    /// Only the instance that was polled ready may be called, as tower requires.
    is_ready: bool,
}

impl<T: Operation, P> Next<T, P> {
    /// Answers at once.
    pub fn new(
        answer: impl Fn(&Call<T, P>, Ticket) -> Result<T::Reply, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            delay: Some(Duration::ZERO),
            received: Arc::default(),
            is_ready: false,
        }
    }

    /// Fails at once, without a request on the bill.
    pub fn failing() -> Self {
        Self::new(|_, ticket| {
            ticket.free();
            Err(Error::new(Kind::UpstreamThrottle, "Busy.").with_code("upstream_throttle"))
        })
    }

    /// The same after `delay`.
    pub fn after(self, delay: Duration) -> Self {
        Self {
            delay: Some(delay),
            ..self
        }
    }

    /// The same without an answer.
    pub fn silent(self) -> Self {
        Self {
            delay: None,
            ..self
        }
    }

    pub fn calls(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// The last call that was received.
    pub fn last(&self) -> Arc<Call<T, P>> {
        self.received.lock().unwrap().last().unwrap().clone()
    }
}

impl<T: Operation, P> Clone for Next<T, P> {
    fn clone(&self) -> Self {
        Self {
            answer: self.answer.clone(),
            delay: self.delay,
            received: self.received.clone(),
            is_ready: false,
        }
    }
}

impl<T: Operation, P: State> Service<Call<T, P>> for Next<T, P> {
    type Response = Reply<T>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply<T>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<T, P>) -> Self::Future {
        assert!(self.is_ready, "called without being polled ready");
        self.is_ready = false;
        let call = Arc::new(call);
        self.received.lock().unwrap().push(call.clone());
        let (answer, delay) = (self.answer.clone(), self.delay);
        let ticket = call.trace.ticket();
        Box::pin(async move {
            match delay {
                Some(Duration::ZERO) => {}
                Some(delay) => sleep(delay).await,
                None => pending().await,
            }
            Ok(Served {
                reply: answer(&call, ticket)?,
                model: call.model.clone(),
                plan: P::plan(&call),
                trace: call.trace.clone(),
            })
        })
    }
}

/// Sends `call` through `middleware` to `next`.
pub async fn send<M, T, P>(
    middleware: &M,
    next: &Next<T, P>,
    call: Call<T, P>,
) -> Result<Reply<T>, Error>
where
    T: Operation,
    M: super::Middleware<T, P>,
    P: State,
{
    let stack: MiddlewareService<M, _> = layer(middleware.clone()).layer(next.clone());
    stack.oneshot(call).await
}

/// Answers with a whole reply that uses `usage`.
pub fn whole<P>(usage: Usage) -> impl Fn(&Call<Chat, P>, Ticket) -> Result<ChatReply, Error> {
    move |_, ticket| {
        ticket.used(usage);
        let chunks = vec![
            Chunk::Content("Hello.".to_owned()),
            Chunk::Finish(FinishReason::Stop),
        ];
        Ok(ChatReply::Whole(WholeReply {
            choices: vec![chunks],
            usage,
            guardrail: None,
        }))
    }
}

/// Answers with one vector that uses `usage`.
pub fn vector<P>(usage: Usage) -> impl Fn(&Call<Embed, P>, Ticket) -> Result<EmbedReply, Error> {
    move |_, ticket| {
        ticket.used(usage);
        let vectors = vec![vec![0.5]];
        Ok(EmbedReply { vectors, usage })
    }
}

/// Answers with a stream of these chunks. It reports its usage when it passes the chunk with it. A
/// stream that is dropped or fails before that loses its ticket.
pub fn streamed<P>(
    chunks: impl Fn() -> Vec<Result<Chunk, Error>>,
) -> impl Fn(&Call<Chat, P>, Ticket) -> Result<ChatReply, Error> {
    move |call, ticket| {
        let mut ticket = Some(ticket);
        let mut chunks = chunks().into_iter();
        let chunks = stream::iter(std::iter::from_fn(move || {
            let item = chunks.next()?;
            if let Ok(Chunk::Usage(usage)) = &item
                && let Some(ticket) = ticket.take()
            {
                ticket.used(*usage);
            }
            Some(item.map(|chunk| ChoiceChunk { choice: 0, chunk }))
        }));
        let stream = ChunkStream::new(chunks, call.trace.clone());
        Ok(ChatReply::Stream(stream))
    }
}

/// The chunks of a complete answer.
pub fn complete(usage: Usage) -> Vec<Result<Chunk, Error>> {
    vec![
        Ok(Chunk::Content("Hel".to_owned())),
        Ok(Chunk::Content("lo.".to_owned())),
        Ok(Chunk::Finish(FinishReason::Stop)),
        Ok(Chunk::Usage(usage)),
    ]
}

/// The stream of a streamed reply.
pub fn stream_of(reply: Result<Reply<Chat>, Error>) -> ChunkStream {
    match reply.unwrap().reply {
        ChatReply::Stream(stream) => stream,
        ChatReply::Whole(reply) => panic!("not a stream: {reply:?}"),
    }
}

/// A usage at the price of [`model`].
pub fn usage(input: u64, output: u64) -> Usage {
    let price = price();
    let cost = Cost {
        input: price.input.times(input),
        output: price.output.times(output),
        ..Cost::default()
    };
    Usage {
        input,
        output,
        cost: Some(cost),
        ..Usage::default()
    }
}

fn price() -> Price {
    serde_json::from_str(r#"{"input": "1", "output": "2"}"#).unwrap()
}

/// A model for chats at 1000 nano-dollars for a token of input and 2000 for one of output.
pub fn model() -> Model {
    let target = Target::new("example.chat-v1:0", "us-east-1");
    Model {
        base: Some("example.chat-v1:0".to_owned()),
        price: Some(Arc::new(price())),
        ..Model::new("fast", target)
    }
}

/// A model for embeddings at 1000 nano-dollars for a token.
pub fn embedder() -> Model {
    let target = Target::new("example.embed-v1:0", "us-east-1");
    let embed = EmbedFacts {
        family: EmbedFamily::CohereV4,
        dimensions: vec![1024],
        max_tokens: 8192,
    };
    let facts = Facts {
        modality: "embedding".to_owned(),
        embed: Some(embed),
        ..Facts::default()
    };
    let price = Price {
        output: PicoUsd(0),
        ..price()
    };
    Model {
        base: Some("example.embed-v1:0".to_owned()),
        facts: Arc::new(facts),
        price: Some(Arc::new(price)),
        ..Model::new("vectors", target)
    }
}

/// A chat with one question, of 40 bytes and at most 100 tokens of output: about 110 tokens.
pub fn chat(stream: bool) -> Chat {
    Chat {
        messages: vec![message(Role::User, vec![text("What is new?")])],
        stream,
        max_completion_tokens: Some(100),
        bytes: 40,
        ..Chat::default()
    }
}

/// One text of 40 bytes, which is about 10 tokens.
pub fn embed() -> Embed {
    Embed {
        inputs: vec![Input::Text("x".repeat(40))],
        ..Embed::default()
    }
}

pub fn message(role: Role, parts: Vec<Part>) -> Message {
    let origin = Origin {
        list: "messages",
        index: 0,
    };
    Message {
        role,
        name: None,
        parts,
        origin,
    }
}

pub fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

pub fn tool_use(id: &str) -> Part {
    Part::ToolUse(ToolUse {
        id: id.to_owned(),
        name: "look".to_owned(),
        input: ToolInput::Arguments("{}".to_owned()),
    })
}

/// A caller with a key and a team.
pub fn caller() -> Caller {
    Caller {
        key_id: "ci".to_owned(),
        team: Some(Arc::default()),
        ..Caller::default()
    }
}

/// A call before its plan.
pub fn unplanned<T: Operation>(caller: &Arc<Caller>, model: Model, body: T) -> Call<T, Unplanned> {
    Call {
        request_id: format!("req-{}", fastrand::u64(..)).into(),
        caller: caller.clone(),
        model: Arc::new(model),
        body: Arc::new(body),
        plan: Unplanned,
        end_user: String::new(),
        trace: Trace::default(),
    }
}

/// A call with its plan.
pub fn planned<T: Operation>(caller: &Arc<Caller>, model: Model, body: T) -> Call<T> {
    let call = unplanned(caller, model, body);
    let plan = call.body.plan(&call.model, &call.caller).unwrap();
    call.with_plan(plan)
}

/// A recorder for one test; make it the thread's with `metrics::set_default_local_recorder`.
pub fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// The sum of all samples called `name` that have `labels`.
pub fn metric(recorder: &PrometheusRecorder, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = recorder.handle().render();
    let matches = |line: &&str| {
        let own = line.split(['{', ' ']).next() == Some(name);
        own && labels
            .iter()
            .all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
    };
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    text.lines().filter(matches).filter_map(value).sum()
}
