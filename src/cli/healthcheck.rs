use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned};

use super::{ConfigFile, Outcome, client};
use crate::{
    config::{self, Environment},
    server::{TlsSettings, tls},
};

const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// The gateway's admin port; overrides admin.listen
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Check readiness (/readyz) instead of liveness (/healthz)
    #[arg(long)]
    ready: bool,
}

pub fn run(args: &Args) -> Outcome {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let environment = Environment::of_process(Vec::new());
    let configured = config::admin_port(&args.file.config, &environment);
    let tls = configured.as_ref().and_then(|admin| admin.tls.as_ref());
    let Some(admin) = args.admin.or(configured.as_ref().map(|admin| admin.listen)) else {
        return Outcome::Failed(
            "admin.listen is not an address such as \"127.0.0.1:9090\"".to_owned(),
        );
    };
    let admin = client::reachable(admin);
    match status(admin, tls, path) {
        Ok(200) => Outcome::Done,
        Ok(status) => Outcome::Failed(format!("{path} answered {status}")),
        Err(error) => Outcome::Failed(format!("no answer from {admin}: {error}")),
    }
}

/// The status of a GET request. Only the status line matters, so this needs no HTTP client.
fn status(address: SocketAddr, tls: Option<&TlsSettings>, path: &str) -> io::Result<u16> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let Some(tls) = tls else {
        return ask(stream, address, path);
    };
    let client = Arc::new(tls::client(tls).map_err(io::Error::other)?);
    let connection =
        ClientConnection::new(client, address.ip().into()).map_err(io::Error::other)?;
    ask(StreamOwned::new(connection, stream), address, path)
}

fn ask(mut stream: impl Read + Write, address: SocketAddr, path: &str) -> io::Result<u16> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    stream.take(64).read_to_end(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::other("the reply is not HTTP"))
}
