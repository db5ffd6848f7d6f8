//! The stream of one HTTP/1 connection: it passes on only what [`Requests`] has checked, one request at a time, and it has
//! the time limits. hyper's header timer is not used, because it also runs on idle connections, so `header_timeout` and
//! `keep_alive` could not differ.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    framing::{Requests, Violation},
    head::{MAX_HEAD, TOO_SLOW},
    probe::Schedule,
};
use crate::{
    edge::BadHead,
    server::{
        Timeouts,
        phase::{BUSY, HEAD, IDLE, Phase, WAITING},
    },
};

/// How many bytes, and for how long, a connection still reads and discards after its last response. If it closed with
/// unread bytes from the client, the kernel would send a reset, and the client could lose the response.
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// What hyper reads in place of a request whose head is rejected. No client can send it, because its head is checked.
const REJECTED: &[u8] = b"REJECTED / HTTP/1.1\r\nhost: rejected\r\nconnection: close\r\n\r\n";

/// RFC 9110, section 15.2: a client must accept interim responses that it does not expect.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A stream that fails with `TimedOut` if its peer sends too slowly.
pub struct Connection<S> {
    stream: S,
    phase: Phase,
    timeouts: Timeouts,
    requests: Requests,
    /// What was received and not passed on. Holds at most about [`MAX_HEAD`] bytes.
    input: BytesMut,
    /// How many bytes of `input` may be passed on.
    checked: usize,
    /// A request was rejected. Nothing that follows it is read as a request.
    is_rejected: bool,
    /// The client closed its side.
    is_half_closed: bool,
    /// Something of the response to the current request was written.
    is_answered: bool,
    probe: Option<Schedule>,
    read_timer: Pin<Box<Sleep>>,
    /// The number of bytes that may still be discarded; set once our side is closed.
    lingering: Option<usize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(stream: S, timeouts: Timeouts, phase: Phase) -> Self {
        // A new connection must send its first byte within `header_timeout`.
        phase.set(WAITING);
        Self {
            stream,
            phase,
            read_timer: Box::pin(sleep(timeouts.header)),
            timeouts,
            requests: Requests::default(),
            input: BytesMut::new(),
            checked: 0,
            is_rejected: false,
            is_half_closed: false,
            is_answered: false,
            probe: None,
            lingering: None,
        }
    }

    /// Reports whether the next request must wait for the end of the response to the current one.
    fn must_wait(&self) -> bool {
        self.requests.is_at_head() && self.phase.get() == BUSY
    }

    /// Follows `bytes`, the next ones of the client. Returns how many may be passed on.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() || self.must_wait() {
            return Ok(0);
        }
        let was_at_head = self.requests.is_at_head();
        match self.requests.follow(bytes) {
            Ok(0) => {
                if matches!(self.phase.get(), IDLE | WAITING) {
                    self.phase.set(HEAD);
                    let deadline = Instant::now() + self.timeouts.header;
                    self.read_timer.as_mut().reset(deadline);
                }
                Ok(0)
            }
            Ok(passed) => {
                if was_at_head {
                    // Set here, because hyper may read on before it calls the service.
                    self.phase.set(BUSY);
                    self.is_answered = false;
                }
                self.phase.set_receiving(!self.requests.is_at_head());
                Ok(passed)
            }
            Err(Violation::Head(bad)) => {
                self.reject(bad);
                Ok(0)
            }
            Err(Violation::Body) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the chunks of the body are not valid",
            )),
        }
    }

    /// Passes on an empty request that stands for the rejected one.
    fn reject(&mut self, bad: BadHead) {
        self.phase.reject(bad);
        self.phase.set(BUSY);
        self.is_rejected = true;
        self.is_answered = false;
        self.input = BytesMut::from(REJECTED);
        self.checked = self.input.len();
    }

    /// Reads from the client into `buf`, and leaves there what may be passed on.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let received = buf.filled()[start..].len();
        if received == 0 {
            self.is_half_closed = true;
            self.phase.set_half_closed();
        } else if self.is_rejected {
            buf.set_filled(start);
        } else {
            let passed = match self.input.is_empty() {
                true => self.follow(&buf.filled()[start..])?,
                false => 0,
            };
            if !self.is_rejected {
                self.input
                    .extend_from_slice(&buf.filled()[start + passed..]);
            }
            buf.set_filled(start + passed);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with an error when the client has no more time.
    fn poll_read_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.phase.register_reader(cx);
        match self.phase.get() {
            BUSY => return Poll::Pending,
            // The end of the last response is not read yet. What comes after that has its whole time.
            IDLE | WAITING if self.phase.is_unread() => {
                self.phase.set(IDLE);
                return Poll::Pending;
            }
            IDLE => {
                self.phase.set(WAITING);
                self.read_timer
                    .as_mut()
                    .reset(Instant::now() + self.timeouts.keep_alive);
            }
            _ => {}
        }
        ready!(self.read_timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready with an error when a client that closed its side does not read either.
    fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.phase.register_reader(cx);
        if self.is_answered || !self.requests.is_http_11() {
            return Poll::Pending;
        }
        let probe = self.probe.get_or_insert_with(Schedule::new);
        while probe.poll_due(cx).is_ready() {
            match Pin::new(&mut self.stream).poll_write(cx, CONTINUE) {
                Poll::Ready(Ok(written)) if written < CONTINUE.len() => {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                _ => ready!(Pin::new(&mut self.stream).poll_flush(cx))?,
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            if this.checked == 0 && !this.is_rejected {
                let input = std::mem::take(&mut this.input);
                let passed = this.follow(&input)?;
                if !this.is_rejected {
                    (this.input, this.checked) = (input, passed);
                }
            }
            if this.checked > 0 {
                let passed = this.checked.min(buf.remaining());
                buf.put_slice(&this.input[..passed]);
                this.input.advance(passed);
                this.checked -= passed;
                return Poll::Ready(Ok(()));
            }
            if this.is_half_closed {
                return match this.must_wait() {
                    true => this.poll_probe(cx),
                    false => Poll::Ready(Ok(())),
                };
            }
            // A client that sends its next requests early waits for their turn.
            let is_full = this.input.len() >= MAX_HEAD && this.must_wait();
            let polled = match is_full {
                true => Poll::Pending,
                false => this.poll_receive(cx, buf)?,
            };
            if polled.is_pending() {
                let timed_out = ready!(this.poll_read_timer(cx));
                if this.phase.get() == HEAD {
                    this.reject(TOO_SLOW);
                    continue;
                }
                return Poll::Ready(timed_out);
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_answered = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_answered = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut left = match this.lingering {
            Some(left) => left,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                this.read_timer.as_mut().reset(Instant::now() + LINGER);
                LINGER_BYTES
            }
        };
        let mut scratch = [0; 4096];
        loop {
            this.lingering = Some(left);
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && left > buf.filled().len() => {
                    left -= buf.filled().len()
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(this.read_timer.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
