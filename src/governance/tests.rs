//! The ledger over a file: restarts, clocks, numbers that cannot be.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::*;
use crate::{
    call::Caller,
    money::{Mode, Per, Usage},
};

fn budget(scope: &str, per: Per, limit: u64) -> Arc<Budget> {
    Arc::new(Budget {
        scope: scope.into(),
        id: format!("{scope}/{}", per.as_str()).into(),
        limit: NanoUsd(limit),
        per,
        timezone: TimeZone::UTC,
        mode: Mode::Strict,
        fit: false,
        wait: Duration::ZERO,
        alert_at: Vec::new(),
    })
}

fn entry(request_id: &str, end_user: &str) -> LedgerEntry {
    LedgerEntry {
        request_id: request_id.into(),
        at: 0,
        key_id: "k".to_owned(),
        team: String::new(),
        end_user: end_user.to_owned(),
        model: "m".to_owned(),
        target: String::new(),
        region: String::new(),
        price: String::new(),
    }
}

/// A clock that tests set.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(text: &str) -> Self {
        let hands = Self(Arc::default());
        hands.set(text);
        hands
    }

    fn set(&self, text: &str) {
        let time: Timestamp = text.parse().unwrap();
        self.0.store(time.as_millisecond(), Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let Self(hands) = self.clone();
        Clock::new(move || Timestamp::from_millisecond(hands.load(Ordering::Relaxed)).unwrap())
    }
}

async fn open(file: &Path, clock: Clock) -> Ledger {
    let settings = StoreSettings {
        location: Location::File(file.to_owned()),
        ..StoreSettings::in_memory()
    };
    let (alerts, _) = mpsc::channel(1);
    Ledger::open_at(&settings, alerts, clock).await.unwrap()
}

fn settlement(usage: Usage, cost: u64) -> Settlement {
    Settlement {
        usage,
        cost: Some(NanoUsd(cost)),
        certainty: Certainty::Actual,
        status: "ok",
        how: "ok",
        attempts: 1,
    }
}

