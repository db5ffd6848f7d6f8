//! The accounts of single requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Trace;
use crate::money::Usage;

/// Records whether a request left. Until its first byte is written, it costs nothing: it may wait for a connection that
/// never comes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SentMark(Arc<Sent>);

#[derive(Debug, Default)]
struct Sent {
    has_left: AtomicBool,
    /// The service rejected the first signature, and the request was sent again with another.
    is_repeated: AtomicBool,
}

impl SentMark {
    /// Records that the first byte is about to be written.
    pub fn set(&self) {
        self.0.has_left.store(true, Ordering::Relaxed);
    }

    /// Returns whether the request may have left.
    pub fn is_set(&self) -> bool {
        self.0.has_left.load(Ordering::Relaxed)
    }

    /// Records that the request is sent again, because the service rejected the time in its signature.
    pub fn repeat(&self) {
        self.0.is_repeated.store(true, Ordering::Relaxed);
    }

    /// Returns whether the request was sent twice.
    pub fn is_repeated(&self) -> bool {
        self.0.is_repeated.load(Ordering::Relaxed)
    }
}

/// What a request occupies while it is in flight.
pub trait Occupancy: std::fmt::Debug + Send + Sync {
    /// Records what the request has used in the end.
    fn used(&self, usage: &Usage);
}

/// Accounts for one request to Bedrock. If it is dropped after the request left, the request counts as lost.
#[derive(Debug)]
pub struct Ticket {
    trace: Option<Trace>,
    sent: SentMark,
    /// Dropped when the request has ended.
    kept: Option<Arc<dyn Occupancy>>,
}

impl Ticket {
    pub(super) fn new(trace: Trace, sent: SentMark) -> Self {
        Self {
            trace: Some(trace),
            sent,
            kept: None,
        }
    }

    /// Keeps `kept` until the request has ended.
    #[must_use]
    pub fn keeping(mut self, kept: Arc<dyn Occupancy>) -> Self {
        self.kept = Some(kept);
        self
    }

    /// Records that the request is not billed: the service rejected it or never received it.
    pub fn free(mut self) {
        self.trace = None;
    }

    /// Records that the request failed before any output, so that at most its input is billed.
    pub fn unanswered(mut self) {
        if let Some(trace) = self.trace.take() {
            trace.spending().with(|spend| spend.unanswered += 1);
        }
    }

    /// Records the usage that the request is billed for.
    pub fn used(mut self, usage: Usage) {
        if let Some(kept) = &self.kept {
            kept.used(&usage);
        }
        if let Some(trace) = self.trace.take() {
            trace.spending().with(|spend| {
                spend.usage = Some(spend.usage.map_or(usage, |before| before + usage));
                if usage.estimated {
                    spend.estimated += 1;
                    let cost = usage.cost.unwrap_or_default().total();
                    spend.estimated_cost = spend.estimated_cost + cost;
                }
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(trace) = self.trace.take()
            && self.sent.is_set()
        {
            trace.spending().with(|spend| spend.lost += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Spend;

    #[tokio::test]
    async fn total_counts_used_lost_and_free_requests() {
        let trace = Trace::default();
        assert_eq!(trace.spending().total(), Spend::default());
        let usage = Usage {
            input: 1,
            output: 2,
            ..Usage::default()
        };
        let sent = SentMark::default();
        // Was lost: a request that waited for a connection in vain was charged like one that left.
        drop(trace.ticket(&sent));
        assert_eq!(trace.spending().total(), Spend::default());
        sent.set();
        trace.ticket(&sent).free();
        trace.ticket(&sent).used(usage);
        trace.ticket(&sent).used(usage);
        drop(trace.ticket(&sent));
        let spend = trace.spending().total();
        assert_eq!((spend.usage.unwrap().output, spend.lost), (4, 1));
        assert!(trace.spending().may_repeat().await);
        trace
            .spending()
            .ask_before_repeat(|_| Box::pin(std::future::ready(false)));
        assert!(!trace.spending().may_repeat().await);
    }
}
