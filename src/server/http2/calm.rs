//! Ends connections whose clients send frames that make work and carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
//! empty DATA. The codec answers each of them and has no limit.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::PREFACE;

/// Such frames that a client may send at any time. It earns back what it spends.
const MAX_CREDIT: u32 = 10_000;
/// Earned per second.
const PER_SECOND: u32 = 100;
/// One is earned by this many bytes that the client is sent: it may move its windows after every small frame of a stream.
const BYTES_PER_CREDIT: u64 = 64;

const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// The least that a DATA frame must carry. Some clients upload in pieces that are not much larger.
const MIN_DATA: usize = 16;
/// The flag of frames with padding, and the most that it takes.
const PADDED: u8 = 8;
const MAX_PADDING: usize = 256;

/// GOAWAY with the code ENHANCE_YOUR_CALM (RFC 9113, section 7). Any stream may have been processed.
pub const GO_AWAY: &[u8] = &[
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb,
];

/// A stream that fails once its peer has sent too many frames.
pub struct Calm<S> {
    stream: S,
    frames: Frames,
    credit: u32,
    earned_at: Instant,
    /// Bytes written that have not earned anything yet.
    written: u64,
}

impl<S> Calm<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            frames: Frames::default(),
            credit: MAX_CREDIT,
            earned_at: Instant::now(),
            written: 0,
        }
    }

    /// # Errors
    /// If the credit is used up.
    fn spend(&mut self, frames: u32) -> io::Result<()> {
        if self.credit < frames {
            self.earn();
        }
        let left = self.credit.checked_sub(frames);
        self.credit =
            left.ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "a flood of frames"))?;
        Ok(())
    }

    fn earn(&mut self) {
        let seconds = self.earned_at.elapsed().as_secs();
        self.earned_at += Duration::from_secs(seconds);
        let earned = seconds
            .saturating_mul(PER_SECOND.into())
            .saturating_add(self.written / BYTES_PER_CREDIT);
        self.written %= BYTES_PER_CREDIT;
        let credit = u64::from(self.credit).saturating_add(earned);
        self.credit = u32::try_from(credit).unwrap_or(u32::MAX).min(MAX_CREDIT);
    }

    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.written = self.written.saturating_add(bytes as u64);
        }
        polled
    }
}

/// Returns whether `error` is that of a flood.
pub fn is_flood(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::QuotaExceeded) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Finds the heads of frames in the bytes of a client.
struct Frames {
    /// Bytes until the next head.
    skip: usize,
    head: [u8; FRAME_HEAD],
    /// How much of `head` has arrived.
    filled: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE.len(),
            head: [0; FRAME_HEAD],
            filled: 0,
        }
    }
}

impl Frames {
    /// Returns how many frames that carry nothing have their heads in `bytes`, the next ones of the client.
    fn follow(&mut self, mut bytes: &[u8]) -> u32 {
        let mut empty = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let part = (FRAME_HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + part].copy_from_slice(&bytes[..part]);
            self.filled += part;
            bytes = &bytes[part..];
            if self.filled == FRAME_HEAD {
                self.filled = 0;
                let [high, middle, low, kind, flags, ..] = self.head;
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                let padding = match flags & PADDED {
                    0 => 0,
                    _ => MAX_PADDING,
                };
                let carries = match kind {
                    // The codec limits these.
                    HEADERS | CONTINUATION => true,
                    DATA => self.skip >= MIN_DATA + padding,
                    _ => false,
                };
                empty += u32::from(!carries);
            }
        }
        empty
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Calm<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let empty = self.frames.follow(&buf.filled()[start..]);
        Poll::Ready(self.spend(empty))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Calm<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let head = [0, 0, length, kind, 0, 0, 0, 0, 0];
        [&head[..], &vec![0; length.into()]].concat()
    }

    #[test]
    fn frames_without_content_are_counted_wherever_they_are_cut() {
        let bytes = [
            PREFACE.to_vec(),
            frame(4, 6),
            frame(6, 8),
            frame(HEADERS, 200),
            frame(DATA, 0),
            frame(0xa, 3),
        ]
        .concat();
        for size in [1, 5, 9, 1000] {
            let mut frames = Frames::default();
            let counted: u32 = bytes.chunks(size).map(|part| frames.follow(part)).sum();
            assert_eq!(counted, 4, "{size}");
        }
    }

    /// A client that uploaded in small pieces was taken for a flood.
    #[test]
    fn small_pieces_of_an_upload_carry_something_and_padding_does_not() {
        let counted = |frame: Vec<u8>| {
            let mut frames = Frames::default();
            frames.follow(PREFACE);
            frames.follow(&frame)
        };
        let padded = |length: u8| {
            let mut frame = frame(DATA, length);
            frame[4] = PADDED;
            frame
        };
        assert_eq!(counted(frame(DATA, 16)), 0);
        assert_eq!(counted(frame(DATA, 15)), 1);
        assert_eq!(counted(padded(255)), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn credit_is_earned_by_time_and_by_what_the_client_is_sent() {
        let pings = |count: u32| frame(6, 8).repeat(count as usize);
        let bytes = [PREFACE.to_vec(), pings(MAX_CREDIT)].concat();
        let mut all = Vec::new();
        let mut calm = Calm::new(tokio::io::join(&bytes[..], tokio::io::sink()));
        calm.read_to_end(&mut all).await.unwrap();
        assert!(calm.spend(1).is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        calm.spend(2 * PER_SECOND).unwrap();
        assert!(calm.spend(1).is_err());
        calm.write_all(&[0; 640]).await.unwrap();
        calm.spend(10).unwrap();
        assert!(calm.spend(1).is_err());
    }
}
