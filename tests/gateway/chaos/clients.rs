//! Clients that call until they are stopped, and count what they see.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use super::SECRET;

const CLIENTS: usize = 8;

/// What the clients have seen.
#[derive(Default)]
pub struct Seen {
    pub calls: AtomicU64,
    /// Streams that broke after their first byte, and said so.
    pub broken: AtomicU64,
    /// Other calls that failed.
    pub errors: Mutex<Vec<String>>,
}

/// Where the gateway is, if it runs, and how often it was killed.
#[derive(Default)]
pub struct Place(Mutex<(String, u64)>);

impl Place {
    pub fn set(&self, origin: &str) {
        self.0.lock().unwrap().0 = origin.to_owned();
    }

    pub fn killed(&self) {
        let mut place = self.0.lock().unwrap();
        *place = (String::new(), place.1 + 1);
    }

    fn get(&self) -> (String, u64) {
        self.0.lock().unwrap().clone()
    }
}

pub fn start(place: &Arc<Place>, seen: &Arc<Seen>, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let client = reqwest::Client::new();
    let start = |_| {
        let (client, place) = (client.clone(), place.clone());
        let (seen, stop) = (seen.clone(), stop.clone());
        let run = async move {
            while !stop.load(Ordering::Relaxed) {
                let (origin, kills) = place.get();
                if origin.is_empty() {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
                let called = call(&client, &origin, &seen).await;
                // What a kill cuts off says nothing about regions.
                if place.get().1 == kills {
                    seen.calls.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = called {
                        seen.errors.lock().unwrap().push(error);
                    }
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the test waits for them")]
        tokio::spawn(run)
    };
    (0..CLIENTS).map(start).collect()
}

async fn call(client: &reqwest::Client, origin: &str, seen: &Seen) -> Result<(), String> {
    let is_stream = fastrand::bool();
    let text = format!("[simulate words {}]", fastrand::u8(1..60));
    let body = json!({"model": "priced", "stream": is_stream, "messages": [{"role": "user", "content": text}]});
    let request = client
        .post(format!("{origin}/v1/chat/completions"))
        .bearer_auth(SECRET)
        .body(body.to_string());
    let reply = request.send().await.map_err(|error| error.to_string())?;
    let status = reply.status();
    let text = reply.text().await.map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("{status}: {text}"));
    }
    if !is_stream || text.ends_with("data: [DONE]\n\n") {
        return Ok(());
    }
    if !text.contains("\"error\"") {
        return Err(format!("a stream broke without a word: {text}"));
    }
    // Without a first byte of the answer, another region should have answered.
    if !text.contains("\"content\"") {
        return Err(text);
    }
    seen.broken.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
