use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::{
    governance::LedgerEntry,
    money::{Mode, Per},
};

mod orders;
mod windows;

pub fn budget(scope: &str, per: Per, limit: u64) -> Arc<Budget> {
    Arc::new(Budget {
        scope: scope.into(),
        id: format!("{scope}/{}", per.as_str()).into(),
        limit: NanoUsd(limit),
        per,
        timezone: TimeZone::UTC,
        mode: Mode::Strict,
        fit: false,
        wait: Duration::ZERO,
        alert_at: vec![50, 80],
    })
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub const NOON: &str = "2026-03-01T12:00:00Z";

/// The scopes of a call of key `k` for model `m`.
pub fn scopes() -> Scopes {
    Scopes::of(&LedgerEntry {
        request_id: "unused".into(),
        at: 0,
        key_id: "k".to_owned(),
        team: "t".to_owned(),
        end_user: String::new(),
        model: "m".to_owned(),
        target: String::new(),
        region: String::new(),
        route: None,
        price: String::new(),
    })
}

/// Accounts of these budgets, whose windows at noon are open and empty.
pub fn accounts(budgets: &[Arc<Budget>]) -> Accounts {
    let mut accounts = Accounts::new(0);
    for budget in budgets {
        accounts.set_budgets(&budget.scope, vec![budget.clone()], at(NOON));
        open(&mut accounts, &budget.id, NOON, 0);
    }
    accounts
}

/// Opens the window of a budget around `now`, in which the ledger has `settled`.
pub fn open(accounts: &mut Accounts, id: &str, now: &str, settled: u64) {
    for window in accounts.unopened(&[id.into()], at(now)) {
        accounts.open(&window, NanoUsd(settled), Vec::new(), at(now));
    }
}

pub fn admit(accounts: &mut Accounts, id: &str, amount: u64, now: &str) -> Result<bool, Denial> {
    let amount = NanoUsd(amount);
    accounts.admit(&id.into(), &scopes(), amount, |_| amount, at(now))
}

/// What is settled and reserved in the current window of a budget.
pub fn balance(accounts: &Accounts, id: &str, now: &str) -> (u64, u64) {
    let status = accounts.status(id, at(now)).expect("an open window");
    (status.settled.0, status.reserved.0)
}

fn refusal(result: Result<bool, Denial>) -> Refusal {
    match result {
        Err(Denial::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reservation_is_made_in_all_budgets_or_in_none() {
    let (key, team) = (
        budget("key:k", Per::Day, 100),
        budget("team:t", Per::Day, 10),
    );
    let mut accounts = accounts(&[key, team]);
    let refused = refusal(admit(&mut accounts, "1", 50, NOON));
    assert_eq!(&*refused.status.budget.id, "team:t/day");
    assert_eq!(balance(&accounts, "key:k/day", NOON), (0, 0));
    assert!(admit(&mut accounts, "2", 10, NOON).unwrap());
}

#[test]
fn refusal_says_whether_money_is_spent_or_only_reserved() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 100)]);
    admit(&mut accounts, "1", 60, NOON).unwrap();
    assert!(refusal(admit(&mut accounts, "2", 50, NOON)).is_reserved);
    assert!(!refusal(admit(&mut accounts, "2", 101, NOON)).is_reserved);
    accounts.settle("1", NanoUsd(60), at(NOON));
    assert!(!refusal(admit(&mut accounts, "2", 50, NOON)).is_reserved);
    assert!(admit(&mut accounts, "2", 40, NOON).is_ok());
}

#[test]
fn override_expires() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 100)]);
    let limit_override = |by, seconds| LimitOverride {
        by: NanoUsd(by),
        until: at(NOON).as_second() + seconds,
    };
    assert!(accounts.override_limit("key:k/day", limit_override(49, 60), at(NOON)));
    assert!(
        accounts.override_limit("key:k/day", limit_override(1, 30), at(NOON)),
        "overrides add up"
    );
    assert!(admit(&mut accounts, "1", 150, NOON).is_ok());
    accounts.settle("1", NanoUsd(100), at(NOON));
    let later = "2026-03-01T12:01:00Z";
    assert!(!refusal(admit(&mut accounts, "2", 1, later)).is_reserved);
    assert!(!accounts.override_limit("team:t/day", limit_override(1, 1), at(NOON)));
}

#[test]
fn each_threshold_is_alerted_once() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 100)]);
    let mut spend = |amount| {
        admit(&mut accounts, "1", amount, NOON).unwrap();
        let crossed = accounts.settle("1", NanoUsd(amount), at(NOON));
        crossed
            .iter()
            .map(|crossed| crossed.percent)
            .collect::<Vec<_>>()
    };
    assert_eq!(spend(49), Vec::<u8>::new());
    assert_eq!(spend(1), [50]);
    assert_eq!(spend(10), Vec::<u8>::new());
    assert_eq!(spend(40), [80]);
}

#[test]
fn settlement_wakes_only_the_calls_that_fit() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 100)]);
    admit(&mut accounts, "1", 60, NOON).unwrap();
    admit(&mut accounts, "2", 40, NOON).unwrap();
    let mut waits = |amount| accounts.wait_for("key:k/day", NanoUsd(amount)).unwrap();
    let (mut large, mut small, mut third) = (waits(70), waits(30), waits(30));
    accounts.settle("2", NanoUsd(0), at(NOON));
    assert!(small.try_recv().is_ok(), "40 are free");
    assert!(large.try_recv().is_err() && third.try_recv().is_err());
    let raise = LimitOverride {
        by: NanoUsd(50),
        until: i64::MAX,
    };
    accounts.override_limit("key:k/day", raise, at(NOON));
    assert!(large.try_recv().is_ok(), "an override wakes, too");
}
