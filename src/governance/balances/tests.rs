use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::money::{Mode, Per};

fn budget(id: &str, limit: u64) -> Arc<Budget> {
    Arc::new(Budget {
        scope: id.into(),
        id: format!("{id}/day").into(),
        limit: NanoUsd(limit),
        per: Per::Day,
        timezone: TimeZone::UTC,
        mode: Mode::Strict,
        fit: false,
        wait: Duration::ZERO,
        alert_at: vec![50, 80],
    })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOON: &str = "2026-03-01T12:00:00Z";

#[test]
fn a_reservation_is_made_in_all_budgets_or_in_none() {
    let (a, b) = (budget("a", 100), budget("b", 10));
    let mut balances = Balances::default();
    let rejected = balances.reserve(&[(a.clone(), NanoUsd(50)), (b, NanoUsd(50))], at(NOON));
    assert!(matches!(rejected, Err(Refusal::Spent(status)) if &*status.budget.id == "b/day"));
    let status = balances.budget_statuses(|_| true, at(NOON));
    assert!(
        status.iter().all(|status| status.reserved == NanoUsd(0)),
        "nothing stays reserved"
    );
    assert!(
        balances.reserve(&[(a, NanoUsd(100))], at(NOON)).is_ok(),
        "the last cent may be spent"
    );
}

#[test]
fn a_refusal_says_whether_money_is_spent_or_only_reserved() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    let reservations = balances
        .reserve(&[(a.clone(), NanoUsd(60))], at(NOON))
        .unwrap();
    assert!(matches!(
        balances.reserve(&[(a.clone(), NanoUsd(50))], at(NOON)),
        Err(Refusal::Reserved(_))
    ));
    assert!(matches!(
        balances.reserve(&[(a.clone(), NanoUsd(101))], at(NOON)),
        Err(Refusal::Spent(_))
    ));
    balances.settle(&reservations, NanoUsd(60), at(NOON));
    assert!(matches!(
        balances.reserve(&[(a.clone(), NanoUsd(50))], at(NOON)),
        Err(Refusal::Spent(_))
    ));
    assert!(balances.reserve(&[(a, NanoUsd(40))], at(NOON)).is_ok());
}

#[test]
fn a_call_is_settled_in_the_window_of_its_admission() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    let (before, after) = (at("2026-03-01T23:59:59Z"), at("2026-03-02T00:00:01Z"));
    let reservations = balances
        .reserve(&[(a.clone(), NanoUsd(100))], before)
        .unwrap();
    let fresh = balances
        .reserve(&[(a.clone(), NanoUsd(100))], after)
        .expect("a new day");
    balances.settle(&reservations, NanoUsd(90), after);
    let status = balances.budget_statuses(|_| true, after).remove(0);
    assert_eq!(
        (status.settled, status.reserved),
        (NanoUsd(0), NanoUsd(100)),
        "the cost counts for yesterday"
    );
    balances.settle(&fresh, NanoUsd(10), after);
    assert_eq!(
        balances.budget_statuses(|_| true, after)[0].settled,
        NanoUsd(10)
    );
    assert_eq!(
        balances.accounts["a/day"].windows.len(),
        1,
        "the past window is dropped"
    );
}

#[test]
fn an_override_expires() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    balances.open_account(&a, NanoUsd(100), Vec::new(), at(NOON));
    let limit_override = |by, seconds| LimitOverride {
        by: NanoUsd(by),
        until: at(NOON).as_second() + seconds,
    };
    assert!(balances.override_limit("a/day", limit_override(49, 60)));
    assert!(
        balances.override_limit("a/day", limit_override(1, 30)),
        "overrides add up"
    );
    assert!(
        balances
            .reserve(&[(a.clone(), NanoUsd(50))], at(NOON))
            .is_ok()
    );
    let later = at("2026-03-01T12:01:00Z");
    assert!(matches!(
        balances.reserve(&[(a, NanoUsd(1))], later),
        Err(Refusal::Spent(_))
    ));
    assert!(!balances.override_limit(
        "b/day",
        LimitOverride {
            by: NanoUsd(1),
            until: 0
        }
    ));
}

