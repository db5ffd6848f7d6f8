//! Timeouts of one connection. hyper's header timer is not used, because it also runs on idle connections, so
//! `header_timeout` and `keep_alive` could not differ.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Waiting for a request, before the timer is armed.
const IDLE: u8 = 0;
/// Waiting for a request, for at most `keep_alive`.
const WAITING: u8 = 1;
/// Part of a head has arrived; the rest must arrive within `header_timeout`.
const HEAD: u8 = 2;
/// A request is being served, which has its own timeouts.
const BUSY: u8 = 3;

/// How many bytes, and for how long, a connection still reads and discards after its last response. If it closed with
/// unread bytes from the client, the kernel would send a reset, and the client could lose the response.
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// The phase of a connection in the cycle of a request.
#[derive(Clone)]
pub struct Phase(Arc<AtomicU8>);

impl Phase {
    /// Marks a request as being served. The read timer is suspended until the guard is dropped.
    pub fn busy(&self) -> BusyGuard {
        self.0.store(BUSY, Ordering::Relaxed);
        BusyGuard(self.clone())
    }
}

/// See [`Phase::busy`].
pub struct BusyGuard(Phase);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A stream that fails with `TimedOut` if its peer is too slow.
pub struct TimedConnection<S> {
    stream: S,
    phase: Phase,
    header_timeout: Duration,
    keep_alive: Duration,
    read_timer: Pin<Box<Sleep>>,
    /// Armed while the peer does not read what is written.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// The number of bytes that may still be discarded; set once our side is closed.
    lingering: Option<usize>,
}

impl<S> TimedConnection<S> {
    pub fn new(stream: S, header_timeout: Duration, keep_alive: Duration) -> (Self, Phase) {
        // A new connection must send its first byte within `header_timeout`.
        let phase = Phase(Arc::new(AtomicU8::new(WAITING)));
        let read_timer = Box::pin(sleep(header_timeout));
        (
            Self {
                stream,
                phase: phase.clone(),
                header_timeout,
                keep_alive,
                read_timer,
                write_timer: None,
                lingering: None,
            },
            phase,
        )
    }

    fn poll_read_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.phase.0.load(Ordering::Relaxed) {
            BUSY => return Poll::Pending,
            IDLE => {
                self.phase.0.store(WAITING, Ordering::Relaxed);
                self.read_timer
                    .as_mut()
                    .reset(Instant::now() + self.keep_alive);
            }
            _ => {}
        }
        ready!(self.read_timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_write_timer<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let keep_alive = self.keep_alive;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep(keep_alive)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedConnection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_pending() {
            return self.poll_read_timer(cx);
        }
        if buf.filled().len() > before
            && matches!(self.phase.0.load(Ordering::Relaxed), IDLE | WAITING)
        {
            self.phase.0.store(HEAD, Ordering::Relaxed);
            let deadline = Instant::now() + self.header_timeout;
            self.read_timer.as_mut().reset(deadline);
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedConnection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_write_timer(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_write_timer(written, cx)
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    /// Seconds until a read fails, in virtual time.
    async fn until_timeout(connection: &mut TimedConnection<tokio::io::DuplexStream>) -> u64 {
        let began = Instant::now();
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connection_is_closed_after_the_header_timeout() {
        let (ours, _theirs) = duplex(64);
        let (mut connection, _) = TimedConnection::new(ours, HEADER, KEEP_ALIVE);
        assert_eq!(until_timeout(&mut connection).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_head_is_closed_after_the_header_timeout() {
        let (ours, mut theirs) = duplex(64);
        let (mut connection, _) = TimedConnection::new(ours, HEADER, KEEP_ALIVE);
        theirs.write_u8(b'G').await.unwrap();
        connection.read_u8().await.unwrap();
        theirs.write_u8(b'E').await.unwrap();
        connection.read_u8().await.unwrap();
        assert_eq!(until_timeout(&mut connection).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn running_request_has_no_timeout_and_idle_connection_has_keep_alive() {
        let (ours, mut theirs) = duplex(64);
        let (mut connection, phase) = TimedConnection::new(ours, HEADER, KEEP_ALIVE);
        theirs.write_u8(b'G').await.unwrap();
        connection.read_u8().await.unwrap();
        let busy = phase.busy();
        let waited = tokio::time::timeout(Duration::from_secs(3600), connection.read_u8()).await;
        assert!(
            waited.is_err(),
            "the connection does not limit a running request"
        );
        drop(busy);
        assert_eq!(until_timeout(&mut connection).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_does_not_read_is_disconnected() {
        let (ours, _theirs) = duplex(4);
        let (mut connection, _) = TimedConnection::new(ours, HEADER, KEEP_ALIVE);
        let error = connection.write_all(b"more than four").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
