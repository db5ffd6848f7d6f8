use serde::Serialize;
use tokio::sync::mpsc;

/// Something that somebody should know of. Money is US dollars as exact decimal text, times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Alert {
    /// A budget has passed a part of its limit.
    BudgetThreshold {
        budget: String,
        percent: u8,
        limit_usd: String,
        settled_usd: String,
        resets_at: i64,
    },
    /// A request has cost more than `alert_request_usd`.
    ExpensiveRequest {
        request_id: String,
        key_id: String,
        team: String,
        model: String,
        cost_usd: String,
    },
}

impl Alert {
    /// A bounded label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BudgetThreshold { .. } => "budget_threshold",
            Self::ExpensiveRequest { .. } => "expensive_request",
        }
    }
}

/// Where alerts go. Whoever sends does not wait: with too many at once the rest is only in the log.
pub type Alerts = mpsc::Sender<Alert>;
