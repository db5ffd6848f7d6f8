use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::Outcome;

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The admin port of the gateway
    #[arg(long, value_name = "ADDR", env = "LINTEL__ADMIN__LISTEN", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// Ask whether it can serve (/readyz) instead of whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
}

pub fn run(args: &Args) -> Outcome {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    match status(args.admin, path) {
        Ok(200) => Outcome::Done,
        Ok(status) => Outcome::Failed(format!("{path} answered {status}")),
        Err(error) => Outcome::Failed(format!("no answer from {}: {error}", args.admin)),
    }
}

/// The status line is all that matters, so a client library would be too much.
fn status(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    stream.take(64).read_to_end(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| std::io::Error::other("not HTTP"))
}
