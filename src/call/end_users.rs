//! The end users of a key's application.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use crate::{
    model::Limits,
    money::{Budget, Per},
};

/// The account that end users share once `max` others have one.
const OTHERS: &str = "other";

/// How long an end user without budgets keeps an account. Rate limits forget within a minute.
const WITHOUT_BUDGETS: Duration = Duration::from_secs(3600);

/// How often users are forgotten while all accounts are taken.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// Limits and budgets that apply to each end user of a key separately.
#[derive(Debug, Default)]
pub struct EndUsers {
    pub limits: Limits,
    /// Templates with the scope of the key: each end user gets a copy with a scope of its own.
    pub budgets: Vec<Arc<Budget>>,
    /// The number of end users that have an account of their own at the same time. All others share one.
    pub max: usize,
    pub known: KnownUsers,
}

/// The accounts of the end users seen lately, with the time of their latest call.
#[derive(Debug, Default)]
pub struct KnownUsers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last_seen: HashMap<String, SystemTime>,
    /// Hashed before the name, so that names cannot be found by trying them.
    salt: Vec<u8>,
    forgot_at: Option<SystemTime>,
}

impl EndUsers {
    /// Returns the account of the end user called `name`: a hash of the name, or `other` if `max` other users had calls
    /// lately.
    pub fn account(&self, name: &str, now: SystemTime) -> String {
        let mut known = self.known.lock();
        let digest = Sha256::new()
            .chain_update(&known.salt)
            .chain_update(name)
            .finalize();
        let account = hex::encode(&digest[..8]);
        let is_known = known.last_seen.contains_key(&account);
        if !is_known && known.last_seen.len() >= self.max {
            known.forget(now, self.memory());
        }
        if is_known || known.last_seen.len() < self.max {
            known.last_seen.insert(account.clone(), now);
            return account;
        }
        OTHERS.to_owned()
    }

    /// Gives the end users with these accounts one of their own again, up to `max`. Times are Unix seconds. `salt` is that
    /// of the ledger.
    pub fn restore(&self, salt: &[u8], accounts: impl IntoIterator<Item = (String, i64)>) {
        let mut known = self.known.lock();
        known.salt = salt.to_vec();
        for (account, latest) in accounts {
            if account != OTHERS && known.last_seen.len() < self.max {
                let latest = Duration::from_secs(u64::try_from(latest).unwrap_or(0));
                known.last_seen.insert(account, UNIX_EPOCH + latest);
            }
        }
    }

    /// How long an end user is remembered after a call: until its last window has ended for certain.
    pub fn memory(&self) -> Duration {
        let longest = self.budgets.iter().map(|budget| budget.per).max();
        let hours = match longest {
            None => return WITHOUT_BUDGETS,
            Some(Per::Hour) => 1,
            Some(Per::Day) => 24,
            Some(Per::Week) => 7 * 24,
            Some(Per::Month) => 31 * 24,
        };
        // A day on which clocks are set back has up to two hours more, and the ledger knows calls by the quarter.
        Duration::from_secs((hours + 3) * 3600)
    }
}

impl KnownUsers {
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget(&mut self, now: SystemTime, memory: Duration) {
        let since = |then: SystemTime| now.duration_since(then).unwrap_or_default();
        if self.forgot_at.is_some_and(|at| since(at) < FORGET_INTERVAL) {
            return;
        }
        self.forgot_at = Some(now);
        self.last_seen.retain(|_, seen| since(*seen) < memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(hours * 3600)
    }

    /// After `max` names ever seen, all new users shared one account for good.
    #[test]
    fn users_without_recent_calls_make_room_for_new_ones() {
        let users = EndUsers {
            max: 2,
            ..EndUsers::default()
        };
        let (a, b) = (users.account("a", at(0)), users.account("b", at(0)));
        assert_ne!(a, b);
        assert_eq!(users.account("c", at(0)), OTHERS);
        assert_eq!(users.account("b", at(1)), b);
        let c = users.account("c", at(1));
        assert_ne!(c, OTHERS);
        assert_eq!(users.account("a", at(1)), OTHERS);
    }

    /// A user who was forgotten on the evening of a day of 25 hours got the day's budget twice.
    #[test]
    fn users_are_remembered_until_their_window_ends_also_when_clocks_are_set_back() {
        use jiff::{Timestamp, tz::TimeZone};

        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (per, begins, ends) in [
            (
                Per::Hour,
                "2026-10-25T02:00:00+02",
                "2026-10-25T03:00:00+01",
            ),
            (Per::Day, "2026-10-25T00:00:00+02", "2026-10-26T00:00:00+01"),
            (
                Per::Week,
                "2026-10-19T00:00:00+02",
                "2026-10-26T00:00:00+01",
            ),
            (
                Per::Month,
                "2026-10-01T00:00:00+02",
                "2026-11-01T00:00:00+01",
            ),
        ] {
            let budget = Budget {
                scope: "key:k".into(),
                id: "key:k".into(),
                limit: crate::money::NanoUsd(1),
                per,
                timezone: berlin.clone(),
                mode: crate::money::Mode::Strict,
                fit: false,
                wait: Duration::ZERO,
                alert_at: Vec::new(),
            };
            let users = EndUsers {
                max: 1,
                budgets: vec![Arc::new(budget)],
                ..EndUsers::default()
            };
            let time = |text: &str| SystemTime::from(text.parse::<Timestamp>().unwrap());
            let first = users.account("a", time(begins));
            let last_second = time(ends) - Duration::from_secs(1);
            assert_eq!(users.account("b", last_second), OTHERS, "{per:?}");
            assert_eq!(users.account("a", last_second), first);
        }
    }

    /// The shared account took the place of a user at each start.
    #[test]
    fn shared_account_is_not_restored_as_a_user() {
        let users = EndUsers {
            max: 1,
            ..EndUsers::default()
        };
        let own = EndUsers {
            max: 1,
            ..EndUsers::default()
        }
        .account("a", at(0));
        users.restore(b"", [(OTHERS.to_owned(), 7200), (own.clone(), 3600)]);
        assert_eq!(users.account("a", at(1)), own);
    }
}
