//! The time limit of writing. It stands below TLS, which takes bytes that the client does not.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};

use super::phase::Phase;

/// A stream that fails with `TimedOut` if its peer takes nothing of what is written for the time limit.
pub struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    phase: Phase,
    /// Armed while the peer takes nothing.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub fn new(stream: S, limit: Duration, phase: Phase) -> Self {
        Self {
            stream,
            limit,
            phase,
            timer: None,
        }
    }

    fn limited<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.timer.take().is_some() {
                self.phase.set_unread(false);
            }
            return polled;
        }
        let timer = self.timer.get_or_insert_with(|| {
            self.phase.set_unread(true);
            Box::pin(sleep(self.limit))
        });
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limited(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.limited(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush, so this says nothing about the peer.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn peer_that_does_not_read_is_disconnected() {
        let (ours, mut theirs) = duplex(4);
        let phase = Phase::default();
        let mut stream = WriteTimeout::new(ours, Duration::from_secs(75), phase.clone());
        let reads = async {
            tokio::time::sleep(Duration::from_secs(70)).await;
            assert!(phase.is_unread());
            theirs.read_exact(&mut [0; 4]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(70)).await;
            theirs.read_exact(&mut [0; 4]).await.unwrap();
        };
        let (written, ()) = tokio::join!(stream.write_all(b"twelve bytes"), reads);
        written.unwrap();
        assert!(!phase.is_unread());
        let error = stream.write_all(b"more than four").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
