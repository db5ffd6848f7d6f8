use tokio::time::advance;

use super::*;

use Evidence::{Fails, Silent, Works};

const NOW: Duration = Duration::ZERO;

fn failures(breaker: &Breaker, count: u32) -> Option<State> {
    let fail = |_| breaker.record(Pass::Normal, Some(Fails), NOW);
    (0..count).filter_map(fail).last()
}

#[tokio::test(start_paused = true)]
async fn half_of_at_least_twenty_requests_open_it() {
    let breaker = Breaker::default();
    assert_eq!(failures(&breaker, 19), None);
    assert_eq!(failures(&breaker, 1), Some(State::Open));
    assert!(breaker.admit(false).is_err());
    let breaker = Breaker::default();
    (0..20).for_each(|_| {
        breaker.record(Pass::Normal, Some(Works), NOW);
    });
    assert_eq!(failures(&breaker, 19), None);
    assert_eq!(failures(&breaker, 1), Some(State::Open));
}

#[tokio::test(start_paused = true)]
async fn failures_older_than_the_window_do_not_count() {
    let breaker = Breaker::default();
    for _ in 0..3 {
        assert_eq!(failures(&breaker, 19), None);
        advance(SLOT * 11).await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_probes_close_it_and_a_failed_one_opens_it_for_longer() {
    let breaker = Breaker::default();
    failures(&breaker, 20);
    advance(OPEN).await;
    let probes: Vec<_> = (0..4).map(|_| breaker.admit(false)).collect();
    assert_eq!(probes[..3], [Ok(Pass::Probe); 3]);
    assert!(probes[3].is_err(), "a bounded number");
    assert_eq!(breaker.change(), Some(State::HalfOpen));
    let record = |works| breaker.record(Pass::Probe, works, NOW);
    assert_eq!(record(None), None, "an abandoned probe proves nothing");
    assert_eq!(record(Some(Fails)), Some(State::Open));
    advance(OPEN).await;
    assert_eq!(breaker.state(), State::Open, "twice as long");
    advance(OPEN).await;
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(record(Some(Works)), Some(State::HalfOpen));
    assert_eq!(record(Some(Works)), None);
    assert_eq!(record(Some(Works)), Some(State::Closed));
    assert_eq!(breaker.admit(false), Ok(Pass::Normal));
    assert_eq!(failures(&breaker, 19), None, "the window is empty");
}

/// Each of them doubled the time, and one that came late opened a breaker that others had closed.
#[tokio::test(start_paused = true)]
async fn probes_that_fail_together_or_late_count_once() {
    let breaker = Breaker::default();
    failures(&breaker, 20);
    advance(OPEN).await;
    let _: Vec<_> = (0..3).map(|_| breaker.admit(false)).collect();
    for _ in 0..3 {
        breaker.record(Pass::Probe, Some(Fails), NOW);
    }
    advance(2 * OPEN).await;
    assert_eq!(breaker.state(), State::HalfOpen, "twice as long");
    for _ in 0..3 {
        breaker.record(Pass::Probe, Some(Works), NOW);
    }
    assert_eq!(breaker.state(), State::Closed);
    breaker.record(Pass::Probe, Some(Fails), NOW);
    assert_eq!(breaker.state(), State::Closed, "it failed late");
}

#[tokio::test(start_paused = true)]
async fn one_request_at_a_time_passes_an_open_breaker_as_the_last_resort() {
    let breaker = Breaker::default();
    failures(&breaker, 20);
    assert_eq!(breaker.admit(true), Ok(Pass::Probe));
    assert_eq!(breaker.admit(true), Err(OPEN));
    let works = breaker.record(Pass::Probe, Some(Works), NOW);
    assert_eq!(works, Some(State::HalfOpen));
}

#[tokio::test(start_paused = true)]
async fn it_stays_open_for_as_long_as_the_service_demands() {
    let breaker = Breaker::default();
    failures(&breaker, 19);
    breaker.record(Pass::Normal, Some(Fails), Duration::from_secs(30));
    advance(Duration::from_secs(29)).await;
    assert_eq!(breaker.state(), State::Open);
    advance(Duration::from_secs(1)).await;
    assert_eq!(breaker.state(), State::HalfOpen);
}

/// Twenty requests within ten seconds never came together, so a region that swallows requests was never left.
#[tokio::test(start_paused = true)]
async fn few_requests_without_an_answer_open_it_however_far_apart() {
    let breaker = Breaker::default();
    let record = |evidence| breaker.record(Pass::Normal, Some(evidence), NOW);
    let end = async |evidence| {
        advance(Duration::from_secs(600)).await;
        record(evidence)
    };
    for evidence in [Silent, Silent, Silent, Silent, Works, Silent, Fails, Silent] {
        assert_eq!(end(evidence).await, None, "{evidence:?}");
    }
    assert_eq!(end(Silent).await, None);
    assert_eq!(end(Silent).await, None);
    assert_eq!(
        end(Silent).await,
        Some(State::Open),
        "five since the success"
    );
    advance(OPEN).await;
    for _ in 0..3 {
        breaker.record(Pass::Probe, Some(Works), NOW);
    }
    assert_eq!(breaker.state(), State::Closed);
    (0..4).for_each(|_| assert_eq!(record(Silent), None, "it counts anew"));
}
