//! The load generator: closed loop (as fast as replies arrive) and open loop (at a fixed rate, regardless of replies).

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Semaphore, time::MissedTickBehavior};

use crate::{BoxError, mock::DELTAS};

/// One kind of request, and the expected reply.
#[derive(Clone)]
pub struct Job {
    pub address: SocketAddr,
    pub path: String,
    pub body: Bytes,
    pub expect: Expect,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Expect {
    /// A whole reply.
    Whole,
    /// Server-sent events with all deltas and `[DONE]`.
    Events,
    /// Frames, passed through.
    Frames,
}

#[derive(Default)]
pub struct Outcome {
    pub requests: usize,
    pub failures: usize,
    pub elapsed: Duration,
    /// The time of each request to its last byte.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the quantile `q` of the latencies, in microseconds.
    pub fn quantile(&mut self, q: f64) -> f64 {
        self.latencies.sort_unstable();
        let at = ((self.latencies.len() as f64 * q) as usize)
            .min(self.latencies.len().saturating_sub(1));
        self.latencies
            .get(at)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.latencies.extend(other.latencies);
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, BoxError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn post(job: &Job) -> Result<Request<Full<Bytes>>, BoxError> {
    let request = Request::post(&job.path)
        .header("host", "bench")
        .header(
            "authorization",
            "Bearer sk-bench-0123456789abcdef0123456789abcdef",
        )
        .header("content-type", "application/json");
    Ok(request.body(Full::new(job.body.clone()))?)
}

/// Gets a path with a bearer token, and returns the size of the reply.
pub async fn get(address: SocketAddr, path: &str, token: &str) -> Result<usize, BoxError> {
    let mut sender = connect(address).await?;
    let request = Request::get(path)
        .header("host", "bench")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("{path}: {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes().len())
}

async fn once(sender: &mut SendRequest<Full<Bytes>>, job: &Job) -> Result<(), BoxError> {
    sender.ready().await?;
    let mut response = sender.send_request(post(job)?).await?;
    if !response.status().is_success() {
        return Err(format!("{}", response.status()).into());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    let count = |needle: &[u8]| {
        bytes
            .windows(needle.len())
            .filter(|window| *window == needle)
            .count()
    };
    let good = match job.expect {
        Expect::Whole => count(b"lazy dog") == 2,
        Expect::Events => {
            bytes.ends_with(b"data: [DONE]\n\n") && count(b"\"content\":\" word") == DELTAS
        }
        Expect::Frames => count(b"\"text\":\" word") == DELTAS,
    };
    if good {
        Ok(())
    } else {
        Err("unexpected reply".into())
    }
}

async fn counted(
    sender: &mut SendRequest<Full<Bytes>>,
    job: &Job,
    began: Instant,
    outcome: &mut Outcome,
) {
    match once(sender, job).await {
        Ok(()) => {
            outcome.requests += 1;
            outcome.latencies.push(began.elapsed());
        }
        Err(_) => outcome.failures += 1,
    }
}

/// Runs `connections` clients, each of which sends its next request as soon as it has the reply.
pub async fn closed(
    job: &Job,
    connections: usize,
    duration: Duration,
) -> Result<Outcome, BoxError> {
    let began = Instant::now();
    let job = Arc::new(job.clone());
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let job = job.clone();
        tasks.push(tokio::spawn(async move {
            let mut outcome = Outcome::default();
            let mut sender = connect(job.address).await?;
            while began.elapsed() < duration {
                counted(&mut sender, &job, Instant::now(), &mut outcome).await;
            }
            Ok::<_, BoxError>(outcome)
        }));
    }
    gather(tasks, began).await
}

/// Sends `per_second` requests in total, spread over `connections`. The latency of a request that waited for the one
/// before it starts when it was due. Any other starts when it is sent, because our timer has millisecond resolution.
pub async fn open(
    job: &Job,
    connections: usize,
    per_second: f64,
    duration: Duration,
) -> Result<Outcome, BoxError> {
    let began = Instant::now();
    let job = Arc::new(job.clone());
    let mut tasks = Vec::new();
    for index in 0..connections {
        let job = job.clone();
        tasks.push(tokio::spawn(async move {
            let mut outcome = Outcome::default();
            let mut sender = connect(job.address).await?;
            let period = Duration::from_secs_f64(connections as f64 / per_second);
            let first = tokio::time::Instant::from_std(began)
                + period.mul_f64(index as f64 / connections as f64);
            let mut ticks = tokio::time::interval_at(first, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut free = began;
            while began.elapsed() < duration {
                let due = ticks.tick().await.into_std();
                let from = if free > due { due } else { Instant::now() };
                counted(&mut sender, &job, from, &mut outcome).await;
                free = Instant::now();
            }
            Ok::<_, BoxError>(outcome)
        }));
    }
    gather(tasks, began).await
}

async fn gather(
    tasks: Vec<tokio::task::JoinHandle<Result<Outcome, BoxError>>>,
    began: Instant,
) -> Result<Outcome, BoxError> {
    let mut all = Outcome::default();
    for task in tasks {
        all.add(task.await??);
    }
    all.elapsed = began.elapsed();
    if all.failures > 0 {
        return Err(format!(
            "{} of {} requests failed",
            all.failures,
            all.failures + all.requests
        )
        .into());
    }
    Ok(all)
}

/// Streams that stay open until this value is dropped.
pub struct Held(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Opens `count` streams, and returns once all have begun.
pub async fn hold(job: &Job, count: usize) -> Result<Held, BoxError> {
    let mut held = Held(Vec::new());
    let begun = Arc::new(Semaphore::new(0));
    for _ in 0..count {
        let mut sender = connect(job.address).await?;
        let request = post(job)?;
        let begun = begun.clone();
        held.0.push(tokio::spawn(async move {
            let Ok(mut response) = sender.send_request(request).await else {
                return;
            };
            if response.frame().await.is_some_and(|frame| frame.is_ok()) {
                begun.add_permits(1);
            }
            while response.frame().await.is_some() {}
            drop(sender);
        }));
    }
    let all = begun.acquire_many(u32::try_from(count)?);
    let _all = tokio::time::timeout(Duration::from_secs(30), all)
        .await
        .map_err(|_| "not every stream began")??;
    Ok(held)
}
