//! Everything at once: a flooding tenant, slow readers, slow writers, idle strangers, and an upstream that breaks.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    setup::{FLOOD_LIMIT, Scale, secret},
    wire,
};

/// Strangers come from the addresses up to this one. They are more than `max_connections_per_address` allows.
const STRANGER_ADDRESSES: usize = 9;
/// Slow clients come from the addresses after those, up to this one.
const ADDRESSES: usize = 16;
const FLOOD_CLIENTS: u32 = 16;
const BREAKERS: usize = 40;
/// New connections per millisecond while the storm begins.
const RAMP: u32 = 4;
/// Longer than `keep_alive`, after which the gateway cuts off a client that does not read.
const DEAF: Duration = Duration::from_secs(25);

/// Words of an answer that no buffer between the simulator and a slow reader holds.
const LONG: usize = 400;
/// The time between them. The fastest recorded stream of the service has 17.5 events a second (187 in 10.68 s).
const PACE: &str = "57ms";

const FAULTS: [&str; 11] = [
    "reset",
    "cut",
    "stall",
    "throttle",
    "truncate",
    "bad-crc",
    "no-metadata",
    "internal",
    "hang",
    "linger",
    "exception throttlingException",
];

/// What the storm did.
#[derive(Default)]
pub struct Counts {
    pub strangers: AtomicUsize,
    pub readers: AtomicUsize,
    pub writers: AtomicUsize,
    pub broken: AtomicUsize,
    pub admitted: AtomicUsize,
    pub limited: AtomicUsize,
    /// Calls of the flooding key that were answered by neither 200 nor 429, or not at all.
    pub other: AtomicUsize,
}

/// One part of the storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Flood,
    Readers,
    Writers,
    Strangers,
    Faults,
}

/// Starts the storm. It ends when the set is dropped.
pub fn start(to: SocketAddr, scale: Scale, parts: &[Part], counts: &Arc<Counts>) -> JoinSet<()> {
    let has = |part| parts.is_empty() || parts.contains(&part);
    let mut tasks = JoinSet::new();
    for index in (0..FLOOD_CLIENTS).filter(|_| has(Part::Flood)) {
        let counts = counts.clone();
        tasks.spawn(forever(index, move || flood(to, counts.clone())));
    }
    for index in (0..BREAKERS).filter(|_| has(Part::Faults)) {
        let counts = counts.clone();
        tasks.spawn(break_calls(to, index, counts));
    }
    let mut delay = 0;
    for index in 0..scale.slow {
        let address = address(STRANGER_ADDRESSES + index % (ADDRESSES - STRANGER_ADDRESSES));
        for part in [Part::Readers, Part::Writers] {
            if !has(part) {
                continue;
            }
            let is_reader = part == Part::Readers;
            let counts = counts.clone();
            delay += 1;
            tasks.spawn(forever(delay / RAMP, move || {
                slow(
                    to,
                    address,
                    is_reader,
                    index.is_multiple_of(2),
                    counts.clone(),
                )
            }));
        }
    }
    for index in (0..scale.strangers).filter(|_| has(Part::Strangers)) {
        let (address, counts) = (address(index % STRANGER_ADDRESSES), counts.clone());
        delay += 1;
        tasks.spawn(forever(delay / RAMP, move || {
            stay_idle(to, address, index.is_multiple_of(2), counts.clone())
        }));
    }
    tasks
}

/// Returns the last number of an address.
fn address(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX)
}

/// Does `once` again and again, with a pause after each end.
async fn forever<F: Future<Output = io::Result<()>>>(delay_ms: u32, once: impl Fn() -> F) {
    sleep(Duration::from_millis(delay_ms.into())).await;
    loop {
        let _ = once().await;
        sleep(Duration::from_secs(1)).await;
    }
}

/// Sends the share of one client in the flood.
async fn flood(to: SocketAddr, counts: Arc<Counts>) -> io::Result<()> {
    let request = wire::chat(secret("FLOOD"), "crowded", "Hello", false);
    let mut stream = wire::connect(to, 18, None).await?;
    // A hundred times the limit, which is per minute.
    let mut ticks = interval(Duration::from_secs(60) * FLOOD_CLIENTS / (FLOOD_LIMIT * 100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reply = wire::exchange(&mut stream, &request).await;
        let count = match reply.as_ref().map(|reply| reply.status) {
            Ok(200) => &counts.admitted,
            Ok(429) => &counts.limited,
            _ => &counts.other,
        };
        count.fetch_add(1, Relaxed);
        if reply?.closes {
            return Ok(());
        }
    }
}

/// Asks for a long stream and reads nothing or a byte a second, or sends a body at a byte a second.
async fn slow(
    to: SocketAddr,
    address: u8,
    is_reader: bool,
    is_silent: bool,
    counts: Arc<Counts>,
) -> io::Result<()> {
    let mut stream = wire::connect(to, address, is_reader.then_some(4096)).await?;
    let mut byte = [0];
    if is_reader {
        let text = format!("Hello [simulate words {LONG}] [simulate pace {PACE}]");
        let request = wire::chat(secret("SLOW"), "crowded", &text, true);
        stream.write_all(&request).await?;
        counts.readers.fetch_add(1, Relaxed);
        if is_silent {
            sleep(DEAF).await;
            return Ok(());
        }
        loop {
            if stream.read(&mut byte).await? == 0 {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
    let body = br#"{"model":"crowded","messages":["#;
    let request = wire::post(secret("SLOW"), 100_000, body);
    stream.write_all(&request).await?;
    counts.writers.fetch_add(1, Relaxed);
    loop {
        // The gateway answers when it has waited for long enough.
        match timeout(Duration::from_secs(1), stream.read(&mut byte)).await {
            Ok(read) => return read.map(|_| ()),
            Err(_) => stream.write_all(b" ").await?,
        }
    }
}

/// Opens a connection, sends nothing or a request without a key, and waits until the gateway closes it.
async fn stay_idle(
    to: SocketAddr,
    address: u8,
    is_mute: bool,
    counts: Arc<Counts>,
) -> io::Result<()> {
    let mut stream = wire::connect(to, address, None).await?;
    counts.strangers.fetch_add(1, Relaxed);
    if !is_mute {
        stream
            .write_all(b"GET /v1/models HTTP/1.1\r\nhost: soak\r\n\r\n")
            .await?;
    }
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Makes calls whose upstream breaks, each in another way. Every third client disconnects in the middle.
async fn break_calls(to: SocketAddr, index: usize, counts: Arc<Counts>) {
    let mut ticks = interval(Duration::from_millis(1000));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in index.. {
        ticks.tick().await;
        let text = format!("Hello [simulate {}]", FAULTS[number % FAULTS.len()]);
        let request = wire::chat(secret("BREAKING"), "fragile", &text, number % 4 > 0);
        let Ok(mut stream) = wire::connect(to, 18, None).await else {
            continue;
        };
        counts.broken.fetch_add(1, Relaxed);
        match number % 3 {
            0 => {
                let _ = stream.write_all(&request).await;
                let _ = timeout(Duration::from_millis(50), wire::read(&mut stream)).await;
            }
            _ => {
                let _ = wire::exchange(&mut stream, &request).await;
            }
        }
    }
}
