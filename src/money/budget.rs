use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::NanoUsd;

/// The calendar period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Per {
    Hour,
    Day,
    /// Starts on Monday.
    Week,
    Month,
}

impl Per {
    /// The configured names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// The amount of a budget that a call reserves before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The worst case: the budget cannot be exceeded.
    Strict,
    /// The input and a slice of the output. The reservation grows while a stream runs. Each stream can exceed the budget
    /// by a slice, and by the output that arrives between a denied extension and its end.
    Sliced,
}

/// A limit on spending in a calendar period.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The owner: `gateway`, `team:NAME`, `key:ID`, `model:NAME` or `key:ID/user:HASH`.
    pub scope: Arc<str>,
    /// Scope and period, such as `key:ci/day`.
    pub id: Arc<str>,
    pub limit: NanoUsd,
    pub per: Per,
    pub timezone: TimeZone,
    pub mode: Mode,
    /// Lowers `max_tokens` to what is left instead of rejecting the call.
    pub fit: bool,
    /// How long a call waits if it would fit without the reservations of calls in flight.
    pub wait: Duration,
    /// The thresholds at which an alert is raised, in percent of the limit.
    pub alert_at: Vec<u8>,
}

impl Budget {
    /// Returns a copy of the budget for another scope.
    pub fn of(&self, scope: &str) -> Self {
        let id = format!("{scope}/{}", self.per.as_str()).into();
        Self {
            scope: scope.into(),
            id,
            ..self.clone()
        }
    }
}
