//! The well-behaved key: whole and streamed calls at a steady rate, each of which must succeed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, time::MissedTickBehavior};

use super::{setup::secret, wire};
use crate::BoxError;

const CLIENTS: u32 = 8;
/// Calls per second of all clients.
const RATE: u32 = 40;
/// Each client connects anew after this many calls.
const CALLS_PER_CONNECTION: usize = 10;
/// No other client comes from this address.
const ADDRESS: u8 = 17;
const WORDS: usize = 20;

/// What the calls of one phase were like.
#[derive(Default)]
pub struct Calls {
    pub latencies: Vec<Duration>,
    /// The parts of them from the request to the last byte.
    pub replies: Vec<Duration>,
    /// What failed, and how often.
    pub failures: BTreeMap<String, usize>,
}

impl Calls {
    /// Returns the quantile `q` of the latencies, in milliseconds.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.latencies, q)
    }
}

/// Returns the quantile `q`, in milliseconds.
pub fn quantile(durations: &[Duration], q: f64) -> f64 {
    let mut sorted = durations.to_owned();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * q) as usize;
    let duration = sorted.get(at.min(sorted.len().saturating_sub(1)));
    duration.map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
}

/// Calls for `duration`. The clients have a thread of their own, which does not step back, so that the storm does not delay
/// them.
pub async fn call(to: SocketAddr, duration: Duration) -> Result<Calls, BoxError> {
    let (done, measured) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        done.send(runtime.map(|runtime| runtime.block_on(all(to, duration))))
    });
    Ok(measured.await??)
}

async fn all(to: SocketAddr, duration: Duration) -> Calls {
    let calls = Arc::new(Mutex::new(Calls::default()));
    let period = Duration::from_secs(1) * CLIENTS / RATE;
    let began = tokio::time::Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        let calls = calls.clone();
        clients.spawn(async move {
            let first = began + period * index / CLIENTS;
            let mut ticks = tokio::time::interval_at(first, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut client = Client::new(to);
            let mut free = began;
            while began.elapsed() < duration {
                let due = ticks.tick().await;
                // A call that waited for the one before it began when it was due.
                let from = match free > due {
                    true => due.into_std(),
                    false => Instant::now(),
                };
                let outcome = client.call().await;
                free = tokio::time::Instant::now();
                let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(reply) => {
                        calls.latencies.push(from.elapsed());
                        calls.replies.push(reply);
                    }
                    Err(why) => *calls.failures.entry(why).or_default() += 1,
                }
            }
        });
    }
    clients.join_all().await;
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut calls)
}

struct Client {
    to: SocketAddr,
    stream: Option<TcpStream>,
    sent: usize,
}

impl Client {
    fn new(to: SocketAddr) -> Self {
        Self {
            to,
            stream: None,
            sent: 0,
        }
    }

    /// Returns the time from the request to the last byte.
    async fn call(&mut self) -> Result<Duration, String> {
        let is_stream = self.sent.is_multiple_of(2);
        if self.sent.is_multiple_of(CALLS_PER_CONNECTION) {
            self.stream = None;
        }
        self.sent += 1;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => wire::connect(self.to, ADDRESS, None)
                .await
                .map_err(|error| format!("connect: {error}"))?,
        };
        let text = format!("Hello [simulate words {WORDS}]");
        let request = wire::chat(secret("GOOD"), "good", &text, is_stream);
        let sent = Instant::now();
        let reply = wire::exchange(&mut stream, &request)
            .await
            .map_err(|error| format!("exchange: {error}"))?;
        let took = sent.elapsed();
        if reply.status != 200 {
            let text = String::from_utf8_lossy(&reply.body);
            return Err(format!("status {}: {text}", reply.status));
        }
        let end: &[u8] = match is_stream {
            true => b"data: [DONE]",
            false => b"\"usage\"",
        };
        if wire::find(&reply.body, end).is_none() {
            return Err("an incomplete reply".to_owned());
        }
        if !reply.closes {
            self.stream = Some(stream);
        }
        Ok(took)
    }
}
