use std::time::Duration;

use ::metrics::set_default_local_recorder;
use futures_util::{FutureExt, StreamExt};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::*;
use crate::{
    call::{Alert, Caller, SentMark, Ticket},
    error::Kind,
    governance::{BudgetStatus, GroupBy, ReportQuery, StoreSettings},
    metrics::SPEND,
    middleware::testing::{
        Next, caller, chat, complete, embed, embedder, metric, model, planned, recorder, send,
        stream_of, streamed, usage, vector, whole,
    },
    model::Model,
    money::{Per, Usage},
    openai::completion::FinishReason,
    operation::chat::{Chat, Chunk},
};

mod refusals;
mod slices;

fn terms(scope: &str, limit: NanoUsd) -> Terms {
    Terms {
        scope: scope.into(),
        id: format!("{scope}/month").into(),
        limit,
        per: Per::Month,
        timezone: TimeZone::UTC,
        mode: Mode::Strict,
        fit: false,
        wait: Duration::ZERO,
        alert_at: Vec::new(),
    }
}

/// The middleware with one budget, of the key `ci`.
struct Bench {
    budget: Budget,
    terms: Arc<Terms>,
    caller: Arc<Caller>,
    alerts: mpsc::Receiver<Alert>,
}

impl Bench {
    async fn new(limit: NanoUsd) -> Self {
        Self::with(terms("key:ci", limit), |_| {}).await
    }

    async fn with(terms: Terms, change: impl FnOnce(&mut Settings)) -> Self {
        let (sender, alerts) = mpsc::channel(8);
        let store = StoreSettings::in_memory();
        let mut settings = Settings {
            ledger: Ledger::open(&store, sender.clone()).await.unwrap(),
            allow_unpriced: false,
            alert_request: None,
            alerts: sender,
            outputs: Outputs::default(),
            quotas: Quotas::default(),
        };
        change(&mut settings);
        let terms = Arc::new(terms);
        let ledger = &settings.ledger;
        ledger.set_all_budgets([terms.clone()]).await.unwrap();
        let caller = Caller {
            budgets: vec![terms.clone()],
            ..caller()
        };
        Self {
            budget: Budget::new(settings),
            terms,
            caller: Arc::new(caller),
            alerts,
        }
    }

    fn chat(&self, stream: bool) -> Call<Chat> {
        planned(&self.caller, model(), chat(stream))
    }

    fn status(&self) -> BudgetStatus {
        self.budget.0.ledger.budget_status(&self.terms.id).unwrap()
    }

    /// What is spent, and what is reserved.
    fn balance(&self) -> (NanoUsd, NanoUsd) {
        let status = self.status();
        (status.settled, status.reserved)
    }
}

const NOTHING: NanoUsd = NanoUsd(0);
const PLENTY: NanoUsd = NanoUsd(1_000_000_000);

fn cost(usage: Usage) -> NanoUsd {
    usage.cost.unwrap().total()
}

/// The most that [`chat`] can cost.
fn worst() -> NanoUsd {
    let call = planned(&Arc::new(caller()), model(), chat(false));
    call.plan
        .worst
        .cost(call.model.price.as_deref().unwrap())
        .unwrap()
}

#[tokio::test]
async fn worst_case_is_reserved_until_a_stream_ends() {
    let bench = Bench::new(worst()).await;
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let mut stream = stream_of(send(&bench.budget, &next, bench.chat(true)).await);
    stream.next().await.unwrap().unwrap();
    assert_eq!(bench.balance(), (NOTHING, worst()), "it fits exactly");
    assert_eq!(stream.count().await, 3);
    assert_eq!(bench.balance(), (cost(usage(7, 3)), NOTHING));
}

