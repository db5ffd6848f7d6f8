//! What the parts of one connection know of each other: its stream, the service of its requests, and the list of all
//! connections.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep_until};

use crate::edge::{BadHead, Recognition};

/// Waiting for a request, before the timer is armed.
pub const IDLE: u8 = 0;
/// Waiting for a request, for at most `keep_alive`.
pub const WAITING: u8 = 1;
/// Part of a head has arrived; the rest must arrive within `header_timeout`.
pub const HEAD: u8 = 2;
/// A request is being served, which has its own timeouts.
pub const BUSY: u8 = 3;

/// The state of a connection. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Phase(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    phase: AtomicU8,
    /// The number of requests that are being served. More than one only on HTTP/2.
    requests: AtomicUsize,
    /// When the last request ended.
    idle_since: Mutex<Option<Instant>>,
    recognition: Recognition,
    /// The client closed its side while its request was served.
    is_half_closed: AtomicBool,
    /// The body of the current request has not arrived whole.
    is_receiving: AtomicBool,
    /// The client takes nothing of what is written.
    is_unread: AtomicBool,
    bad_head: Mutex<Option<BadHead>>,
    /// The task that waits for the next request.
    reader: AtomicWaker,
    /// The task that writes a stream.
    writer: AtomicWaker,
}

impl Phase {
    pub fn get(&self) -> u8 {
        self.0.phase.load(Ordering::Relaxed)
    }

    pub fn set(&self, phase: u8) {
        self.0.phase.store(phase, Ordering::Relaxed);
    }

    /// Marks a request as being served until the guard is dropped. The time limits of the connection then apply again,
    /// whether or not anybody reads from it.
    pub fn busy(&self) -> BusyGuard {
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        self.set(BUSY);
        BusyGuard(self.clone())
    }

    /// Ready when no request was served for the time that `limit` returns. Its argument tells whether there was one yet.
    pub async fn idle_for(&self, limit: impl Fn(bool) -> Duration) {
        let opened = Instant::now();
        loop {
            poll_fn(|cx| {
                self.register_reader(cx);
                match self.0.requests.load(Ordering::Acquire) {
                    0 => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
            let since = *self.idle_since();
            sleep_until(since.unwrap_or(opened) + limit(since.is_some())).await;
            if self.0.requests.load(Ordering::Acquire) == 0 && since == *self.idle_since() {
                return;
            }
        }
    }

    fn idle_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task of `cx` when the phase changes.
    pub fn register_reader(&self, cx: &Context<'_>) {
        self.0.reader.register(cx.waker());
    }

    /// What the requests of the connection tell of their client.
    pub fn recognition(&self) -> &Recognition {
        &self.0.recognition
    }

    pub fn set_unread(&self, is_unread: bool) {
        self.0.is_unread.store(is_unread, Ordering::Relaxed);
    }

    /// Reports whether the client takes nothing of what is written, which has a time limit of its own.
    pub fn is_unread(&self) -> bool {
        self.0.is_unread.load(Ordering::Relaxed)
    }

    pub fn set_receiving(&self, is_receiving: bool) {
        self.0.is_receiving.store(is_receiving, Ordering::Relaxed);
    }

    /// Reports whether the body of the current request has not arrived whole. Not known on HTTP/2.
    pub fn is_receiving(&self) -> bool {
        self.0.is_receiving.load(Ordering::Relaxed)
    }

    pub fn set_half_closed(&self) {
        self.0.is_half_closed.store(true, Ordering::Relaxed);
        self.0.writer.wake();
    }

    /// Reports whether the client closed its side. If not, wakes the task of `cx` when it does.
    pub fn poll_half_closed(&self, cx: &Context<'_>) -> bool {
        self.0.writer.register(cx.waker());
        self.0.is_half_closed.load(Ordering::Relaxed)
    }

    /// Rejects the next request.
    pub fn reject(&self, bad: BadHead) {
        *self
            .0
            .bad_head
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(bad);
    }

    /// Takes the reason for which the request is rejected.
    pub fn take_rejection(&self) -> Option<BadHead> {
        self.0
            .bad_head
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// See [`Phase::busy`].
pub struct BusyGuard(Phase);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let Self(phase) = self;
        if phase.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            *phase.idle_since() = Some(Instant::now());
            phase.set(IDLE);
            phase.0.reader.wake();
        }
    }
}
