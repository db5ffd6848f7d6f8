//! The loop around requests to two regions, in paused time.

use std::sync::Mutex;

use aws_smithy_types::body::SdkBody;
use futures_util::future::BoxFuture;
use tokio::time::advance;

use super::*;
use crate::{
    call::{Caller, Trace},
    model::{RetryPolicy, Targets},
    upstream::{Request, Response, SendError},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A transport that nothing is sent over.
struct Unused;

impl Transport for Unused {
    fn send<'a>(
        &'a self,
        _: Request,
        _: &'a Target,
        _: Option<&'a Caller>,
        _: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async { Ok(Response::new(SdkBody::empty())) })
    }

    fn refresh(&self, _: ServiceOperation, _: &Target, _: Option<&Caller>) {}
}

/// What a region does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answer,
    Swallow,
    /// Throttles, and demands to be left alone for so many seconds.
    Throttle(u64),
}

/// Requests to regions that each do the next of their steps. They answer after their last step.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Vec<(&'static str, Does)>>>);

impl Script {
    fn set(&self, steps: &[(&'static str, Does)]) {
        *self.0.lock().unwrap() = steps.to_vec();
    }

    fn step(&self, region: &str) -> Does {
        let mut steps = self.0.lock().unwrap();
        let next = steps.iter().position(|(own, _)| *own == region);
        next.map_or(Does::Answer, |next| steps.remove(next).1)
    }
}

impl Attempt for Script {
    type Output = String;

    async fn attempt(&mut self, send: Try<'_>) -> Result<String, Error> {
        let region = &send.subject.target.region;
        match self.step(region) {
            Does::Answer => Ok(region.clone()),
            Does::Swallow => std::future::pending().await,
            Does::Throttle(seconds) => Err(crate::upstream::failure::throttled(
                "this model",
                &Default::default(),
            )
            .with_demanded_wait(Duration::from_secs(seconds))),
        }
    }
}

struct Bench {
    attempts: Attempts,
    model: Model,
    script: Script,
    trace: Trace,
}

impl Bench {
    fn new(regions: &[&str]) -> Self {
        let places = regions.iter().map(|region| {
            let target = Target::new("vendor.m", region);
            Arc::new(Model {
                targets: Targets::one(target.clone()),
                ..Model::new("m", target)
            })
        });
        let model = Model::new("m", Target::new("vendor.m", regions[0]));
        Self {
            attempts: Attempts::new(Arc::new(Unused)),
            model: model.with_places(places.collect()),
            script: Script::default(),
            trace: Trace::default(),
        }
    }

    /// Asks for a whole reply, whose share of the time limit is a minute. It has `time` at most.
    async fn ask(&self, time: Duration) -> Result<String, Error> {
        let targets = &self.model.targets;
        let subject = Subject {
            targets: Some(targets).filter(|targets| !targets.places.is_empty()),
            probe: Some(Duration::from_secs(60)),
            limit: Some(time / 10 * 9),
            is_model: true,
            ..Subject::new(
                self.model.target(),
                "m",
                RetryPolicy::default(),
                &self.trace,
            )
        };
        let operation = ServiceOperation::Converse;
        let run = self.attempts.run(subject, operation, self.script.clone());
        match timeout(time, run).await {
            Ok(result) => result,
            Err(_) => Err(silent(time, false)),
        }
    }
}

/// Each of these calls failed for ever, because twenty within ten seconds never came together.
#[tokio::test(start_paused = true)]
async fn region_that_swallows_whole_replies_is_left_at_low_traffic() {
    let bench = Bench::new(&["east", "west"]);
    bench.script.set(&[("east", Does::Swallow); 6]);
    let limit = Duration::from_secs(300);
    for _ in 0..5 {
        assert!(bench.ask(limit).await.is_err(), "an answer may take long");
        advance(HOUR).await;
    }
    // The breaker is half open again: this call finds out, in its share of the time.
    let began = Instant::now();
    assert_eq!(bench.ask(limit).await.unwrap(), "west");
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    assert_eq!(bench.ask(limit).await.unwrap(), "west");
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    advance(HOUR).await;
    assert_eq!(bench.ask(limit).await.unwrap(), "east", "it works again");
}

/// It was asked again after 0.1 s.
#[tokio::test(start_paused = true)]
async fn retry_waits_for_as_long_as_the_service_demands_if_the_call_has_the_time() {
    for (regions, steps, waits) in [
        (&["east"][..], &[("east", Does::Throttle(30))][..], 30),
        (
            &["east", "west"],
            &[("east", Does::Throttle(30)), ("west", Does::Throttle(20))],
            20,
        ),
    ] {
        let bench = Bench::new(regions);
        let began = Instant::now();
        bench.script.set(steps);
        bench.trace.time_within(Duration::from_secs(25));
        let short = bench.ask(HOUR).await;
        let bench = Bench {
            trace: Trace::default(),
            attempts: Attempts::new(Arc::new(Unused)),
            ..bench
        };
        let early = began.elapsed();
        match waits < 25 {
            true => assert_eq!(short.unwrap(), "west"),
            false => {
                let error = short.unwrap_err();
                assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
                assert_eq!(early, Duration::ZERO);
            }
        }
        bench.script.set(steps);
        let began = Instant::now();
        let last = *regions.last().unwrap();
        assert_eq!(bench.ask(HOUR).await.unwrap(), last);
        assert_eq!(began.elapsed().as_secs(), waits);
    }
}

/// Another model answers sooner.
#[tokio::test(start_paused = true)]
async fn call_with_another_model_left_does_not_wait_for_a_service_that_demands_it() {
    let bench = Bench::new(&["east"]);
    bench.trace.set_fallbacks_left(1);
    bench.script.set(&[("east", Does::Throttle(30))]);
    let began = Instant::now();
    assert!(bench.ask(HOUR).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
}
