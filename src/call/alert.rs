use serde::Serialize;
use tokio::sync::mpsc;

/// An event that operators are alerted to. Amounts are US dollars as exact decimal text, times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Alert {
    /// The settled cost of a budget has passed one of its `alert_at` thresholds.
    BudgetThreshold {
        budget: String,
        percent: u8,
        limit_usd: String,
        settled_usd: String,
        resets_at: i64,
    },
    /// A request cost more than `alert_request_usd`.
    ExpensiveRequest {
        request_id: String,
        key_id: String,
        team: String,
        model: String,
        cost_usd: String,
    },
}

impl Alert {
    /// The value of the `type` member, also used as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BudgetThreshold { .. } => "budget_threshold",
            Self::ExpensiveRequest { .. } => "expensive_request",
        }
    }
}

/// The queue of alerts. Senders use `try_send`: if the queue is full, the alert is only logged.
pub type Alerts = mpsc::Sender<Alert>;
