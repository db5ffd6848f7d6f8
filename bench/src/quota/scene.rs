//! One run: all calls of the clients, with one strategy.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lintel::{
    call::{Call, Caller, Trace, Warnings},
    catalogue,
    edge::chat_request,
    model::{Model, Target},
    operation::{Operation, chat::ChatReply},
    upstream::Upstream,
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;
use tower::Service;

use super::{
    QUOTAS, Subject,
    aws::{Aws, Rule},
    tenants::{self, Request},
};
use crate::BoxError;

/// A model whose output counts five times.
const MODEL: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// How long a call may wait.
const QUEUE: Duration = Duration::from_secs(30);

/// What came of the calls.
pub struct Outcome {
    /// For each call whether its key is bursty, and how long it waited if it was answered.
    calls: Vec<(bool, Option<Duration>)>,
    /// Requests that AWS throttled.
    pub throttled: u64,
    /// The tokens of the quotas that were used.
    pub tokens: u64,
}

impl Outcome {
    /// The share of the calls that were answered, among those of the keys that `counts` selects by whether they are bursty.
    pub fn answered(&self, counts: impl Fn(bool) -> bool) -> f64 {
        let calls = self
            .calls
            .iter()
            .filter(|(is_bursty, _)| counts(*is_bursty));
        let (mut all, mut answered) = (0u32, 0u32);
        for (_, wait) in calls {
            all += 1;
            answered += u32::from(wait.is_some());
        }
        f64::from(answered) / f64::from(all.max(1))
    }

    /// The number of calls that clients got a 429 for.
    pub fn refused(&self) -> u64 {
        let refused = self.calls.iter().filter(|(_, wait)| wait.is_none());
        refused.count() as u64
    }

    /// How long this share of the answered calls waited at most, beyond the time that the model took.
    pub fn wait(&self, share: f64) -> Duration {
        let waits = self.calls.iter().filter_map(|(_, wait)| *wait);
        let mut waits: Vec<_> = waits.collect();
        waits.sort_unstable();
        let nth = (waits.len() as f64 * share) as usize;
        let last = waits.len().saturating_sub(1);
        waits.get(nth.min(last)).copied().unwrap_or_default()
    }
}

/// Runs all calls of a demand of `load` times the quotas, in simulated time. The same for each run.
pub fn play(subject: Subject, rule: Rule, load: f64) -> Result<Outcome, BoxError> {
    // The jitter of retries.
    fastrand::seed(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(all(subject, rule, tenants::requests(load).into()))
}

async fn all(subject: Subject, rule: Rule, requests: Arc<[Request]>) -> Result<Outcome, BoxError> {
    let aws = Arc::new(Aws::new(rule, requests.clone()));
    let upstream = Upstream::new(aws.clone(), TaskTracker::new());
    let model = Arc::new(model(subject));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..requests.len() {
        let (requests, model, upstream) = (requests.clone(), model.clone(), upstream.clone());
        tasks.spawn(async move {
            let request = &requests[number];
            sleep_until(began + request.at).await;
            let call = call(number, request, model)?;
            let wait = wait(upstream, call).await?;
            Ok::<_, BoxError>((number, wait.map(|wait| wait - request.first_token)))
        });
    }
    let mut calls: Vec<_> = requests
        .iter()
        .map(|request| (request.is_bursty, None))
        .collect();
    while let Some(done) = tasks.join_next().await {
        let (number, wait) = done??;
        calls[number].1 = wait;
    }
    let counts = aws.counts();
    Ok(Outcome {
        calls,
        throttled: counts.throttled,
        tokens: counts.tokens,
    })
}

fn model(subject: Subject) -> Model {
    let place = |region: &str| {
        let mut place = catalogue::model("claude", Target::new(MODEL, region));
        place.targets.strategy = subject.strategy;
        place.targets.queue = subject.has_queue.then_some(QUEUE);
        place
    };
    let places = QUOTAS.map(|(region, _)| Arc::new(place(region)));
    place(QUOTAS[0].0).with_places(places.into())
}

fn call(
    number: usize,
    request: &Request,
    model: Arc<Model>,
) -> Result<Call<lintel::operation::chat::Chat>, BoxError> {
    let text = format!("{number} {}", "x".repeat(request.bytes));
    let body = json!({
        "model": "claude",
        "stream": true,
        "max_tokens": request.max_tokens,
        "messages": [{"role": "user", "content": text}],
    });
    let body = chat_request(body.to_string().as_bytes(), &Warnings::default())?;
    let caller = Arc::new(Caller {
        key_id: request.key.clone(),
        ..Caller::default()
    });
    let plan = body.plan(&model, &caller)?;
    Ok(Call {
        request_id: number.to_string().into(),
        caller,
        model,
        body: Arc::new(body),
        plan,
        end_user: String::new(),
        trace: Trace::default(),
    })
}

/// Returns the time to the first token. `None` if the call was refused.
async fn wait(
    mut upstream: Upstream,
    call: Call<lintel::operation::chat::Chat>,
) -> Result<Option<Duration>, BoxError> {
    let began = Instant::now();
    let served = match upstream.call(call).await {
        Ok(served) => served,
        Err(error) if error.code() == Some("rate_limit_exceeded") => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let wait = began.elapsed();
    match served.reply {
        ChatReply::Stream(mut chunks) => while chunks.next().await.is_some() {},
        ChatReply::Whole(_) => return Err("a stream was requested".into()),
    }
    Ok(Some(wait))
}
