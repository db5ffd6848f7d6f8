//! Any order of events.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Admit {
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
    /// The clock moves by so many minutes, in either direction.
    Move {
        minutes: i64,
    },
    /// The key's budget gets another period.
    Replace {
        per: Per,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let per = prop_oneof![Just(Per::Hour), Just(Per::Day), Just(Per::Month)];
    prop_oneof![
        3 => (0..60u64).prop_map(|amount| Event::Admit { amount }),
        1 => (any::<usize>(), 0..60u64).prop_map(|(which, more)| Event::Extend { which, more }),
        3 => (any::<usize>(), 0..=100u64).prop_map(|(which, part)| Event::Settle { which, part }),
        1 => (-3000..3000i64).prop_map(|minutes| Event::Move { minutes }),
        1 => per.prop_map(|per| Event::Replace { per }),
    ]
}

/// A ledger of settled costs.
#[derive(Default)]
struct Ledger(Vec<(Timestamp, u64)>);

impl Ledger {
    fn settled(&self, window: Window) -> u64 {
        let inside = self.0.iter().filter(|(at, _)| window.contains(*at));
        inside.map(|(_, cost)| cost).sum()
    }
}

fn open_all(accounts: &mut Accounts, ledger: &Ledger, now: Timestamp) {
    let ids = accounts.ids_after(None, usize::MAX);
    for window in accounts.unopened(&ids, now) {
        let settled = NanoUsd(ledger.settled(window.window));
        accounts.open(&window, settled, Vec::new(), now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In any order of events, also if the clock moves and budgets are replaced, no window is exceeded by calls that were
    /// admitted under it, and memory equals the ledger.
    #[test]
    fn balances_equal_the_ledger_in_any_order_of_events(events in prop::collection::vec(event(), 0..120)) {
        let team = budget("team:t", Per::Day, 300);
        let mut accounts = accounts(&[budget("key:k", Per::Day, 200), team]);
        let (mut now, mut ledger, mut next) = (at(NOON), Ledger::default(), 0);
        let mut open: Vec<(String, Timestamp)> = Vec::new();
        let mut per_key = Per::Day;
        let mut was_replaced = false;
        for event in events {
            match event {
                Event::Admit { amount } => {
                    open_all(&mut accounts, &ledger, now);
                    next += 1;
                    let (id, amount) = (next.to_string(), NanoUsd(amount));
                    let admitted = accounts.admit(&id.as_str().into(), &scopes(), amount, |_| amount, now);
                    prop_assert!(!matches!(admitted, Err(Denial::Unopened(_))));
                    if admitted.is_ok() {
                        open.push((id, now));
                    }
                }
                Event::Extend { which, more } if !open.is_empty() => {
                    let (id, _) = &open[which % open.len()];
                    accounts.extend(id, |_| NanoUsd(more), NanoUsd(more), now);
                }
                Event::Settle { which, part } if !open.is_empty() => {
                    let (id, admitted) = open.remove(which % open.len());
                    let cost = accounts.max_cost(&id).unwrap().0 * part / 100;
                    accounts.settle(&id, NanoUsd(cost), now);
                    ledger.0.push((admitted, cost));
                }
                Event::Move { minutes } => {
                    now = Timestamp::from_second(now.as_second() + minutes * 60).unwrap();
                }
                Event::Replace { per } => {
                    was_replaced |= per != per_key;
                    per_key = per;
                    accounts.set_budgets(&"key:k".into(), vec![budget("key:k", per, 200)], now);
                }
                _ => {}
            }
            open_all(&mut accounts, &ledger, now);
            for (scope, per) in [("team:t", Per::Day), ("key:k", per_key)] {
                let status = accounts.status(&format!("{scope}/{}", per.as_str()), now).unwrap();
                let window = Window::around(per, &TimeZone::UTC, now);
                prop_assert_eq!(status.settled.0, ledger.settled(window), "{} {:?}", scope, per);
                if scope == "team:t" || !was_replaced {
                    prop_assert!(status.settled + status.reserved <= status.limit, "{:?}", status);
                }
            }
        }
        for (id, _) in open {
            accounts.settle(&id, NanoUsd(0), now);
        }
        prop_assert_eq!(accounts.open_calls().0, 0);
        for id in ["team:t/day", &format!("key:k/{}", per_key.as_str())] {
            prop_assert_eq!(accounts.status(id, now).unwrap().reserved.0, 0);
        }
    }
}
