//! Everything at random, for long: three regions whose requests fail at random, and of which one after the other goes down;
//! reloads; kills. `make test-soak` runs it for twenty minutes.

mod clients;
mod regions;

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use self::{
    clients::{Place, Seen},
    regions::{Bill, Region},
};
use crate::{
    kills::{
        gateway::{Running, set_offset},
        ledger::{Ledger, reconcile},
    },
    support::{ADMIN_TOKEN, sha256},
};

const SECRET: &str = "sk-test-chaos";
/// How long it runs, unless `LINTEL_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 12;
/// The longest time between reloads.
const RELOADS: Duration = Duration::from_secs(30);
/// Seconds by which the clock of the gateway is behind, because a log of Bedrock is complete only about the past.
const BEHIND: i64 = -400 * 24 * 3600;
/// Memory that a gateway may gain after its first seconds, in KiB.
const GROWTH: u64 = 64 * 1024;

fn configuration(folder: &Path, regions: &[Region], limit: u32) -> String {
    let endpoints = regions.iter().map(|region| {
        let Region { name, url, .. } = region;
        format!("[aws.regions.{name}]\nendpoint_url = \"{url}\"\n")
    });
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [admin]
        listen = "127.0.0.1:0"
        [store]
        url = "sqlite:{database}"
        retention = "3650d"
        [aws]
        region = "us-east-1"
        {endpoints}
        [models.priced]
        target = "us.amazon.nova-lite-v1:0"
        regions = ["us-east-1", "us-east-2", "us-west-2"]
        strategy = "round_robin"
        max_tokens = 100
        timeout = "5s"
        first_token_timeout = "5s"
        idle_timeout = "2s"
        price = {{ input = 2.0, output = 10.0 }}
        [keys.chaos]
        sha256 = "{digest}"
        limits = {{ requests_per_minute = {limit} }}
        budget = {{ usd = 1000000, per = "day" }}
        "#,
        database = folder.join("lintel.db").display(),
        endpoints = endpoints.collect::<String>(),
        digest = sha256(SECRET),
    )
}

struct Chaos {
    folder: tempfile::TempDir,
    regions: [Region; 3],
    place: Arc<Place>,
    total: Duration,
    began: Instant,
}

impl Chaos {
    async fn new(total: Duration) -> Self {
        let regions = [
            Region::new("us-east-1").await,
            Region::new("us-east-2").await,
            Region::new("us-west-2").await,
        ];
        let chaos = Self {
            folder: tempfile::tempdir().unwrap(),
            regions,
            place: Arc::default(),
            total,
            began: Instant::now(),
        };
        chaos.write(1_000_000);
        set_offset(chaos.folder.path(), BEHIND);
        chaos
    }

    fn write(&self, limit: u32) {
        let folder = self.folder.path();
        let text = configuration(folder, &self.regions, limit);
        fs::write(folder.join("lintel.toml"), text).unwrap();
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.total
    }

    /// Takes one region after the other down for a sixth of the time each.
    async fn outages(&self) {
        for region in &self.regions {
            sleep(self.total / 6).await;
            region.go_down();
            sleep(self.total / 6).await;
            region.come_up().await;
        }
    }

    /// Runs gateways and kills them. Returns the number of reloads.
    async fn gateways(&self) -> u64 {
        let (runs, reloads) = (4, RELOADS.min(self.total / 20));
        let mut reloaded = 0;
        for run in 1..=runs {
            let running = Running::start(self.folder.path(), None).unwrap();
            self.place.set(&running.data);
            let mut first = None;
            while self.began.elapsed() < self.total * run / runs {
                sleep(reloads).await;
                reloaded += 1;
                self.write(1_000_000 + u32::try_from(reloaded).unwrap());
                reload(&running).await;
                let memory = running.memory();
                let first = *first.get_or_insert(memory);
                assert!(memory < first + GROWTH, "{first} -> {memory} KiB");
            }
            self.place.killed();
            drop(running);
        }
        reloaded
    }

    /// Collects what is billed until the end.
    async fn bill(&self) -> Bill {
        let mut bill = Bill::default();
        while !self.is_over() {
            sleep(Duration::from_millis(200)).await;
            bill.fetch(&self.regions);
        }
        bill
    }
}

async fn reload(running: &Running) {
    let reply = reqwest::Client::new()
        .post(format!("{}/admin/reload", running.admin))
        .bearer_auth(ADMIN_TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_106_regions_fail_and_clients_do_not_notice() {
    let seconds = env::var("LINTEL_CHAOS_SECONDS").ok();
    let seconds = seconds
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS);
    let chaos = Chaos::new(Duration::from_secs(seconds)).await;
    let (seen, stop) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default());
    let calls = async {
        let clients = clients::start(&chaos.place, &seen, &stop);
        while !chaos.is_over() {
            sleep(Duration::from_millis(50)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    };
    let (mut bill, reloads, (), ()) =
        tokio::join!(chaos.bill(), chaos.gateways(), chaos.outages(), calls);
    bill.fetch(&chaos.regions);

    let ledger = Ledger::open(&chaos.folder.path().join("lintel.db"));
    let billed = bill.by_call();
    ledger.check(&[], &billed);
    let before = ledger.kinds();
    let reconciled = reconcile(chaos.folder.path(), bill.lines());
    ledger.check_equal(&billed);
    let (calls, errors) = (
        seen.calls.load(Ordering::Relaxed),
        seen.errors.lock().unwrap(),
    );
    println!(
        "{seconds} s, {calls} calls, {} streams that broke, {} other errors, {reloads} reloads; {before:?}, {reconciled}",
        seen.broken.load(Ordering::Relaxed),
        errors.len(),
    );
    assert!(calls > 10 * seconds, "{calls} calls");
    // A service that accepts a whole request and never answers cannot be told from one that thinks.
    assert!(
        errors.len() as u64 <= 3 + calls / 1000,
        "{calls} calls: {errors:#?}"
    );
}
