//! HTTP/1.1 over raw sockets, as cheap as possible, because the gateway shares its processors with the storm.

use std::{io, net::Ipv4Addr, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Longest that any reply may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects from `127.0.0.last`. `receive_buffer` bounds what the kernel reads ahead for the client.
pub async fn connect(
    to: SocketAddr,
    last: u8,
    receive_buffer: Option<u32>,
) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let stream = timeout(PATIENCE, socket.connect(to)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Builds a chat completion with `text` as its message.
pub fn chat(key: &str, model: &str, text: &str, stream: bool) -> Vec<u8> {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"{text}"}}],"stream":{stream}}}"#
    );
    post(key, body.len(), body.as_bytes())
}

/// Builds a request that announces `length` bytes and sends `body`.
pub fn post(key: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub closes: bool,
}

/// Sends a request, and reads its reply to the end.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Reply> {
    timeout(PATIENCE, async {
        stream.write_all(request).await?;
        read(stream).await
    })
    .await?
}

/// Reads one reply.
pub async fn read(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::with_capacity(2048);
    let head = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut bytes).await?;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let status = text.get(9..12).and_then(|code| code.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let length = text
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.split("\r\n").next()?.parse::<usize>().ok());
    loop {
        let is_complete = match length {
            Some(length) => bytes.len() >= head + length,
            None => bytes.ends_with(b"0\r\n\r\n"),
        };
        if is_complete {
            break;
        }
        more(stream, &mut bytes).await?;
    }
    let closes = text.contains("connection: close");
    bytes.drain(..head);
    Ok(Reply {
        status,
        body: bytes,
        closes,
    })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|part| part == needle)
}