#[test]
fn each_threshold_is_alerted_once() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    let mut spend = |amount| {
        let reservations = balances
            .reserve(&[(a.clone(), NanoUsd(amount))], at(NOON))
            .unwrap();
        balances
            .settle(&reservations, NanoUsd(amount), at(NOON))
            .iter()
            .map(|crossed| crossed.percent)
            .collect::<Vec<_>>()
    };
    assert_eq!(spend(49), Vec::<u8>::new());
    assert_eq!(spend(1), [50]);
    assert_eq!(spend(10), Vec::<u8>::new());
    assert_eq!(spend(40), [80]);
}

#[derive(Clone, Debug)]
enum Event {
    Reserve {
        a: bool,
        b: bool,
        amount: u64,
    },
    Extend {
        which: usize,
        more: u64,
    },
    /// Costs at most the reservation, as `max_tokens` guarantees.
    Settle {
        which: usize,
        part: u64,
    },
    /// A hold that is dropped without a settlement.
    Drop {
        which: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<bool>(), any::<bool>(), 0..60u64).prop_map(|(a, b, amount)| Event::Reserve {
            a,
            b,
            amount
        }),
        (any::<usize>(), 0..60u64).prop_map(|(which, more)| Event::Extend { which, more }),
        (any::<usize>(), 0..=100u64).prop_map(|(which, part)| Event::Settle { which, part }),
        any::<usize>().prop_map(|which| Event::Drop { which }),
    ]
}

proptest! {
    /// In any order of events no budget is exceeded, and at the end every nano-dollar is accounted for.
    #[test]
    fn settled_amounts_match_costs_in_any_order_of_events(events in prop::collection::vec(event(), 0..200)) {
        let (a, b) = (budget("a", 200), budget("b", 300));
        let mut balances = Balances::default();
        let mut open: Vec<Vec<Reservation>> = Vec::new();
        let mut spent = HashMap::from([("a/day", 0u64), ("b/day", 0u64)]);
        for event in events {
            match event {
                Event::Reserve { a: in_a, b: in_b, amount } => {
                    let amounts = [in_a.then(|| a.clone()), in_b.then(|| b.clone())];
                    let amounts: Vec<_> = amounts.into_iter().flatten().map(|budget| (budget, NanoUsd(amount))).collect();
                    if let Ok(reservations) = balances.reserve(&amounts, at(NOON)) {
                        open.push(reservations);
                    }
                }
                Event::Extend { which, more } if !open.is_empty() => {
                    let which = which % open.len();
                    balances.extend(&mut open[which], |_| NanoUsd(more), at(NOON));
                }
                Event::Settle { .. } | Event::Drop { .. } if !open.is_empty() => {
                    let (which, part) = match event {
                        Event::Settle { which, part } => (which, part),
                        Event::Drop { which } => (which, 100),
                        _ => unreachable!(),
                    };
                    let reservations = open.remove(which % open.len());
                    let cost = reservations.first().map_or(0, |reservation| reservation.amount.0 * part / 100);
                    for reservation in &reservations {
                        *spent.get_mut(&*reservation.budget.id).unwrap() += cost;
                    }
                    balances.settle(&reservations, NanoUsd(cost), at(NOON));
                }
                _ => {}
            }
            for status in balances.budget_statuses(|_| true, at(NOON)) {
                prop_assert!(status.settled + status.reserved <= status.limit, "{status:?}");
            }
        }
        for reservations in open {
            balances.settle(&reservations, NanoUsd(0), at(NOON));
        }
        for status in balances.budget_statuses(|_| true, at(NOON)) {
            prop_assert_eq!(status.settled.0, spent[&*status.budget.id]);
            prop_assert_eq!(status.reserved.0, 0);
        }
    }
}
