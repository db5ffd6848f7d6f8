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
    model::Route,
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
        route: Some(Route::Converse),
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

#[tokio::test]
async fn row_79_call_is_charged_to_the_window_in_which_it_was_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T23:59:59Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    ledger
        .set_all_budgets([budget("key:k", Per::Day, 10)])
        .await
        .unwrap();
    let late = ledger
        .hold(entry("1", ""), NanoUsd(9), |_| NanoUsd(9))
        .await;
    hands.set("2026-03-02T00:00:01Z");
    // The new day has its whole limit, before and after the call of the old one is settled.
    assert!(spend(&ledger, entry("2", ""), 4).await);
    late.unwrap().settle(settlement(Usage::default(), 9));
    assert_eq!(settled(&ledger, "key:k/day"), 4);
    assert!(spend(&ledger, entry("3", ""), 6).await);
    assert!(!spend(&ledger, entry("4", ""), 1).await);
    drop(ledger);
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    ledger
        .set_all_budgets([budget("key:k", Per::Day, 10)])
        .await
        .unwrap();
    assert_eq!(settled(&ledger, "key:k/day"), 10);
}

/// A ledger that was opened again at once read holds of calls whose records were still in the queue of the old one.
#[tokio::test]
async fn ledger_is_locked_until_its_last_record_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let ledger = open(&file, Clock::default()).await;
    let (gate, wait) = std::sync::mpsc::channel();
    let busy = ledger.0.store.writer.read_in_order(move |_| {
        let () = wait.recv().unwrap();
        Ok(())
    });
    drop(ledger);
    let is_locked = || std::fs::File::open(&file).unwrap().try_lock().is_err();
    assert!(is_locked());
    gate.send(()).unwrap();
    busy.await.unwrap();
    open(&file, Clock::default()).await;
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

/// A ledger with a budget of 10 an hour, for which a call waits up to ten minutes.
async fn waits(hands: &Hands) -> Ledger {
    let (alerts, _) = mpsc::channel(1);
    let settings = StoreSettings::in_memory();
    let ledger = Ledger::open_at(&settings, alerts, hands.clock());
    let ledger = ledger.await.unwrap();
    let waits = Budget {
        wait: Duration::from_secs(600),
        ..Budget::clone(&budget("key:k", Per::Hour, 10))
    };
    ledger.set_all_budgets([Arc::new(waits)]).await.unwrap();
    ledger
}

async fn hold_ten(ledger: &Ledger, id: &str) -> Hold {
    let hold = ledger.hold(entry(id, ""), NanoUsd(10), |_| NanoUsd(10));
    hold.await.unwrap()
}

/// It heard only of settlements, and waited ten minutes.
#[tokio::test]
async fn waiting_call_is_admitted_by_an_override() {
    let ledger = waits(&Hands::at("2026-03-01T10:30:00Z")).await;
    let _first = hold_ten(&ledger, "a").await;
    let began = Instant::now();
    let raise = async {
        let more = LimitOverride {
            by: NanoUsd(10),
            until: i64::MAX,
        };
        let audit = Audit {
            at: 0,
            who: "test".to_owned(),
            action: "budget.override",
            subject: "key:k/hour".to_owned(),
            before: None,
            after: None,
            reason: String::new(),
        };
        let raised = ledger.override_limit("key:k/hour", more, "test".to_owned(), audit);
        raised.await.unwrap()
    };
    let (_second, was_raised) = tokio::join!(hold_ten(&ledger, "b"), raise);
    assert!(was_raised);
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// The window began without it, and it waited ten minutes.
#[tokio::test]
async fn waiting_call_is_admitted_by_the_next_window() {
    let hands = Hands::at("2026-03-01T10:59:59Z");
    let ledger = waits(&hands).await;
    let _first = hold_ten(&ledger, "a").await;
    let began = Instant::now();
    let turn = async { hands.set("2026-03-01T11:00:00Z") };
    let (_second, ()) = tokio::join!(hold_ten(&ledger, "b"), turn);
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Another connection sees the larger hold, so a request that is repeated after this leaves no unwritten cost.
#[tokio::test]
async fn extension_of_a_hold_is_in_the_file_when_it_is_granted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let ledger = open(&file, Clock::default()).await;
    let day = budget("key:k", Per::Day, 100);
    ledger.set_all_budgets([day]).await.unwrap();
    let hold = ledger
        .hold(entry("a", ""), NanoUsd(10), |_| NanoUsd(10))
        .await;
    let hold = hold.unwrap();
    assert!(hold.extend(NanoUsd(7), NanoUsd(7)).await);
    let other = rusqlite::Connection::open(&file).unwrap();
    let amount = || -> i64 {
        let row = other.query_row("SELECT amount FROM holds", [], |row| row.get(0));
        row.unwrap()
    };
    assert_eq!(amount(), 17);
    assert!(!hold.extend(NanoUsd(84), NanoUsd(84)).await);
    assert_eq!(amount(), 17);
}

#[tokio::test]
async fn hashes_of_end_users_differ_between_ledgers_and_files_are_private() {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let account = async |name: &str| {
        let file = folder.path().join(name);
        let ledger = open(&file, Clock::default()).await;
        let caller = Caller {
            end_users: Some(crate::call::EndUsers {
                max: 10,
                ..Default::default()
            }),
            ..Caller::default()
        };
        ledger.restore_end_users([&caller]).await.unwrap();
        assert!(spend(&ledger, entry(name, ""), 1).await);
        ledger.flush().await;
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
        }
        let users = caller.end_users.unwrap();
        users.account("ann", std::time::SystemTime::now())
    };
    let first = account("a.db").await;
    assert_eq!(first, account("a.db").await);
    assert_ne!(first, account("b.db").await);
}

mod corrections;
