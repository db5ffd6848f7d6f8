//! Proxies in front of the gateway, and the addresses of the clients behind them.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses of proxies whose word about a client's address is taken.
#[derive(Clone, Debug, Default)]
pub struct Proxies(pub Vec<IpNet>);

impl Proxies {
    /// Reports whether `address` is one of the proxies.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Returns the address of the client that sent a request: the last one in `x-forwarded-for` that is not a proxy. Each
    /// proxy appends the address that it sees, so what stands before that one is only the client's claim.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut client = peer;
        if !self.trusts(peer.ip()) {
            return client;
        }
        for line in headers.get_all(FORWARDED_FOR).iter().rev() {
            for text in line.as_bytes().rsplit(|byte| *byte == b',') {
                // A proxy that writes anything else knows no better than its own address.
                let Some(address) = address(text) else {
                    return client;
                };
                client = address;
                if !self.trusts(address.ip()) {
                    return client;
                }
            }
        }
        client
    }
}

/// Reads an address with or without a port.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .map(|ip: IpAddr| SocketAddr::new(ip, 0))
        .or_else(|_| text.parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&'static str]) -> String {
        let proxies = Proxies(vec![
            "10.0.0.0/8".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        let headers = lines
            .iter()
            .map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)))
            .collect();
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        proxies.client(peer, &headers).ip().to_string()
    }

    #[test]
    fn forwarded_addresses_are_believed_from_the_right() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        // The client claims another address.
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1, 192.0.2.1 , 10.0.0.2"]),
            "192.0.2.1"
        );
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1", "192.0.2.1:99"]),
            "192.0.2.1"
        );
        assert_eq!(client("fd00::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("fd00::1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["10.0.0.9, 10.0.0.2"]), "10.0.0.9");
    }

    #[test]
    fn strangers_and_nonsense_are_not_believed() {
        assert_eq!(client("192.0.2.9", &["127.0.0.1"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1, unknown, 10.0.0.2"]),
            "10.0.0.2"
        );
        assert_eq!(client("10.0.0.1", &["", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1", ""]), "10.0.0.1");
    }
}
