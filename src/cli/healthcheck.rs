use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{ConfigFile, Outcome, client};
use crate::config::{self, Environment};

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
    let configured = || config::admin_listen(&args.file.config, &environment);
    let Some(admin) = args.admin.or_else(configured) else {
        return Outcome::Failed(
            "admin.listen is not an address such as \"127.0.0.1:9090\"".to_owned(),
        );
    };
    let admin = client::reachable(admin);
    match status(admin, path) {
        Ok(200) => Outcome::Done,
        Ok(status) => Outcome::Failed(format!("{path} answered {status}")),
        Err(error) => Outcome::Failed(format!("no answer from {admin}: {error}")),
    }
}

/// The status of a GET request. Only the status line matters, so this needs no HTTP client.
fn status(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
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
        .ok_or_else(|| std::io::Error::other("the reply is not HTTP"))
}
