//! The reply to a call, and the notification when it ends.

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
    /// The whole reply was delivered.
    Complete,
    /// The reply failed after it began. The value is a label of a fixed list.
    Failed(&'static str),
    /// The client disconnected before the end.
    ClientGone,
    /// The client disconnected before the end, and the gateway read the rest to learn its usage.
    Drained,
}

impl EndReason {
    /// The `how` label of `lintel_stream_end_total`: a value of a fixed list.
    pub fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::Drained => "drained",
            Self::Failed(label) => label,
        }
    }
}

/// The outcome of a reply that has ended.
#[derive(Clone, Copy, Debug)]
pub struct CallEnd {
    pub reason: EndReason,
    /// `None` if the reply ended before the service reported its usage.
    pub usage: Option<Usage>,
    /// OpenAI's `finish_reason`, if the model stopped.
    pub finish_reason: Option<&'static str>,
}

/// Decides, as the output of a stream grows, whether the stream can continue.
pub trait OutputLimit: Send + 'static {
    /// Resolves to false if the stream must end. `tokens` is an estimate of the output so far.
    fn poll_output(&mut self, cx: &mut Context<'_>, tokens: u64) -> Poll<bool>;
}

/// A reply of any operation. A reply that is not a stream is complete when it is returned.
pub trait Reply: Sized + Send + 'static {
    /// Calls `f` exactly once: immediately for a whole reply, and for a stream when it ends, fails or is dropped. `f` can
    /// run inside a `Drop`: it must return quickly and must not panic.
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self;

    /// Reports whether the reply is a stream.
    fn is_stream(&self) -> bool;

    /// The usage of a whole reply; `None` for a stream.
    fn usage(&self) -> Option<Usage>;

    /// Reports whether a filter withheld a whole reply, so that it answers nothing.
    fn is_filtered(&self) -> bool {
        false
    }

    /// Ends a stream early if `limit` resolves to false.
    fn limited_by(self, _limit: Box<dyn OutputLimit>) -> Self {
        self
    }

    /// Makes a stream that is dropped before its end call `keep` with a future that reads the rest.
    fn kept_by(self, _keep: Box<dyn FnOnce(BoxFuture<'static, ()>) + Send>) -> Self {
        self
    }
}

/// A reply, with the model and the plan that served it.
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

    /// Replaces the reply.
    #[must_use]
    pub fn map(self, change: impl FnOnce(R) -> R) -> Self {
        Self {
            reply: change(self.reply),
            ..self
        }
    }
}
