use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::NanoUsd;

/// The calendar period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Per {
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
}

impl Per {
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

/// How much of a budget a call sets aside before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The worst case: the budget cannot be exceeded.
    Strict,
    /// The input and a slice of the output, which is extended while a stream runs. It can be exceeded by a slice a
    /// stream, and what comes between a refused extension and the end of the stream.
    Sliced,
}

/// What may be spent in a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Whose it is: `gateway`, `team:NAME`, `key:ID`, `model:NAME` or `key:ID/user:HASH`.
    pub scope: Arc<str>,
    /// Scope and period, such as `key:ci/day`.
    pub id: Arc<str>,
    pub limit: NanoUsd,
    pub per: Per,
    pub timezone: TimeZone,
    pub mode: Mode,
    /// Lower `max_tokens` to what is left rather than refuse.
    pub fit: bool,
    /// How long a call waits where only money that is set aside stands in its way.
    pub wait: Duration,
    /// Parts of the limit, in percent, at which somebody is told.
    pub alert_at: Vec<u8>,
}

impl Budget {
    /// The same for another scope.
    pub fn of(&self, scope: &str) -> Self {
        let id = format!("{scope}/{}", self.per.as_str()).into();
        Self {
            scope: scope.into(),
            id,
            ..self.clone()
        }
    }
}
