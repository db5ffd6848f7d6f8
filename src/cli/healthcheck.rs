use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{ConfigFile, Outcome};
use crate::config::{self, Surroundings};

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// The admin port of the gateway, instead of admin.listen
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Ask whether it can serve (/readyz) instead of whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
}

pub fn run(args: &Args) -> Outcome {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let configured = || config::admin_listen(&args.file.config, &Surroundings::of_process(None));
    let Some(admin) = args.admin.or_else(configured) else {
        return Outcome::Failed("admin.listen is not an address".to_owned());
    };
    match status(admin, path) {
        Ok(200) => Outcome::Done,
        Ok(status) => Outcome::Failed(format!("{path} answered {status}")),
        Err(error) => Outcome::Failed(format!("no answer from {admin}: {error}")),
    }
}

/// The status line is all that matters, so a client library would be too much.
fn status(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
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
        .ok_or_else(|| std::io::Error::other("not HTTP"))
}
