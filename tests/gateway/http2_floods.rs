//! Row 27 of docs/faults.md: floods of HTTP/2 frames, written by hand, because no client library sends them.

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Gateway, PATIENCE, user};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const UNKNOWN: u8 = 0xbb;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /` over HTTPS at the authority `x`, in HPACK.
const GET: &[u8] = &[0x82, 0x87, 0x84, 0x41, 1, b'x'];
/// A header that is not kept in the table: `a: ` and a hundred characters.
fn filler() -> Vec<u8> {
    [&[0, 1, b'a', 100][..], &[b'b'; 100]].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head, payload.to_vec()].concat()
}

/// The kinds and payloads of the frames in `bytes`.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        found.push((head[3], payload.to_vec()));
        bytes = rest;
    }
    found
}

/// Sends `flood`, and returns the error code with which the gateway ends the connection.
async fn go_away(gateway: &Gateway, flood: &[u8]) -> Option<u32> {
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&opening).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut reply = Vec::new();
    let exchange = async {
        // The gateway may close the connection while the test is still writing.
        let _ = write.write_all(flood).await;
        let _ = read.read_to_end(&mut reply).await;
    };
    timeout(PATIENCE, exchange)
        .await
        .expect("the flood went on");
    let last = frames(&reply)
        .into_iter()
        .rfind(|(kind, _)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(last.1[4..8].try_into().unwrap()))
}

#[tokio::test]
async fn row_27_floods_close_their_connection_and_no_other() {
    let gateway = Gateway::start_with("h2c = true").await;
    let calm = Some(0xb);
    // Requests that are taken back at once (CVE-2023-44487).
    let resets: Vec<u8> = (0..2000)
        .flat_map(|nth| {
            let (stream, cancel) = (nth * 2 + 1, 8u32.to_be_bytes());
            [
                frame(HEADERS, END_STREAM | END_HEADERS, stream, GET),
                frame(RST_STREAM, 0, stream, &cancel),
            ]
            .concat()
        })
        .collect();
    assert_eq!(go_away(&gateway, &resets).await, calm);
    // Headers that never end (CVE-2024-27316).
    let mut endless = frame(HEADERS, END_STREAM, 1, GET);
    for _ in 0..2000 {
        endless.extend(frame(CONTINUATION, 0, 1, &filler()));
    }
    assert_eq!(go_away(&gateway, &endless).await, calm);
    // Frames that carry nothing, which the codec answers one by one.
    let window = [0, 0, 0, 1];
    for empty in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]),
        frame(WINDOW_UPDATE, 0, 0, &window),
        frame(UNKNOWN, 0, 0, &[]),
    ] {
        assert_eq!(
            go_away(&gateway, &empty.repeat(50_000)).await,
            calm,
            "{empty:?}"
        );
    }
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);
    assert!(gateway.simulator.received().len() == 1);
}
