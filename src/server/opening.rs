//! The first bytes of a connection, before TLS or HTTP: the header of the PROXY protocol, and the preface of HTTP/2.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use bytes::{Buf, BytesMut};
use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::http2::PREFACE;

const V1_PREFIX: &[u8] = b"PROXY ";
/// The longest header of version 1, with its line end.
const V1_MAX: usize = 107;
const V2_PREFIX: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part of a header of version 2 that has the length of the rest.
const V2_FIXED: usize = 16;
/// The longest rest of a header of version 2 that is read. Proxies append certificates and names.
const V2_MAX: usize = 4096;

/// What is known of the header of the PROXY protocol.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// More bytes are needed.
    Incomplete,
    /// The connection begins with something else.
    Absent,
    /// The length of the header, and the address of the client if the proxy tells it.
    Present(usize, Option<SocketAddr>),
}

/// Reads the header of the PROXY protocol, version 1 or 2. Returns `None` if the connection does not begin with one, otherwise the
/// address of the client if the header names it. What was read beyond it stays in `received`.
///
/// # Errors
/// If the header is not valid, or the connection fails.
pub async fn proxied_client(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> io::Result<Option<Option<SocketAddr>>> {
    loop {
        match header(received)? {
            Header::Absent => return Ok(None),
            Header::Present(length, client) => {
                received.advance(length);
                return Ok(Some(client));
            }
            Header::Incomplete => read_more(stream, received).await?,
        }
    }
}

/// Reports whether the client speaks HTTP/2 without asking.
///
/// # Errors
/// If the connection fails.
pub async fn is_http2(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> io::Result<bool> {
    while is_begun(PREFACE, received) {
        read_more(stream, received).await?;
    }
    Ok(received.starts_with(PREFACE))
}

async fn read_more(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> io::Result<()> {
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Reports whether `bytes` is a part of `prefix`, from its beginning.
fn is_begun(prefix: &[u8], bytes: &[u8]) -> bool {
    bytes.len() < prefix.len() && prefix.starts_with(bytes)
}

/// Finds the header of the PROXY protocol at the beginning of `bytes`.
///
/// # Errors
/// If it is not valid.
pub fn header(bytes: &[u8]) -> io::Result<Header> {
    if bytes.starts_with(V1_PREFIX) {
        let line = &bytes[..bytes.len().min(V1_MAX)];
        let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
            return match line.len() < V1_MAX {
                true => Ok(Header::Incomplete),
                false => Err(invalid("its line is too long")),
            };
        };
        let header = v1::Header::try_from(&bytes[..end + 2]).map_err(invalid)?;
        let client = match header.addresses {
            v1::Addresses::Tcp4(ip) => client(ip.source_address.into(), ip.source_port),
            v1::Addresses::Tcp6(ip) => client(ip.source_address.into(), ip.source_port),
            v1::Addresses::Unknown => None,
        };
        return Ok(Header::Present(end + 2, client));
    }
    if bytes.starts_with(V2_PREFIX) {
        let Some(fixed) = bytes.first_chunk::<V2_FIXED>() else {
            return Ok(Header::Incomplete);
        };
        let rest = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if rest > V2_MAX {
            return Err(invalid("it is too long"));
        }
        let Some(whole) = bytes.get(..V2_FIXED + rest) else {
            return Ok(Header::Incomplete);
        };
        let header = v2::Header::try_from(whole).map_err(invalid)?;
        let client = match (header.command, header.addresses) {
            // A health check of the proxy itself.
            (v2::Command::Local, _) => None,
            (_, v2::Addresses::IPv4(ip)) => client(ip.source_address.into(), ip.source_port),
            (_, v2::Addresses::IPv6(ip)) => client(ip.source_address.into(), ip.source_port),
            _ => None,
        };
        return Ok(Header::Present(whole.len(), client));
    }
    match is_begun(V1_PREFIX, bytes) || is_begun(V2_PREFIX, bytes) {
        true => Ok(Header::Incomplete),
        false => Ok(Header::Absent),
    }
}

fn client(ip: IpAddr, port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip, port))
}

fn invalid(why: impl ToString) -> io::Error {
    let why = why.to_string();
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the header of the PROXY protocol is not valid: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";

    fn v2(command: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_PREFIX, &[0x20 | command, 0x11], &length, rest].concat()
    }

    const ADDRESSES: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

    #[tokio::test]
    async fn header_is_read_wherever_it_is_cut_and_the_rest_stays() {
        let client = Some("192.0.2.1:56324".parse().unwrap());
        let extended = [ADDRESSES, &[0x04, 0x00, 0x02, 0, 0]].concat();
        for (header, client) in [
            (V1.to_vec(), client),
            (v2(1, ADDRESSES), client),
            (v2(1, &extended), client),
            (v2(0, ADDRESSES), None),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(),
                Some("[2001:db8::1]:1".parse().unwrap()),
            ),
            (Vec::new(), None),
        ] {
            let client = (!header.is_empty()).then_some(client);
            let bytes = [&header, &b"GET / HTTP/1.1\r\n"[..]].concat();
            for cut in 0..header.len() + 3 {
                let mut stream = AsyncReadExt::chain(&bytes[..cut], &bytes[cut..]);
                let mut received = BytesMut::new();
                let found = proxied_client(&mut stream, &mut received).await.unwrap();
                assert_eq!(found, client);
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                assert_eq!([&received, &rest[..]].concat(), b"GET / HTTP/1.1\r\n");
            }
        }
    }

    #[test]
    fn invalid_headers_are_rejected() {
        let mut wrong_version = v2(1, ADDRESSES);
        wrong_version[12] = 0x31;
        for bytes in [
            &b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"[..],
            b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
            &[V1_PREFIX, &[b' '; 200]].concat(),
            &v2(1, &ADDRESSES[..8]),
            &v2(1, &[0; V2_MAX + 1]),
            &wrong_version,
        ] {
            assert!(header(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[tokio::test]
    async fn preface_is_told_from_requests() {
        for (bytes, expected) in [
            (PREFACE, true),
            (b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n", false),
            (b"POST / HTTP/1.1\r\n", false),
        ] {
            for cut in 0..bytes.len() {
                let mut stream = AsyncReadExt::chain(&bytes[..cut], &bytes[cut..]);
                let mut received = BytesMut::new();
                let found = is_http2(&mut stream, &mut received).await.unwrap();
                assert_eq!(found, expected);
            }
        }
        assert!(
            is_http2(&mut &PREFACE[..5], &mut BytesMut::new())
                .await
                .is_err()
        );
    }
}
