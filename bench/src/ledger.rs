//! The gateway over a ledger of the size of some years: its start, its memory, and the time that a budget adds to a call,
//! also while metrics are scraped and a report runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use crate::{
    BoxError,
    load::{self, Expect, Job},
    process::{Process, free_address},
};

const CONNECTIONS: usize = 16;
const RATE: f64 = 200.0;

/// The token of the admin port.
const TOKEN: &str = "bench-admin-0123456789abcdef0123456789abcdef";

/// The size of the ledger.
#[derive(clap::Args, Clone, Copy)]
pub struct Size {
    #[arg(long, default_value_t = 10_000_000)]
    records: i64,
    /// The number of virtual keys
    #[arg(long, default_value_t = 100_000)]
    keys: i64,
    /// The number of keys with a budget
    #[arg(long, default_value_t = 20_000)]
    budgets: i64,
    /// Keeps the ledger, and measures it again next time as it is
    #[arg(long)]
    keep: bool,
}

pub async fn run(lintel: &Path, folder: &Path, size: Size, seconds: u64) -> Result<(), BoxError> {
    fs::create_dir_all(folder)?;
    let bench = Bench::new(lintel, folder)?;
    let file = folder.join("lintel.db");
    if !file.exists() {
        // The gateway creates the tables.
        let created = bench.start("governed.toml")?;
        bench.get("/healthz").await?;
        drop(created);
        let began = Instant::now();
        fill(&file, size)?;
        eprintln!("the ledger was filled in {:.0?}", began.elapsed());
    }
    let result = bench.measure(size, Duration::from_secs(seconds)).await;
    let names = ["lintel.db", "lintel.db-wal", "lintel.db-shm"];
    for name in names.iter().filter(|_| !size.keep) {
        let _ = fs::remove_file(folder.join(name));
    }
    result
}

/// Fills the tables. Each key has its calls in a few quarters of an hour of the last 60 days.
fn fill(path: &Path, size: Size) -> Result<(), BoxError> {
    let Size {
        records,
        keys,
        budgets,
        ..
    } = size;
    let mut connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")?;
    let transaction = connection.transaction()?;
    transaction.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
         INSERT INTO keys (id, name, sha256, settings, metadata, created_at)
         SELECT printf('k%011d', i), 'bench', printf('%064x', i),
         CASE WHEN i < ?2 THEN '{\"budget\":{\"usd\":1000,\"per\":\"month\"}}' ELSE '{}' END, '{}', 0 FROM n",
        params![keys, budgets],
    )?;
    transaction.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
         INSERT INTO records (request_id, at, ended_at, key_id, team, end_user, model, target, region, input, cache_read,
         cache_write_5m, cache_write_1h, output, reasoning, server_tool_uses, price, cost, kind, status, how, attempts)
         SELECT printf('req_%022d', i), (?3 - i * ?4 / ?1) * 1000, (?3 - i * ?4 / ?1) * 1000 + 900,
         printf('k%011d', (i / 10) % ?2), '', '', 'each', 'bench.each', 'us-east-1', 20, 0, 0, 0, 20, 0, 0, '1/5/-/-/-',
         120000, 'actual', 'ok', 'ok', 1 FROM n",
        params![records, keys, now()?, 60 * 86_400],
    )?;
    transaction.execute(
        "INSERT INTO rollups (quarter, key_id, team, end_user, model, kind, calls, input, cache_read, cache_write, output, cost)
         SELECT at / 900000 * 900, key_id, team, end_user, model, kind, COUNT(*), SUM(input), 0, 0, SUM(output), SUM(cost)
         FROM records GROUP BY 1, 2, 3, 4, 5, 6",
        [],
    )?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
    let rollups: i64 =
        connection.query_row("SELECT COUNT(*) FROM rollups", [], |row| row.get(0))?;
    eprintln!(
        "{records} records, {rollups} roll-ups, {keys} keys, {budgets} of them with a budget"
    );
    Ok(())
}

fn now() -> Result<i64, BoxError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

struct Bench {
    lintel: PathBuf,
    folder: PathBuf,
    _mock: Process,
    mock: std::net::SocketAddr,
    data: std::net::SocketAddr,
    admin: std::net::SocketAddr,
}

