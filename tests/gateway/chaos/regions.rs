//! Three regions that fail at random, and that can go down.

use std::{collections::BTreeMap, sync::Mutex};

use lintel::simulator::{self, Simulator};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::kills::ledger;

/// How many of a thousand requests fail.
const FAULTS: u16 = 10;

pub struct Region {
    pub name: &'static str,
    pub url: String,
    simulator: Simulator,
    /// Cancelled to take it down.
    up: Mutex<CancellationToken>,
}

impl Region {
    pub async fn new(name: &'static str) -> Self {
        let simulator = crate::support::simulator();
        simulator.fail_at_random(FAULTS);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let region = Self {
            name,
            url: format!("http://{}", listener.local_addr().unwrap()),
            simulator,
            up: Mutex::default(),
        };
        region.serve(listener);
        region
    }

    fn serve(&self, listener: TcpListener) {
        let up = CancellationToken::new();
        let served = simulator::serve(listener, self.simulator.router(), up.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the runtime of the test"
        )]
        tokio::spawn(served);
        *self.up.lock().unwrap() = up;
    }

    /// Closes all connections and accepts no more.
    pub fn go_down(&self) {
        self.up.lock().unwrap().cancel();
    }

    /// Serves again, at the same address.
    pub async fn come_up(&self) {
        let address = self.url.trim_start_matches("http://");
        self.serve(TcpListener::bind(address).await.unwrap());
    }
}

/// What all regions have billed.
#[derive(Default)]
pub struct Bill {
    lines: Vec<Value>,
}

impl Bill {
    /// Fetches what was billed since the last time.
    pub fn fetch(&mut self, regions: &[Region]) {
        let new = regions
            .iter()
            .flat_map(|region| region.simulator.take_invocations());
        self.lines.extend(new);
    }

    pub fn lines(&self) -> &[Value] {
        &self.lines
    }

    /// Returns the cost of each call, in nano-dollars.
    pub fn by_call(&self) -> BTreeMap<String, i64> {
        ledger::bill(&self.lines)
    }
}
