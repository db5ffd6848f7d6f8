//! Kills the gateway at random moments, while its clock jumps and its ledger is locked or its disk full. No call is lost or
//! settled twice, no budget is exceeded, and after a reconciliation the ledger equals the bill.

mod clients;
pub mod gateway;
pub mod ledger;

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use lintel::simulator::{self, SecretKey, Simulator};
use serde_json::Value;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{ADMIN_TOKEN, money::nano, sha256};
use gateway::{Running, set_offset};
use ledger::{Ledger, Terms};

/// The number of kills. `LINTEL_KILLS` sets another.
const KILLS: u64 = 4;

/// The strict budgets. They end at half past an hour, at a midnight that does not exist once a year, at a month's end.
const BUDGETS: [Terms; 4] = [
    Terms {
        id: "key:one/hour",
        owner: "one",
        timezone: "Asia/Kolkata",
        period: "%F %H",
        limit: 60_000_000,
    },
    Terms {
        id: "key:one/day",
        owner: "one",
        timezone: "America/Havana",
        period: "%F",
        limit: 90_000_000,
    },
    Terms {
        id: "key:two/day",
        owner: "two",
        timezone: "Australia/Lord_Howe",
        period: "%F",
        limit: 50_000_000,
    },
    Terms {
        id: "team:all/month",
        owner: "all",
        timezone: "Europe/Berlin",
        period: "%Y-%m",
        limit: 900_000_000,
    },
];

fn configuration(folder: &Path, endpoint: &str) -> String {
    let database = folder.join("lintel.db");
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
        endpoint_url = "{endpoint}"
        [defaults.retry]
        attempts = 3
        base = "1ms"
        [models.priced]
        target = "amazon.nova-lite-v1:0"
        max_tokens = 100
        timeout = "300ms"
        price = {{ input = 2.0, output = 10.0 }}
        [teams.all]
        budget = {{ usd = 0.9, per = "month", timezone = "Europe/Berlin" }}
        [keys.one]
        sha256 = "{one}"
        team = "all"
        budget = [
            {{ usd = 0.06, per = "hour", timezone = "Asia/Kolkata", wait = "20ms" }},
            {{ usd = 0.09, per = "day", timezone = "America/Havana", fit = true }},
        ]
        [keys.two]
        sha256 = "{two}"
        team = "all"
        budget = {{ usd = 0.05, per = "day", timezone = "Australia/Lord_Howe" }}
        [keys.broken]
        sha256 = "{broken}"
        budget = {{ usd = 1000, per = "day", mode = "sliced" }}
        "#,
        database = database.display(),
        one = sha256("sk-test-one"),
        two = sha256("sk-test-two"),
        broken = sha256("sk-test-broken"),
    )
}

