use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::call::{Mode, Per};

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
fn all_budgets_or_none() {
    let (a, b) = (budget("a", 100), budget("b", 10));
    let mut balances = Balances::default();
    let refused = balances.reserve(&[(a.clone(), NanoUsd(50)), (b, NanoUsd(50))], at(NOON));
    assert!(matches!(refused, Err(Refusal::Spent(standing)) if &*standing.budget.id == "b/day"));
    let standing = balances.standings(|_| true, at(NOON));
    assert!(
        standing
            .iter()
            .all(|standing| standing.reserved == NanoUsd(0)),
        "nothing stays set aside"
    );
    assert!(
        balances.reserve(&[(a, NanoUsd(100))], at(NOON)).is_ok(),
        "the last cent may be spent"
    );
}

#[test]
fn what_is_set_aside_is_told_from_what_is_spent() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    let places = balances
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
    balances.settle(&places, NanoUsd(60), at(NOON));
    assert!(matches!(
        balances.reserve(&[(a.clone(), NanoUsd(50))], at(NOON)),
        Err(Refusal::Spent(_))
    ));
    assert!(balances.reserve(&[(a, NanoUsd(40))], at(NOON)).is_ok());
}

#[test]
fn a_call_belongs_to_the_window_of_its_admission() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    let (before, after) = (at("2026-03-01T23:59:59Z"), at("2026-03-02T00:00:01Z"));
    let places = balances
        .reserve(&[(a.clone(), NanoUsd(100))], before)
        .unwrap();
    let fresh = balances
        .reserve(&[(a.clone(), NanoUsd(100))], after)
        .expect("a new day");
    balances.settle(&places, NanoUsd(90), after);
    let standing = balances.standings(|_| true, after).remove(0);
    assert_eq!(
        (standing.settled, standing.reserved),
        (NanoUsd(0), NanoUsd(100)),
        "yesterday's cost is yesterday's"
    );
    balances.settle(&fresh, NanoUsd(10), after);
    assert_eq!(balances.standings(|_| true, after)[0].settled, NanoUsd(10));
    assert_eq!(
        balances.accounts["a/day"].windows.len(),
        1,
        "yesterday is forgotten"
    );
}

#[test]
fn a_raise_ends() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    balances.open(&a, NanoUsd(100), Vec::new(), at(NOON));
    let raise = |by, seconds| Raise {
        by: NanoUsd(by),
        until: at(NOON).as_second() + seconds,
    };
    assert!(balances.raise("a/day", raise(49, 60)));
    assert!(
        balances.raise("a/day", raise(1, 30)),
        "one does not end the other"
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
    assert!(!balances.raise(
        "b/day",
        Raise {
            by: NanoUsd(1),
            until: 0
        }
    ));
}

#[test]
fn each_part_of_the_limit_is_told_once() {
    let a = budget("a", 100);
    let mut balances = Balances::default();
    let mut spend = |amount| {
        let places = balances
            .reserve(&[(a.clone(), NanoUsd(amount))], at(NOON))
            .unwrap();
        balances
            .settle(&places, NanoUsd(amount), at(NOON))
            .iter()
            .map(|passed| passed.percent)
            .collect::<Vec<_>>()
    };
    assert_eq!(spend(49), Vec::<u8>::new());
    assert_eq!(spend(1), [50]);
    assert_eq!(spend(10), Vec::<u8>::new());
    assert_eq!(spend(40), [80]);
}

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        a: bool,
        b: bool,
        amount: u64,
    },
    Extend {
        which: usize,
        more: u64,
    },
    /// Costs at most what was set aside, as `max_tokens` guarantees.
    Settle {
        which: usize,
        part: u64,
    },
    /// A hold that nobody settled.
    Drop {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), any::<bool>(), 0..60u64).prop_map(|(a, b, amount)| Step::Reserve {
            a,
            b,
            amount
        }),
        (any::<usize>(), 0..60u64).prop_map(|(which, more)| Step::Extend { which, more }),
        (any::<usize>(), 0..=100u64).prop_map(|(which, part)| Step::Settle { which, part }),
        any::<usize>().prop_map(|which| Step::Drop { which }),
    ]
}

proptest! {
    /// In any order of events no budget is ever exceeded, and at the end not a nano-dollar is missing.
    #[test]
    fn money_is_neither_lost_nor_made(steps in prop::collection::vec(step(), 0..200)) {
        let (a, b) = (budget("a", 200), budget("b", 300));
        let mut balances = Balances::default();
        let mut open: Vec<Vec<Place>> = Vec::new();
        let mut spent = HashMap::from([("a/day", 0u64), ("b/day", 0u64)]);
        for step in steps {
            match step {
                Step::Reserve { a: in_a, b: in_b, amount } => {
                    let asked = [in_a.then(|| a.clone()), in_b.then(|| b.clone())];
                    let asked: Vec<_> = asked.into_iter().flatten().map(|budget| (budget, NanoUsd(amount))).collect();
                    if let Ok(places) = balances.reserve(&asked, at(NOON)) {
                        open.push(places);
                    }
                }
                Step::Extend { which, more } if !open.is_empty() => {
                    let which = which % open.len();
                    balances.extend(&mut open[which], |_| NanoUsd(more), at(NOON));
                }
                Step::Settle { .. } | Step::Drop { .. } if !open.is_empty() => {
                    let (which, part) = match step {
                        Step::Settle { which, part } => (which, part),
                        Step::Drop { which } => (which, 100),
                        _ => unreachable!(),
                    };
                    let places = open.remove(which % open.len());
                    let cost = places.first().map_or(0, |place| place.amount.0 * part / 100);
                    for place in &places {
                        *spent.get_mut(&*place.budget.id).unwrap() += cost;
                    }
                    balances.settle(&places, NanoUsd(cost), at(NOON));
                }
                _ => {}
            }
            for standing in balances.standings(|_| true, at(NOON)) {
                prop_assert!(standing.settled + standing.reserved <= standing.limit, "{standing:?}");
            }
        }
        for places in open {
            balances.settle(&places, NanoUsd(0), at(NOON));
        }
        for standing in balances.standings(|_| true, at(NOON)) {
            prop_assert_eq!(standing.settled.0, spent[&*standing.budget.id]);
            prop_assert_eq!(standing.reserved.0, 0);
        }
    }
}
