//! Clients that call until they are stopped, and do not mind errors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use serde_json::json;
use tokio::{task::JoinHandle, time::timeout};

const CLIENTS: usize = 10;

/// What the calls of keys with a strict budget ask the simulator for. Their bill is known, or the gateway settles the most
/// that it can be.
const WHOLE: [&str; 8] = [
    "Hi",
    "[simulate words 90]",
    "[simulate words 30] [simulate pace 5ms]",
    "[simulate slow 50ms]",
    "[simulate slow 400ms]",
    "[simulate throttle]",
    "[simulate internal]",
    "[simulate words 500]",
];

/// Answers that break. What arrived of them is estimated, and the bill may have more.
const BROKEN: [&str; 4] = [
    "[simulate words 50] [simulate cut]",
    "[simulate reset]",
    "[simulate no-metadata]",
    "[simulate words 80] [simulate exception throttlingException]",
];

/// Starts clients of the gateway at `origin`.
pub fn start(origin: &str, stop: &Arc<AtomicBool>, rng: &mut Rng) -> Vec<JoinHandle<()>> {
    let client = reqwest::Client::new();
    let start = |nth: usize| {
        let (client, stop, mut rng) = (client.clone(), stop.clone(), rng.fork());
        let url = format!("{origin}/v1/chat/completions");
        let run = async move {
            while !stop.load(Ordering::Relaxed) {
                call(&client, &url, nth, &mut rng).await;
                tokio::task::yield_now().await;
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the test waits for them")]
        tokio::spawn(run)
    };
    (0..CLIENTS).map(start).collect()
}

async fn call(client: &reqwest::Client, url: &str, nth: usize, rng: &mut Rng) {
    let (secret, text) = match nth % 5 {
        0 | 1 => ("sk-test-one", WHOLE[rng.usize(0..WHOLE.len())]),
        2 | 3 => ("sk-test-two", WHOLE[rng.usize(0..WHOLE.len())]),
        _ => ("sk-test-broken", BROKEN[rng.usize(0..BROKEN.len())]),
    };
    let mut body = json!({"model": "priced", "messages": [{"role": "user", "content": text}]});
    body["stream"] = rng.bool().into();
    if rng.u8(0..6) == 0 {
        body["n"] = 2.into();
    }
    let request = client.post(url).bearer_auth(secret).body(body.to_string());
    let reply = async {
        let reply = request.send().await.ok()?;
        reply.bytes().await.ok()
    };
    // Some clients disconnect early.
    let patience = if rng.u8(0..4) == 0 { 20 } else { 2000 };
    let _ = timeout(Duration::from_millis(patience), reply).await;
}
