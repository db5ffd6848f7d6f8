//! What comes back from a call, and the one way to learn how it ended.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use crate::{
    call::{Plan, Trace},
    model::Model,
    money::Usage,
};

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// All of it was delivered.
    Complete,
    /// It broke after it had begun; the text is its bounded label.
    Failed(&'static str),
    /// The client disconnected before the end.
    ClientGone,
    /// The client disconnected before the end, and the gateway read the rest for its usage.
    Drained,
}

impl EndReason {
    /// The bounded `how` label of `lintel_stream_end_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::Drained => "drained",
            Self::Failed(label) => label,
        }
    }
}

/// What is known once a reply has ended.
#[derive(Clone, Copy, Debug)]
pub struct CallEnd {
    pub reason: EndReason,
    /// `None` if the reply ended before the service reported its count.
    pub usage: Option<Usage>,
    /// OpenAI's word for why the model stopped, if it stopped.
    pub finish_reason: Option<&'static str>,
}

/// Decides, as the output of a stream grows, whether the stream may go on.
pub trait OutputLimit: Send + 'static {
    /// Resolves to false if no more than what has come may be spent. `tokens` is a lower bound of
    /// the output so far.
    fn poll_output(&mut self, cx: &mut Context<'_>, tokens: u64) -> Poll<bool>;
}

/// A reply of any operation. A reply that is not a stream has ended when it is there.
pub trait Reply: Sized + Send + 'static {
    /// Calls `f` exactly once: at once for a whole reply; for a stream when it ends, fails or is
    /// dropped. `f` may run inside a `Drop`: it must be quick and must not panic.
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self;

    fn is_stream(&self) -> bool;

    /// The usage of a whole reply.
    fn usage(&self) -> Option<Usage>;

    /// Ends a stream early once `limit` says so.
    fn limited_by(self, _limit: Box<dyn OutputLimit>) -> Self {
        self
    }

    /// Hands the rest of a stream that is dropped before its end to `keep`, as a future that reads
    /// it to its end.
    fn kept_by(self, _keep: Box<dyn FnOnce(BoxFuture<'static, ()>) + Send>) -> Self {
        self
    }
}

/// A reply with what served it.
#[derive(Debug)]
pub struct Served<R> {
    pub reply: R,
    pub model: Arc<Model>,
    pub plan: Plan,
    pub trace: Trace,
}

impl<R: Reply> Served<R> {
    /// See [`Reply::on_end`].
    #[must_use]
    pub fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self {
        self.map(|reply| reply.on_end(f))
    }

    /// The same with another reply.
    #[must_use]
    pub fn map(self, change: impl FnOnce(R) -> R) -> Self {
        Self {
            reply: change(self.reply),
            ..self
        }
    }
}