impl Bench {
    fn new(lintel: &Path, folder: &Path) -> Result<Self, BoxError> {
        let (mock, data, admin) = (free_address()?, free_address()?, free_address()?);
        let own = std::env::current_exe()?;
        let process = Process::start(&own, &["mock", &mock.to_string()], &[], mock)?;
        let file = folder.join("lintel.db");
        let ledger = format!("sqlite:{}", file.display());
        let budget = r#"budget = { usd = 1000000, per = "month" }"#;
        for (name, store, budget) in [
            ("plain.toml", "memory:", ""),
            ("governed.toml", ledger.as_str(), budget),
        ] {
            let text = format!(
                "[server]\nlisten = \"{data}\"\n[admin]\nlisten = \"{admin}\"\n[aws]\nregion = \"us-east-1\"\n\
                 endpoint_url = \"http://{mock}\"\n[store]\nurl = \"{store}\"\n[models.each]\ntarget = \"bench.each\"\n\
                 price = {{ input = 1, output = 5 }}\n[keys.bench]\nsecret_env = \"BENCH_KEY\"\n{budget}\n"
            );
            fs::write(folder.join(name), text)?;
        }
        Ok(Self {
            lintel: lintel.to_owned(),
            folder: folder.to_owned(),
            _mock: process,
            mock,
            data,
            admin,
        })
    }

    fn start(&self, config: &str) -> Result<Process, BoxError> {
        let config = self.folder.join(config);
        let environment = [
            ("BENCH_KEY", "sk-bench-0123456789abcdef0123456789abcdef"),
            ("LINTEL_ADMIN_TOKEN", TOKEN),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let config = config.to_string_lossy();
        Process::start(
            &self.lintel,
            &["serve", "--config", &config],
            &environment,
            // Bound after the other port.
            self.admin,
        )
    }

    async fn measure(&self, size: Size, duration: Duration) -> Result<(), BoxError> {
        let began = Instant::now();
        let plain = self.start("plain.toml")?;
        println!("| what | p50 | p99 |");
        println!("|---|---|---|");
        self.latency("without a ledger", duration).await?;
        let memory = plain.rss()?;
        drop(plain);
        let governed = self.start("governed.toml")?;
        let first = Instant::now();
        // The port is open before the keys are loaded, and answers after that.
        self.get("/healthz").await?;
        let ready = governed.start_up + first.elapsed();
        self.latency("with the ledger", duration).await?;
        let scrape = self.repeated("/metrics");
        self.beside(
            "with the ledger, while metrics are scraped",
            duration,
            scrape,
        )
        .await?;
        let since = 90;
        let report = format!("/admin/usage?by=key,model&since={since}d");
        let report = self.repeated(&report);
        self.beside("with the ledger, while a report runs", duration, report)
            .await?;
        println!();
        println!(
            "{} records, {} keys, {} budgets: start-up {:.2?}, memory {:.0} MiB (without a ledger {memory:.0} MiB), {:.0?} in all",
            size.records,
            size.keys,
            size.budgets,
            ready,
            governed.rss()?,
            began.elapsed()
        );
        Ok(())
    }

    /// Measures what the gateway adds to the latency of the mock.
    async fn latency(&self, what: &str, duration: Duration) -> Result<(), BoxError> {
        let body = r#"{"model":"each","messages":[{"role":"user","content":"What is the capital of France?"}],"stream":false}"#;
        let gateway = Job {
            address: self.data,
            path: "/v1/chat/completions".to_owned(),
            body: body.into(),
            expect: Expect::Whole,
        };
        let direct = Job {
            address: self.mock,
            path: "/model/bench.each/converse".to_owned(),
            body: r#"{"messages":[{"role":"user","content":[{"text":"What is the capital of France?"}]}]}"#.into(),
            expect: Expect::Whole,
        };
        let mut quantiles = Vec::new();
        for job in [direct, gateway] {
            let mut outcome = load::open(&job, CONNECTIONS, RATE, duration).await?;
            quantiles.push((outcome.quantile(0.5), outcome.quantile(0.99)));
        }
        let [direct, gateway] = quantiles[..] else {
            return Err("two were measured".into());
        };
        println!(
            "| {what} | {:.0} us | {:.0} us |",
            gateway.0 - direct.0,
            gateway.1 - direct.1
        );
        Ok(())
    }

    /// Measures the latency while `work` runs, and prints how long that took.
    async fn beside(
        &self,
        what: &str,
        duration: Duration,
        work: impl Future<Output = BoxError>,
    ) -> Result<(), BoxError> {
        tokio::select! {
            error = work => Err(error),
            done = self.latency(what, duration) => done,
        }
    }

    /// Gets `path` again and again. Returns the first error.
    async fn repeated(&self, path: &str) -> BoxError {
        let mut is_first = true;
        loop {
            let began = Instant::now();
            match self.get(path).await {
                Ok(bytes) if is_first => {
                    eprintln!("{path}: {bytes} bytes in {:.2?}", began.elapsed());
                    is_first = false;
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Gets a path of the admin port, and returns the size of the reply.
    async fn get(&self, path: &str) -> Result<usize, BoxError> {
        load::get(self.admin, path, TOKEN).await
    }
}