/// Everything that outlives a kill.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let simulator = Simulator::new(SecretKey {
            access_key_id: "simulator".into(),
            secret_access_key: "simulator".into(),
        });
        let served = simulator::serve(listener, simulator.router(), CancellationToken::new());
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the runtime of the test"
        )]
        tokio::spawn(served);
        let text = configuration(folder.path(), &endpoint);
        fs::write(folder.path().join("lintel.toml"), text).unwrap();
        set_offset(folder.path(), next_offset(&mut Rng::new()));
        Self { folder, simulator }
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.folder.path().join("lintel.db"))
    }

    fn bill(&self) -> BTreeMap<String, i64> {
        ledger::bill(&self.simulator.invocations())
    }

    /// Runs the gateway for a while, and kills it.
    async fn round(&self, rng: &mut Rng) {
        let folder = self.folder.path();
        set_offset(folder, next_offset(rng));
        // Room for the database as it is, and a little of its log.
        let size = fs::metadata(folder.join("lintel.db")).map_or(0, |file| file.len());
        let is_full = size > 0 && rng.u8(0..5) == 0;
        let most = is_full.then(|| size.max(200_000) + rng.u64(0..300_000));
        let Some(running) = Running::start(folder, most) else {
            assert!(is_full, "the gateway did not start");
            return;
        };
        let stop = Arc::new(AtomicBool::new(false));
        let clients = clients::start(&running.data, &stop, rng);
        for _ in 0..rng.u8(1..7) {
            match rng.u8(0..4) {
                0 => set_offset(folder, next_offset(rng)),
                1 => {
                    let lock = self.ledger().lock();
                    sleep(Duration::from_millis(rng.u64(0..700))).await;
                    drop(lock);
                }
                _ => sleep(Duration::from_millis(rng.u64(0..500))).await,
            }
        }
        drop(running);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        self.ledger().check(&BUDGETS, &self.bill());
    }

    fn reconcile(&self) -> Value {
        ledger::reconcile(self.folder.path(), &self.simulator.invocations())
    }

    /// Checks that a gateway reports the balances that follow from the ledger.
    async fn check_balances(&self, rng: &mut Rng) {
        let folder = self.folder.path();
        let offset = next_offset(rng);
        set_offset(folder, offset);
        let running = Running::start(folder, None).unwrap();
        let shown = reqwest::Client::new()
            .get(format!("{}/admin/budgets", running.admin))
            .bearer_auth(ADMIN_TOKEN)
            .send()
            .await
            .unwrap();
        let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
        let now = Timestamp::now() + offset.seconds();
        for terms in &BUDGETS {
            let budgets = shown["budgets"].as_array().unwrap();
            let own = budgets.iter().find(|budget| budget["id"] == terms.id);
            let settled = nano(own.unwrap()["settled_usd"].as_str().unwrap());
            assert_eq!(settled, self.ledger().settled(terms, now), "{}", terms.id);
        }
    }
}

/// Returns how far the clock is ahead, in seconds. It is always behind, because a log can only be complete about the past:
/// near a day of last year, near the next change of the clocks, or near the end of a period.
fn next_offset(rng: &mut Rng) -> i64 {
    let system = Timestamp::now();
    let now = system - SignedDuration::from_hours(400 * 24);
    let terms = &BUDGETS[rng.usize(0..BUDGETS.len())];
    let timezone = TimeZone::get(terms.timezone).unwrap();
    let near = match rng.u8(0..6) {
        0 => now,
        1 => now + rng.i64(-7200..7200).seconds(),
        2 => timezone
            .following(now)
            .next()
            .map_or(now, |change| change.timestamp()),
        3 => {
            let local = now.to_zoned(timezone).start_of_day().unwrap();
            (&local + rng.i64(-1..3).days()).timestamp()
        }
        4 => {
            let local = now.to_zoned(timezone).first_of_month().unwrap();
            let month = &local + rng.i64(-1..2).months();
            month.start_of_day().unwrap().timestamp()
        }
        _ => Timestamp::from_second(now.as_second() / 1800 * 1800).unwrap(),
    };
    (near - system).get_seconds() + rng.i64(-2..2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_gateway_loses_no_call_and_exceeds_no_budget() {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let kills = number("LINTEL_KILLS").unwrap_or(KILLS);
    let seed = number("LINTEL_PROPERTY_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let mut rng = Rng::with_seed(seed);
    println!("LINTEL_PROPERTY_SEED={seed}");
    let bench = Bench::new().await;
    let mut rounds = 0;
    // On a busy machine, a gateway may be killed before its first call.
    while rounds < kills || (bench.bill().len() as u64 <= kills && rounds < 10 * kills) {
        bench.round(&mut rng).await;
        rounds += 1;
    }
    bench.check_balances(&mut rng).await;
    let before = bench.ledger().kinds();
    let reconciled = bench.reconcile();
    println!(
        "{rounds} kills, {} calls billed: {before:?}, {reconciled}",
        bench.bill().len()
    );
    let bill = bench.bill();
    assert!(bill.len() as u64 > kills, "{} calls", bill.len());
    bench.ledger().check(&BUDGETS, &bill);
    bench.ledger().check_equal(&bill);
    bench.check_balances(&mut rng).await;
    assert_eq!(bench.reconcile()["corrected_records"], 0);
}
