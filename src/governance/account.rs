//! The account of one budget: what is settled and reserved in its windows.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::window::Window;
use crate::money::{Budget, NanoUsd};

/// The account of a budget.
#[derive(Debug)]
pub struct Account {
    pub budget: Arc<Budget>,
    /// The current window, and others whose calls are still in flight.
    windows: Vec<Balance>,
    overrides: Vec<LimitOverride>,
    /// The ledger may have calls in windows that start before, in Unix seconds. A later window is empty, because every call
    /// in it would have created it here.
    read_before: i64,
    waiters: Vec<Waiter>,
}

/// The balance of one window of a budget.
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    pub window: Window,
    /// The settled cost. Until `is_open`, only what was settled since the ledger was asked.
    pub settled: NanoUsd,
    /// The sum of the reservations of calls in flight.
    pub reserved: NanoUsd,
    /// Whether `settled` includes what the ledger had before.
    pub is_open: bool,
    /// The highest threshold that was alerted, in percent of the limit.
    alerted: u8,
}

/// A temporary increase of a budget's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOverride {
    pub by: NanoUsd,
    /// When it ends, in Unix seconds.
    pub until: i64,
}

/// The limit and the balance of a budget in its current window.
#[derive(Clone, Debug)]
pub struct BudgetStatus {
    pub budget: Arc<Budget>,
    /// Includes overrides.
    pub limit: NanoUsd,
    pub settled: NanoUsd,
    pub reserved: NanoUsd,
    /// The end of the window, in Unix seconds.
    pub resets_at: i64,
}

impl BudgetStatus {
    /// Returns the limit less settled and reserved amounts, or zero if they exceed it.
    pub fn remaining(&self) -> NanoUsd {
        NanoUsd(
            self.limit
                .0
                .saturating_sub(self.settled.0)
                .saturating_sub(self.reserved.0),
        )
    }
}

/// A settlement took a budget to one of its alert thresholds.
#[derive(Clone, Debug)]
pub struct ThresholdCrossed {
    /// The threshold, in percent of the limit.
    pub percent: u8,
    pub status: BudgetStatus,
}

/// A call that waits until `amount` fits.
#[derive(Debug)]
struct Waiter {
    amount: NanoUsd,
    wake: oneshot::Sender<()>,
}

impl Account {
    /// Creates an account without windows, at the time `now`. The ledger has no calls after `latest`, in Unix seconds.
    pub fn new(budget: Arc<Budget>, latest: i64, now: Timestamp) -> Self {
        let current = Window::around(budget.per, &budget.timezone, now);
        Self {
            budget,
            windows: Vec::new(),
            overrides: Vec::new(),
            read_before: current.end.max(latest),
            waiters: Vec::new(),
        }
    }

    /// Returns the limit at `now`, with overrides.
    pub fn limit(&self, now: Timestamp) -> NanoUsd {
        let extra = self
            .overrides
            .iter()
            .filter(|limit_override| limit_override.until > now.as_second())
            .map(|limit_override| limit_override.by);
        self.budget.limit + extra.sum()
    }

    /// Returns the balance of the window around `now`. Creates the window if needed, and opens it if the ledger can have no
    /// calls in it.
    pub fn window(&mut self, now: Timestamp) -> &mut Balance {
        let at = self.position(now).unwrap_or_else(|| {
            let window = Window::around(self.budget.per, &self.budget.timezone, now);
            let is_open = window.start >= self.read_before;
            self.read_before = self.read_before.max(window.end);
            self.windows.push(Balance {
                window,
                settled: NanoUsd(0),
                reserved: NanoUsd(0),
                is_open,
                alerted: 0,
            });
            self.drop_expired(now);
            self.windows.len() - 1
        });
        &mut self.windows[at]
    }

    /// Returns the balance of the window around `at`, if it is in memory.
    pub fn find(&self, at: Timestamp) -> Option<&Balance> {
        self.position(at).map(|position| &self.windows[position])
    }

    /// Returns the balance of the window that starts at `start`, if it is in memory.
    pub fn starting_at(&mut self, start: i64) -> Option<&mut Balance> {
        self.windows
            .iter_mut()
            .find(|balance| balance.window.start == start)
    }