/// Makes a call that costs `cost`. Returns whether it was admitted.
async fn spend(ledger: &Ledger, entry: LedgerEntry, cost: u64) -> bool {
    match ledger.hold(entry, NanoUsd(cost), |_| NanoUsd(cost)).await {
        Ok(hold) => {
            hold.settle(settlement(Usage::default(), cost));
            true
        }
        Err(HoldError::Refused(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn settled(ledger: &Ledger, id: &str) -> u64 {
    ledger.budget_status(id).unwrap().settled.0
}

/// $0.018 were spent on a budget of $0.01 a day, because the day began again.
#[tokio::test]
async fn clock_that_goes_back_over_midnight_does_not_give_a_budget_twice() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T23:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    let day = budget("key:k", Per::Day, 10);
    ledger.set_all_budgets([day]).await.unwrap();
    assert!(spend(&ledger, entry("1", ""), 9).await);
    hands.set("2026-03-02T01:00:00Z");
    assert!(spend(&ledger, entry("2", ""), 8).await, "a new day");
    hands.set("2026-03-01T23:30:00Z");
    assert!(!spend(&ledger, entry("3", ""), 9).await);
    assert!(spend(&ledger, entry("4", ""), 1).await);
    hands.set("2026-03-02T01:30:00Z");
    assert!(!spend(&ledger, entry("5", ""), 3).await);
    assert_eq!(settled(&ledger, "key:k/day"), 8);
}

/// After a restart the shared account began at zero, and one user had lost its own.
#[tokio::test]
async fn accounts_of_end_users_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (file, hands) = (
        folder.path().join("a.db"),
        Hands::at("2026-03-01T12:00:00Z"),
    );
    let caller = || Caller {
        key_id: "k".to_owned(),
        end_users: Some(crate::call::EndUsers {
            budgets: vec![budget("key:k", Per::Day, 10)],
            max: 1,
            ..Default::default()
        }),
        ..Caller::default()
    };
    let mut accounts = Vec::new();
    for (spent, is_admitted) in [(7, true), (7, false)] {
        let (ledger, caller) = (open(&file, hands.clock()).await, caller());
        ledger.restore_end_users([&caller]).await.unwrap();
        let users = caller.end_users.as_ref().unwrap();
        let names = ["ann", "bob"].map(|name| users.account(name, std::time::SystemTime::now()));
        for name in &names {
            assert_eq!(spend(&ledger, entry(name, name), spent).await, is_admitted);
        }
        accounts.push(names);
        ledger.close().await;
    }
    assert_eq!(accounts[0], accounts[1], "ann keeps her own account");
    assert_eq!(accounts[0][1], "other");
}

/// Two reports of 2^63-1 tokens made a sum a float, and no report or start worked again.
#[tokio::test]
async fn absurd_counts_do_not_break_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (file, hands) = (
        folder.path().join("a.db"),
        Hands::at("2026-03-01T12:00:00Z"),
    );
    let absurd = Usage {
        input: u64::MAX,
        output: u64::MAX,
        ..Usage::default()
    };
    let day = budget("key:k", Per::Day, u64::MAX);
    for round in 0..2 {
        let ledger = open(&file, hands.clock()).await;
        ledger.set_all_budgets([day.clone()]).await.unwrap();
        for nth in 0..3 {
            let entry = entry(&format!("{round}-{nth}"), "");
            let hold = ledger
                .hold(entry, NanoUsd(1), |_| NanoUsd(1))
                .await
                .unwrap();
            hold.settle(settlement(absurd, u64::MAX));
        }
        let report = ReportQuery {
            by: vec![GroupBy::Key],
            since: 0,
            until: i64::MAX,
            key_id: None,
        };
        let rows = ledger.report(report).await.unwrap();
        assert_eq!(rows[0].calls, 3 * (round + 1));
        ledger.close().await;
    }
}

/// Two budgets of a key that changed while a call ran: the month showed $0 until a restart.
#[tokio::test]
async fn budget_that_is_replaced_during_a_call_gets_its_cost() {
    let folder = tempfile::tempdir().unwrap();
    let (file, hands) = (
        folder.path().join("a.db"),
        Hands::at("2026-03-01T12:00:00Z"),
    );
    let ledger = open(&file, hands.clock()).await;
    let (day, month) = (
        budget("key:k", Per::Day, 100),
        budget("key:k", Per::Month, 100),
    );
    ledger.set_budgets("key:k", vec![day]).await.unwrap();
    assert!(spend(&ledger, entry("1", ""), 30).await);
    let hold = ledger.hold(entry("2", ""), NanoUsd(20), |_| NanoUsd(20));
    let hold = hold.await.unwrap();
    ledger.set_budgets("key:k", vec![month]).await.unwrap();
    let status = ledger.budget_status("key:k/month").unwrap();
    assert_eq!(
        (status.settled, status.reserved),
        (NanoUsd(30), NanoUsd(20))
    );
    hold.settle(settlement(Usage::default(), 15));
    assert_eq!(settled(&ledger, "key:k/month"), 45);
    ledger.close().await;
    drop((hold, ledger));
    let ledger = open(&file, hands.clock()).await;
    let month = budget("key:k", Per::Month, 100);
    ledger.set_all_budgets([month]).await.unwrap();
    assert_eq!(
        settled(&ledger, "key:k/month"),
        45,
        "the file says the same"
    );
}

/// Leaves a presumed record of `request_id`, at `price`.
async fn presume(ledger: &Ledger, request_id: &str, price: &str, cost: u64) {
    let entry = LedgerEntry {
        price: price.to_owned(),
        ..entry(request_id, "")
    };
    let hold = ledger.hold(entry, NanoUsd(cost), |_| NanoUsd(cost)).await;
    drop(hold.unwrap());
    ledger.flush().await;
}

fn audit() -> Audit {
    Audit {
        at: 0,
        who: String::new(),
        action: "ledger.reconcile",
        subject: String::new(),
        before: None,
        after: None,
        reason: String::new(),
    }
}

fn logged(invocation: &str, request_id: &str, input: &str) -> String {
    format!(
        r#"{{"requestId":"{invocation}","requestMetadata":{{"lintel_request_id":"{request_id}"}},"input":{{{input}}}}}"#
    )
}

/// A line that stood in two files of the log was settled twice, and cache writes for an hour cost as much as those for five
/// minutes: 4000, and 1250.
#[tokio::test]
async fn reconciliation_settles_each_invocation_once_at_the_highest_price_of_its_buckets() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    let day = budget("key:k", Per::Day, 100_000_000);
    ledger.set_all_budgets([day]).await.unwrap();
    let counts = r#""inputTokenCount":1000"#;
    let writes = r#""cacheWriteInputTokenCount":1000"#;
    let short = format!(r#""inputBodyJson":{{"ttl":"5m"}},{writes}"#);
    let hourly = format!(r#""inputBodyJson":{{"ttl":"1h"}},{writes}"#);
    for (id, lines, cost) in [
        ("twice", vec![("a", counts), ("a", counts)], 2_000_000),
        ("two", vec![("b", counts), ("c", counts)], 4_000_000),
        ("unknown", vec![("d", writes)], 4_000_000),
        ("short", vec![("e", &*short)], 2_500_000),
        ("hourly", vec![("f", &*hourly)], 4_000_000),
    ] {
        let before = settled(&ledger, "key:k/day");
        presume(&ledger, id, "2/10/0.2/2.5/4", 9_000_000).await;
        let lines = lines
            .iter()
            .map(|(invocation, input)| logged(invocation, id, input));
        let log: Vec<String> = lines.collect();
        let done = ledger.reconcile(&log.join("\n"), None, audit()).await;
        assert_eq!(done.unwrap().corrected, 1, "{id}");
        assert_eq!(settled(&ledger, "key:k/day") - before, cost, "{id}");
    }
}

/// A count of 2^63 in a log booked $9,223,372,036 to the budget, which then admitted nothing.
#[tokio::test]
async fn reconciliation_ignores_counts_that_no_request_can_have() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    presume(&ledger, "1", "2/10/-/-/-", 9000).await;
    let log = logged("a", "1", r#""inputTokenCount":9223372036854775808"#);
    let done = ledger.reconcile(&log, None, audit()).await.unwrap();
    assert_eq!((done.unreadable, done.corrected), (1, 0));
}

/// A window that was read between the correction of a record and that of its balance had the correction twice: $0 of
/// $0.000009 were settled, so that the budget was given again.
#[tokio::test]
async fn no_window_opens_while_a_record_is_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    presume(&ledger, "1", "2/10/-/-/-", 9000).await;
    let opening = ledger.0.opening.lock().await;
    let log = logged("a", "1", r#""inputTokenCount":1"#);
    let correction = ledger.reconcile(&log, None, audit());
    let waits = timeout(Duration::from_millis(50), correction).await;
    assert!(waits.is_err());
    drop(opening);
    let done = ledger.reconcile(&log, None, audit()).await.unwrap();
    assert_eq!(done.corrected, 1, "nothing was corrected before");
}

/// A budget that changed while a call ran admitted any extension until its window was read.
#[tokio::test]
async fn call_is_not_extended_in_a_window_that_was_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    assert!(spend(&ledger, entry("1", ""), 8).await);
    let hold = ledger.hold(entry("2", ""), NanoUsd(1), |_| NanoUsd(1));
    let hold = hold.await.unwrap();
    let new = vec![budget("key:k", Per::Day, 10)];
    let (scope, now) = ("key:k".into(), ledger.now());
    ledger.accounts().set_budgets(&scope, new, now);
    assert!(!hold.extend(NanoUsd(2), NanoUsd(2)).await, "8 are settled");
    ledger.open_windows(&["key:k/day".into()]).await.unwrap();
    assert!(!hold.extend(NanoUsd(2), NanoUsd(2)).await);
    assert!(hold.extend(NanoUsd(1), NanoUsd(1)).await);
}
