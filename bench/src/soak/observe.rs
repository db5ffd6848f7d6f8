//! What the gateway holds: memory, descriptors, and what its metrics count.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::sleep};

use super::{
    setup::{BODIES, Scale, Setup, secret},
    wire,
};
use crate::BoxError;

/// No client of the storm comes from this address.
const ADDRESS: u8 = 19;
/// How often it is tried to fill the gateway.
const FILLS: usize = 3;

/// The state of the gateway at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the beginning of the phase.
    pub at: Duration,
    /// MiB.
    pub rss: f64,
    pub descriptors: usize,
    pub connections: f64,
    pub in_flight: f64,
    pub streams: f64,
    pub holds: f64,
}

impl Sample {
    pub async fn take(setup: &Setup, began: Instant) -> Result<Self, BoxError> {
        let metrics = metrics(setup.admin).await?;
        let sum = |name: &str| {
            let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
            lines
                .filter(|rest| rest.starts_with(['{', ' ']))
                .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        Ok(Self {
            at: began.elapsed(),
            rss: setup.lintel.rss()?,
            descriptors: setup.lintel.descriptors()?,
            connections: sum("lintel_connections"),
            in_flight: sum("lintel_inflight_requests"),
            streams: sum("lintel_inflight_streams"),
            holds: sum("lintel_holds_open"),
        })
    }

    /// Reports whether nothing is left of any call. `descriptors` is the number before the storm.
    pub fn is_quiet(&self, descriptors: usize) -> bool {
        [self.connections, self.in_flight, self.streams, self.holds] == [0.0; 4]
            && self.descriptors <= descriptors
    }
}

async fn metrics(admin: SocketAddr) -> Result<String, BoxError> {
    let mut stream = wire::connect(admin, ADDRESS, None).await?;
    let request = b"GET /metrics HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n";
    let reply = wire::exchange(&mut stream, request).await?;
    match reply.status {
        200 => Ok(String::from_utf8(reply.body)?),
        status => Err(format!("/metrics: {status}").into()),
    }
}

/// Takes every permit of `max_in_flight` and all memory for bodies. Returns how many requests were refused although the
/// gateway should have been empty, or `None` if the machine was too slow to fill it within the time limits of a request.
pub async fn refused(setup: &Setup, scale: Scale) -> Result<Option<usize>, BoxError> {
    for _ in 0..FILLS {
        if let Some(refused) = fill(setup, scale).await? {
            return Ok(Some(refused));
        }
        // The requests of the last time are gone when their time limit is over.
        sleep(Duration::from_secs(30)).await;
    }
    Ok(None)
}

async fn fill(setup: &Setup, scale: Scale) -> Result<Option<usize>, BoxError> {
    let to = setup.data;
    let key = secret("GOOD");
    let mut refused = 0;
    // A body that fills the memory. It is not a valid request.
    let mut stream = wire::connect(to, ADDRESS, None).await?;
    let request = wire::post(key, BODIES, &vec![b' '; BODIES]);
    if wire::exchange(&mut stream, &request).await?.status != 400 {
        refused += 1;
    }
    drop(stream);
    let request: Arc<[u8]> = wire::post(key, 100, b"{").into();
    let mut clients = JoinSet::new();
    for address in 1..=16 {
        let request = request.clone();
        clients.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..scale.max_in_flight / 16 {
                let mut stream = wire::connect(to, address, None).await?;
                stream.write_all(&request).await?;
                held.push(stream);
            }
            Ok::<_, io::Error>(held)
        });
    }
    let held: Result<Vec<_>, _> = clients.join_all().await.into_iter().collect();
    let held: Vec<TcpStream> = held?.into_iter().flatten().collect();
    sleep(Duration::from_secs(1)).await;
    // Shows that they did take every permit.
    let mut stream = wire::connect(to, ADDRESS, None).await?;
    let more = wire::exchange(&mut stream, &wire::chat(key, "good", "Hello", false)).await?;
    for stream in &held {
        let mut head = [0; 12];
        refused += usize::from(stream.try_read(&mut head).is_ok() && head.ends_with(b"503"));
    }
    Ok((more.status == 503 || refused > 0).then_some(refused))
}