    /// Opens the window that starts at `start`, in which the ledger had `settled` when it was asked.
    pub fn open(&mut self, start: i64, settled: NanoUsd, now: Timestamp) {
        let limit = self.limit(now);
        let Some(at) = self
            .windows
            .iter()
            .position(|balance| balance.window.start == start && !balance.is_open)
        else {
            return;
        };
        let balance = &mut self.windows[at];
        balance.is_open = true;
        balance.settled = balance.settled + settled;
        // Thresholds crossed before a restart were alerted before it.
        balance.alerted = reached(&self.budget, balance.settled, limit).unwrap_or(0);
    }

    /// Adds the cost of a call that was admitted `at`, and returns the alert threshold that this crosses.
    pub fn settle(
        &mut self,
        at: Timestamp,
        cost: NanoUsd,
        now: Timestamp,
    ) -> Option<ThresholdCrossed> {
        let (position, limit) = (self.position(at)?, self.limit(now));
        let balance = &mut self.windows[position];
        balance.settled = balance.settled + cost;
        if !balance.is_open {
            return None;
        }
        let percent = reached(&self.budget, balance.settled, limit)
            .filter(|percent| *percent > balance.alerted)?;
        balance.alerted = percent;
        let status = self.status_of(self.windows[position], now);
        Some(ThresholdCrossed { percent, status })
    }

    /// Adds `delta` nano-dollars to the settled cost of the window around `at`, if it is in memory.
    pub fn adjust(&mut self, at: Timestamp, delta: i64) {
        if let Some(position) = self.position(at) {
            let balance = &mut self.windows[position];
            balance.settled = NanoUsd(balance.settled.0.saturating_add_signed(delta));
        }
    }

    /// Replaces the overrides by those of the ledger.
    pub fn set_overrides(&mut self, overrides: Vec<LimitOverride>) {
        self.overrides = overrides;
    }

    /// Adds an override to those that apply already.
    pub fn add_override(&mut self, limit_override: LimitOverride) {
        self.overrides.push(limit_override);
    }

    /// Drops overrides that have ended, and other windows without reservations.
    pub fn drop_expired(&mut self, now: Timestamp) {
        self.overrides
            .retain(|limit_override| limit_override.until > now.as_second());
        self.windows
            .retain(|balance| balance.window.contains(now) || balance.reserved.0 > 0);
    }

    /// Returns the status in the window around `now`, if it is open.
    pub fn status(&self, now: Timestamp) -> Option<BudgetStatus> {
        let balance = self.find(now).filter(|balance| balance.is_open)?;
        Some(self.status_of(*balance, now))
    }

    pub fn status_of(&self, balance: Balance, now: Timestamp) -> BudgetStatus {
        BudgetStatus {
            budget: self.budget.clone(),
            limit: self.limit(now),
            settled: balance.settled,
            reserved: balance.reserved,
            resets_at: balance.window.end,
        }
    }

    /// Returns a receiver that is woken when `amount` may fit.
    pub fn wait_for(&mut self, amount: NanoUsd) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        self.waiters.push(Waiter { amount, wake });
        woken
    }

    /// Wakes the waiting calls that now fit together, in the order in which they came.
    pub fn wake_fitting(&mut self, now: Timestamp) {
        if self.waiters.is_empty() {
            return;
        }
        let mut free = self
            .status(now)
            .map_or(self.budget.limit, |status| status.remaining());
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.wake.is_closed() {
                continue;
            }
            if waiter.amount <= free {
                free = NanoUsd(free.0 - waiter.amount.0);
                let _ = waiter.wake.send(());
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    fn position(&self, at: Timestamp) -> Option<usize> {
        self.windows
            .iter()
            .position(|balance| balance.window.contains(at))
    }
}

/// Returns the highest alert threshold of `budget` that `settled` has reached.
fn reached(budget: &Budget, settled: NanoUsd, limit: NanoUsd) -> Option<u8> {
    let percent = u128::from(settled.0) * 100 / u128::from(limit.0.max(1));
    let percent = u8::try_from(percent).unwrap_or(u8::MAX);
    budget
        .alert_at
        .iter()
        .copied()
        .filter(|at| *at <= percent)
        .max()
}
