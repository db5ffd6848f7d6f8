//! Whole response bodies. They are handed over piece by piece, so that what is tied to a response (permits, the log line) lives
//! until the client has read nearly all of it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Bytes that are handed over at a time.
const PIECE: usize = 16 * 1024;

/// A body whose bytes are known.
pub struct Pieces(pub Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.len().min(PIECE);
        Poll::Ready((next > 0).then(|| Ok(Frame::data(self.0.split_to(next)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_small_and_join_to_the_whole() {
        let whole = Bytes::from_iter((0..3 * PIECE + 1).map(|index| index as u8));
        let mut body = Pieces(whole.clone());
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));
        let mut joined = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            joined.extend(piece);
        }
        assert!(body.is_end_stream());
        assert_eq!(joined, whole);
    }
}
