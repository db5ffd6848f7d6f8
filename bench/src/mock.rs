//! A mock Bedrock that uses as little CPU as possible. The model's name selects how the events of a stream are written.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt, Either, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    time::{Sleep, sleep},
};

use crate::BoxError;

/// The number of deltas in one stream.
pub const DELTAS: usize = 200;

const REPLY: &str = r#"{"metrics":{"latencyMs":1},"output":{"message":{"content":[{"text":"The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog."}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":20,"outputTokens":20,"totalTokens":40}}"#;

static EVENTS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let mut events = vec![event(
        "messageStart",
        r#"{"p":"abcdefghi","role":"assistant"}"#,
    )];
    for index in 0..DELTAS {
        let payload = format!(
            r#"{{"contentBlockIndex":0,"delta":{{"text":" word{index:04}"}},"p":"abcdefghijklmnopqrstuvwxyz"}}"#
        );
        events.push(event("contentBlockDelta", &payload));
    }
    events.push(event(
        "contentBlockStop",
        r#"{"contentBlockIndex":0,"p":"abc"}"#,
    ));
    events.push(event(
        "messageStop",
        r#"{"p":"abcdefghijklmn","stopReason":"end_turn"}"#,
    ));
    let usage = r#"{"metrics":{"latencyMs":1},"p":"ab","usage":{"inputTokens":20,"outputTokens":200,"totalTokens":220}}"#;
    events.push(event("metadata", usage));
    events
});

static BURST: LazyLock<Bytes> = LazyLock::new(|| EVENTS.concat().into());

fn event(kind: &str, payload: &str) -> Bytes {
    let mut headers = BytesMut::new();
    for (name, value) in [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.put_u8(name.len() as u8);
        headers.put_slice(name.as_bytes());
        headers.put_u8(7);
        headers.put_u16(value.len() as u16);
        headers.put_slice(value.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u32((16 + headers.len() + payload.len()) as u32);
    frame.put_u32(headers.len() as u32);
    let crc = crc32fast::hash(&frame);
    frame.put_u32(crc);
    frame.put_slice(&headers);
    frame.put_slice(payload.as_bytes());
    let crc = crc32fast::hash(&frame);
    frame.put_u32(crc);
    frame.freeze()
}

pub async fn run(listen: SocketAddr) -> Result<(), BoxError> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)),
        );
    }
}

type Body = Either<Full<Bytes>, Events>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    request.into_body().collect().await?;
    let (content_type, body) = match path.rsplit('/').next() {
        Some("converse-stream") => (
            "application/vnd.amazon.eventstream",
            Either::Right(Events::of(&path)),
        ),
        _ => (
            "application/json",
            Either::Left(Full::new(Bytes::from_static(REPLY.as_bytes()))),
        ),
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(content_type));
    response.headers_mut().insert(
        "x-amzn-requestid",
        http::HeaderValue::from_static("00000000-0000-4000-8000-000000000000"),
    );
    Ok(response)
}

/// The events of one stream.
pub struct Events {
    next: usize,
    burst: bool,
    pace: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the stream has yielded since the last event. Yielding makes hyper write each event separately.
    yielded: bool,
}

impl Events {
    fn of(path: &str) -> Self {
        let pace = [("paced", 10), ("slow", 1000)]
            .into_iter()
            .find(|(name, _)| path.contains(name));
        let pace = pace.map(|(_, millis)| Duration::from_millis(millis));
        Self {
            next: 0,
            burst: path.contains("burst"),
            pace,
            timer: None,
            yielded: false,
        }
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(timer) = &mut self.timer {
            std::task::ready!(timer.as_mut().poll(cx));
        } else if !self.burst && !self.yielded && self.next > 0 {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.yielded = false;
        self.timer = self.pace.map(|pace| Box::pin(sleep(pace)));
        if self.burst {
            self.next += 1;
            return Poll::Ready((self.next == 1).then(|| Ok(Frame::data(BURST.clone()))));
        }
        let event = EVENTS.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}