#[tokio::test]
async fn whole_reply_is_settled_at_its_actual_cost() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(whole(usage(7, 3)));
    send(&bench.budget, &next, bench.chat(false)).await.unwrap();
    assert_eq!(bench.balance(), (cost(usage(7, 3)), NOTHING));
    let labels = [("key_id", "ci"), ("model", "fast"), ("kind", "actual")];
    let spent = metric(&recorder, SPEND, &labels);
    assert!(
        (spent - cost(usage(7, 3)).as_usd()).abs() < 1e-12,
        "{spent}"
    );
}

#[tokio::test]
async fn failed_call_that_is_not_on_the_bill_settles_zero() {
    let bench = Bench::new(PLENTY).await;
    let error = send(&bench.budget, &Next::failing(), bench.chat(false)).await;
    assert_eq!(error.unwrap_err().code(), Some("upstream_throttle"));
    assert_eq!(bench.balance(), (NOTHING, NOTHING));
}

#[tokio::test]
async fn failed_call_that_may_be_on_the_bill_is_presumed() {
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(|_: &Call<Chat>, lost: Ticket| {
        drop(lost);
        Err(Error::new(Kind::UpstreamTimeout, "Late."))
    });
    send(&bench.budget, &next, bench.chat(false))
        .await
        .unwrap_err();
    assert_eq!(bench.balance(), (worst(), NOTHING));
}

#[tokio::test]
async fn dropped_call_is_presumed() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(whole(usage(7, 3))).silent();
    let mut waiting = Box::pin(send(&bench.budget, &next, bench.chat(false)));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(bench.balance(), (NOTHING, worst()));
    drop(waiting);
    assert_eq!(bench.balance(), (worst(), NOTHING));
    let spent = metric(&recorder, SPEND, &[("kind", "presumed")]);
    assert!((spent - worst().as_usd()).abs() < 1e-12, "{spent}");
}

#[tokio::test]
async fn dropped_stream_is_presumed_if_its_usage_is_unknown() {
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let mut stream = stream_of(send(&bench.budget, &next, bench.chat(true)).await);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(bench.balance(), (worst(), NOTHING));
}

#[tokio::test]
async fn estimated_usage_costs_at_least_the_reserved_input() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let bench = Bench::new(PLENTY).await;
    let estimated = Usage {
        estimated: true,
        ..usage(7, 3)
    };
    let next = Next::new(whole(estimated));
    let call = bench.chat(false);
    let input = call.plan.worst.input_tokens;
    send(&bench.budget, &next, call).await.unwrap();
    assert_eq!(bench.balance(), (cost(usage(input, 0)), NOTHING));
    assert!(metric(&recorder, SPEND, &[("kind", "estimated")]) > 0.0);
}

#[tokio::test]
async fn embedding_is_settled_like_a_chat() {
    let bench = Bench::new(PLENTY).await;
    let call = || planned(&bench.caller, embedder(), embed());
    let next = Next::new(vector(usage(9, 0)));
    send(&bench.budget, &Next::failing(), call())
        .await
        .unwrap_err();
    assert_eq!(bench.balance(), (NOTHING, NOTHING));
    send(&bench.budget, &next, call()).await.unwrap();
    let spent = cost(usage(9, 0));
    assert_eq!(bench.balance(), (spent, NOTHING));
    let dropped = send(&bench.budget, &next.silent(), call()).now_or_never();
    assert!(dropped.is_none());
    let presumed = cost(usage(call().plan.worst.input_tokens, 0));
    assert_eq!(bench.balance(), (spent + presumed, NOTHING));
}

/// The floor of an estimated answer was hidden by what the service reported for its sibling.
#[tokio::test]
async fn estimated_answer_costs_its_reserved_input_beside_a_counted_one() {
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(|call: &Call<Chat>, counted: Ticket| {
        counted.used(usage(7, 300));
        let estimated = Usage {
            estimated: true,
            ..usage(1, 1)
        };
        call.trace.ticket(&SentMark::default()).used(estimated);
        Err(Error::new(Kind::Upstream, "Cut."))
    });
    let call = bench.chat(false);
    let input = cost(usage(call.plan.worst.input_tokens, 0));
    send(&bench.budget, &next, call).await.unwrap_err();
    assert!(input > cost(usage(1, 1)));
    assert_eq!(bench.balance(), (cost(usage(7, 300)) + input, NOTHING));
}

