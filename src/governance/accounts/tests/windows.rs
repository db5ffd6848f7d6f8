//! Windows that open, end and come back.

use super::*;

/// A window that opened in memory was taken for empty.
#[test]
fn first_window_is_read_from_the_ledger() {
    let day = budget("key:k", Per::Day, 100);
    let mut accounts = Accounts::new(0);
    accounts.set_budgets(&day.scope, vec![day.clone()], at(NOON));
    let Err(Denial::Unopened(ids)) = admit(&mut accounts, "1", 10, NOON) else {
        panic!("admitted into a window that was not read");
    };
    assert_eq!(ids, std::slice::from_ref(&day.id));
    assert!(accounts.status("key:k/day", at(NOON)).is_none());
    open(&mut accounts, "key:k/day", NOON, 95);
    assert!(!refusal(admit(&mut accounts, "1", 10, NOON)).is_reserved);
}

/// What is settled while the ledger answers is in the window once, whichever comes first.
#[test]
fn settlement_during_the_reading_of_a_window_counts_once() {
    let (day, month) = (
        budget("key:k", Per::Day, 100),
        budget("key:k", Per::Month, 1000),
    );
    let mut accounts = accounts(std::slice::from_ref(&day));
    admit(&mut accounts, "1", 30, NOON).unwrap();
    accounts.set_budgets(&day.scope, vec![day.clone(), month.clone()], at(NOON));
    let reading = accounts.unopened(std::slice::from_ref(&month.id), at(NOON));
    accounts.settle("1", NanoUsd(20), at(NOON));
    accounts.open(&reading[0], NanoUsd(500), Vec::new(), at(NOON));
    assert_eq!(balance(&accounts, "key:k/month", NOON), (520, 0));
}

#[test]
fn next_window_opens_without_reading() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 100)]);
    let (before, after) = ("2026-03-01T23:59:59Z", "2026-03-02T00:00:01Z");
    admit(&mut accounts, "1", 100, before).unwrap();
    admit(&mut accounts, "2", 100, after).expect("a new day");
    accounts.settle("1", NanoUsd(90), at(after));
    let today = balance(&accounts, "key:k/day", after);
    assert_eq!(today, (0, 100), "the cost counts for yesterday");
    accounts.settle("2", NanoUsd(10), at(after));
    assert_eq!(balance(&accounts, "key:k/day", after), (10, 0));
}

/// The clock went back over midnight, and the day began again with its whole budget.
#[test]
fn window_that_comes_back_is_read_again() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 100)]);
    let tomorrow = "2026-03-02T00:00:05Z";
    admit(&mut accounts, "1", 90, NOON).unwrap();
    accounts.settle("1", NanoUsd(90), at(NOON));
    admit(&mut accounts, "2", 80, tomorrow).unwrap();
    accounts.settle("2", NanoUsd(80), at(tomorrow));
    assert!(matches!(
        admit(&mut accounts, "3", 90, NOON),
        Err(Denial::Unopened(_))
    ));
    open(&mut accounts, "key:k/day", NOON, 90);
    assert!(!refusal(admit(&mut accounts, "3", 90, NOON)).is_reserved);
    assert!(matches!(
        admit(&mut accounts, "3", 10, tomorrow),
        Err(Denial::Unopened(_))
    ));
}

/// A ledger from the future, such as one written before the clock was corrected, may have records in the next window.
#[test]
fn window_before_the_latest_record_is_read() {
    let day = budget("key:k", Per::Day, 100);
    let mut accounts = Accounts::new(at("2026-03-02T00:15:00Z").as_second());
    accounts.set_budgets(&day.scope, vec![day.clone()], at(NOON));
    open(&mut accounts, "key:k/day", NOON, 0);
    let (second, third) = ("2026-03-02T01:00:00Z", "2026-03-03T01:00:00Z");
    assert!(matches!(
        admit(&mut accounts, "1", 1, second),
        Err(Denial::Unopened(_))
    ));
    open(&mut accounts, "key:k/day", second, 0);
    assert!(admit(&mut accounts, "1", 1, third).is_ok());
}

/// A call that ran while its budget changed from a day to a month was booked to the day only.
#[test]
fn call_in_flight_counts_towards_a_budget_that_replaces_its_own() {
    let (day, month) = (
        budget("key:k", Per::Day, 100),
        budget("key:k", Per::Month, 100),
    );
    let mut accounts = accounts(std::slice::from_ref(&day));
    admit(&mut accounts, "1", 60, NOON).unwrap();
    accounts.set_budgets(&day.scope, vec![month], at(NOON));
    assert!(!accounts.contains("key:k/day"));
    open(&mut accounts, "key:k/month", NOON, 0);
    assert_eq!(balance(&accounts, "key:k/month", NOON), (0, 60));
    accounts.settle("1", NanoUsd(50), at(NOON));
    assert_eq!(balance(&accounts, "key:k/month", NOON), (50, 0));
}

/// A call with the old terms put them back for everyone.
#[test]
fn terms_of_a_budget_are_those_that_were_set_last() {
    let mut accounts = accounts(&[budget("key:k", Per::Day, 1_000_000)]);
    admit(&mut accounts, "1", 60, NOON).unwrap();
    accounts.set_budgets(
        &"key:k".into(),
        vec![budget("key:k", Per::Day, 70)],
        at(NOON),
    );
    accounts.settle("1", NanoUsd(60), at(NOON));
    let status = accounts.status("key:k/day", at(NOON)).unwrap();
    assert_eq!((status.limit, status.settled), (NanoUsd(70), NanoUsd(60)));
    assert!(!refusal(admit(&mut accounts, "2", 11, NOON)).is_reserved);
    assert!(admit(&mut accounts, "2", 10, NOON).is_ok());
}

/// After a restart the account that end users share began at zero.
#[test]
fn account_of_an_end_user_is_read_at_the_first_call() {
    let mut accounts = Accounts::new(0);
    accounts.set_user_budgets("k", vec![budget("key:k", Per::Day, 100)], at(NOON));
    let entry = LedgerEntry {
        request_id: "1".into(),
        at: 0,
        key_id: "k".to_owned(),
        team: String::new(),
        end_user: "other".to_owned(),
        model: "m".to_owned(),
        target: String::new(),
        region: String::new(),
        route: None,
        price: String::new(),
    };
    let scopes = Scopes::of(&entry);
    let mut ask = || accounts.admit(&"1".into(), &scopes, NanoUsd(1), |_| NanoUsd(1), at(NOON));
    let Err(Denial::Unopened(ids)) = ask() else {
        panic!("admitted into a window that was not read");
    };
    assert_eq!(&*ids[0], "key:k/user:other/day");
}