/// A request that failed before any output was booked with the whole output that it may have had.
#[tokio::test]
async fn request_without_output_costs_its_reserved_input() {
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(|_: &Call<Chat>, ticket: Ticket| {
        ticket.unanswered();
        Err(Error::new(Kind::Upstream, "Failed."))
    });
    let call = bench.chat(false);
    let input = cost(usage(call.plan.worst.input_tokens, 0));
    send(&bench.budget, &next, call).await.unwrap_err();
    assert_eq!(bench.balance(), (input, NOTHING));
}

#[tokio::test]
async fn repeat_of_a_lost_request_needs_money_for_both() {
    for (limit, may_repeat) in [(worst(), false), (worst() + worst(), true)] {
        let bench = Bench::new(limit).await;
        let next = Next::new(move |call: &Call<Chat>, ticket| {
            let repeats = call.trace.spending().may_repeat().now_or_never();
            assert_eq!(repeats, Some(may_repeat));
            ticket.free();
            Err(Error::new(Kind::Upstream, "Cut."))
        });
        send(&bench.budget, &next, bench.chat(false))
            .await
            .unwrap_err();
        assert_eq!(next.calls(), 1);
        assert_eq!(bench.balance(), (NOTHING, NOTHING));
    }
}

/// `max_cost_usd` did not bound repeats: without a budget, three attempts cost three times as much.
#[tokio::test]
async fn client_limit_admits_no_repeat_that_exceeds_it() {
    for (max, may_repeat) in [(worst(), false), (worst() + worst(), true)] {
        let bench = Bench::new(PLENTY).await;
        let next = Next::new(move |call: &Call<Chat>, ticket| {
            let repeats = || call.trace.spending().may_repeat().now_or_never();
            assert_eq!(repeats(), Some(may_repeat));
            assert_eq!(repeats(), Some(false), "a second time");
            ticket.free();
            Err(Error::new(Kind::Upstream, "Cut."))
        });
        let limited = Chat {
            max_cost: Some(max),
            ..chat(false)
        };
        let call = planned(&bench.caller, model(), limited);
        send(&bench.budget, &next, call).await.unwrap_err();
        assert_eq!(next.calls(), 1);
    }
}

#[tokio::test]
async fn expensive_call_raises_an_alert() {
    let change = |settings: &mut Settings| settings.alert_request = Some(cost(usage(7, 3)));
    let mut bench = Bench::with(terms("key:ci", PLENTY), change).await;
    for used in [usage(7, 3), usage(7, 4)] {
        let next = Next::new(whole(used));
        send(&bench.budget, &next, bench.chat(false)).await.unwrap();
    }
    let Ok(Alert::ExpensiveRequest { cost_usd, .. }) = bench.alerts.try_recv() else {
        panic!("no alert");
    };
    assert_eq!(cost_usd, cost(usage(7, 4)).to_string());
    assert!(
        bench.alerts.try_recv().is_err(),
        "only one exceeds the limit"
    );
}

#[tokio::test]
async fn call_without_a_budget_is_recorded_too() {
    let bench = Bench::new(PLENTY).await;
    let call = planned(&Arc::new(caller()), model(), chat(false));
    let next = Next::new(whole(usage(7, 3)));
    send(&bench.budget, &next, call).await.unwrap();
    let query = ReportQuery {
        by: vec![GroupBy::Key, GroupBy::Model, GroupBy::Certainty],
        since: 0,
        until: i64::MAX,
        key_id: None,
    };
    let rows = bench.budget.0.ledger.report(query).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].names, ["ci", "fast", "actual"]);
    assert_eq!((rows[0].calls, rows[0].input, rows[0].output), (1, 7, 3));
}
