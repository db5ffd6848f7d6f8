//! The comparison: the proxy and the gateway do the same work in front of one mock upstream.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;

use crate::{
    BoxError,
    load::{self, Expect, Job, Outcome},
    mock::DELTAS,
    process::{Process, free_address},
    table::{self, Row},
};

const CONNECTIONS: usize = 16;
const HELD_STREAMS: usize = 1000;
/// Requests per second. Low enough that no queue builds up on two cores.
const OPEN_LOOP_RATE: f64 = 200.0;

const TEXT: &str = "You are a helpful assistant who answers in one short paragraph. What is the capital of France, and why?";

struct Bench {
    proxy: Process,
    lintel: Process,
    /// The gateway with a ledger on disk, and with limits and budgets on every call.
    governed: Process,
    addresses: [std::net::SocketAddr; 4],
    seconds: u64,
}

pub async fn run(lintel: &Path, seconds: u64) -> Result<(), BoxError> {
    let own = std::env::current_exe()?;
    let (mock_at, proxy_at, lintel_at, admin_at) = (
        free_address()?,
        free_address()?,
        free_address()?,
        free_address()?,
    );
    let _mock = Process::start(&own, &["mock", &mock_at.to_string()], &[], mock_at)?;
    let proxy = Process::start(
        &own,
        &["proxy", &proxy_at.to_string(), &mock_at.to_string()],
        &[],
        proxy_at,
    )?;
    let (governed_at, governed_admin_at) = (free_address()?, free_address()?);
    let folder = std::env::temp_dir().join(format!("lintel-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let ledger = format!("sqlite:{}", folder.join("lintel.db").display());
    let configs = [
        (lintel_at, admin_at, "memory:", ""),
        (governed_at, governed_admin_at, ledger.as_str(), GOVERNANCE),
    ];
    let configs = configs.map(|(data, admin, store, more)| {
        let path = folder.join(format!("{}.toml", data.port()));
        fs::write(
            &path,
            configuration(
                &mock_at.to_string(),
                &data.to_string(),
                &admin.to_string(),
                store,
                more,
            ),
        )
        .map(|()| path.to_string_lossy().into_owned())
    });
    let [plain, with_ledger] = configs;
    let environment = [
        ("BENCH_KEY", "sk-bench-0123456789abcdef0123456789abcdef"),
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let start =
        |config: &str, at| Process::start(lintel, &["serve", "--config", config], &environment, at);
    let (lintel, governed) = (
        start(&plain?, lintel_at)?,
        start(&with_ledger?, governed_at)?,
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bench = Bench {
        proxy,
        lintel,
        governed,
        addresses: [mock_at, proxy_at, lintel_at, governed_at],
        seconds,
    };
    let rows = bench.measure().await;
    drop(bench);
    fs::remove_dir_all(&folder)?;
    let rows = rows?;
    println!(
        "{CONNECTIONS} connections, {seconds} s per measurement, {DELTAS} chunks per stream; the access log goes to /dev/null"
    );
    println!();
    table::print(&rows);
    Ok(())
}

/// Limits and budgets that apply to every call of the governed gateway and reject none.
const GOVERNANCE: &str = r#"
limits = { requests_per_minute = 60000000, burst = 1000000, tokens_per_minute = 4000000000, in_flight = 100000 }
budget = [{ usd = 1000000, per = "day" }, { usd = 10000000, per = "month" }]
team = "bench"
[teams.bench]
budget = { usd = 10000000, per = "month" }
[budget]
usd = 10000000
per = "month"
"#;

fn configuration(mock: &str, data: &str, admin: &str, store: &str, more: &str) -> String {
    let models = ["each", "burst", "paced", "slow"];
    let models = models.iter().map(|name| {
        format!("[models.{name}]\ntarget = \"bench.{name}\"\nprice = {{ input = 1, output = 5 }}\n")
    });
    let models: String = models.collect();
    format!(
        "[server]\nlisten = \"{data}\"\n[admin]\nlisten = \"{admin}\"\n[aws]\nregion = \"us-east-1\"\nendpoint_url = \"http://{mock}\"\n\
         [store]\nurl = \"{store}\"\n{models}[keys.bench]\nsecret_env = \"BENCH_KEY\"\n{more}"
    )
}

/// The path and body of the request in Bedrock's format.
fn converse(model: &str, stream: bool) -> (String, Bytes) {
    let operation = if stream {
        "converse-stream"
    } else {
        "converse"
    };
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"text":"{TEXT}"}}]}}],"inferenceConfig":{{"maxTokens":4096}}}}"#
    );
    (format!("/model/bench.{model}/{operation}"), body.into())
}

/// The path and body of the same request in OpenAI's format.
fn chat(model: &str, stream: bool) -> (String, Bytes) {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"{TEXT}"}}],"stream":{stream}}}"#
    );
    ("/v1/chat/completions".to_owned(), body.into())
}

impl Bench {
    async fn measure(&self) -> Result<Vec<Row>, BoxError> {
        let mut rows = Vec::new();
        let idle = (self.proxy.rss()?, self.lintel.rss()?);
        rows.push(row(
            "start-up",
            Some(millis(self.proxy.start_up)),
            millis(self.lintel.start_up),
            "ms",
            Some(100.0),
            false,
        ));
        rows.push(row(
            "RSS idle",
            Some(idle.0),
            idle.1,
            "MiB",
            Some(30.0),
            false,
        ));
        for (model, what, target) in [
            ("whole", "CPU per whole request", 9.0),
            ("each", "CPU per streamed chunk, one write per event", 2.5),
            ("burst", "CPU per streamed chunk, in one burst", 12.0),
            ("paced", "CPU per streamed chunk, paced at 10 ms", 1.5),
        ] {
            self.closed_loop(model, what, target, &mut rows).await?;
        }
        self.governance(&mut rows).await?;
        self.latency(&mut rows).await?;
        rows.push(row(
            "RSS after load",
            Some(self.proxy.rss()?),
            self.lintel.rss()?,
            "MiB",
            None,
            false,
        ));
        let held = load::hold(&self.job("slow", true, 1), HELD_STREAMS).await?;
        let proxy = self.proxy.rss()?;
        drop(held);
        let held = load::hold(&self.job("slow", true, 2), HELD_STREAMS).await?;
        rows.push(row(
            &format!("RSS with {HELD_STREAMS} open streams"),
            Some(proxy),
            self.lintel.rss()?,
            "MiB",
            Some(100.0),
            false,
        ));
        drop(held);
        Ok(rows)
    }

    /// `whom`: 0 is the mock itself, 1 the proxy, 2 the gateway, 3 the governed gateway.
    fn job(&self, model: &str, stream: bool, whom: usize) -> Job {
        let (path, body) = if whom >= 2 {
            chat(model, stream)
        } else {
            converse(model, stream)
        };
        let expect = match (stream, whom) {
            (false, _) => Expect::Whole,
            (true, 2..) => Expect::Events,
            (true, _) => Expect::Frames,
        };
        Job {
            address: self.addresses[whom],
            path,
            body,
            expect,
        }
    }

    async fn closed_loop(
        &self,
        model: &str,
        what: &str,
        target: f64,
        rows: &mut Vec<Row>,
    ) -> Result<(), BoxError> {
        let stream = model != "whole";
        let model = if stream { model } else { "each" };
        let connections = if model == "paced" { 200 } else { CONNECTIONS };
        let duration = Duration::from_secs(self.seconds);
        let mut measured = Vec::new();
        for (whom, process) in [(1, &self.proxy), (2, &self.lintel)] {
            let job = self.job(model, stream, whom);
            // Warms up connections, clients and caches before the measurement.
            load::closed(&job, CONNECTIONS, Duration::from_millis(500)).await?;
            let before = process.cpu()?;
            let outcome: Outcome = load::closed(&job, connections, duration).await?;
            let units = outcome.requests * if stream { DELTAS } else { 1 };
            let cpu = (process.cpu()? - before).as_secs_f64() * 1e6 / units as f64;
            measured.push((
                cpu,
                outcome.per_second() * if stream { DELTAS as f64 } else { 1.0 },
            ));
        }
        let [(proxy_cpu, proxy_rate), (cpu, rate)] = measured[..] else {
            return Err("two were measured".into());
        };
        rows.push(row(what, Some(proxy_cpu), cpu, "us", Some(target), true));
        if model != "paced" {
            let rate_of = if stream {
                format!("chunks per second ({model})")
            } else {
                "whole requests per second".to_owned()
            };
            rows.push(row(&rate_of, Some(proxy_rate), rate, "/s", None, false));
        }
        Ok(())
    }

    /// Measures the cost of limits, budgets and the ledger on disk: the governed gateway against the plain one.
    async fn governance(&self, rows: &mut Vec<Row>) -> Result<(), BoxError> {
        let duration = Duration::from_secs(self.seconds);
        let mut measured = Vec::new();
        for (whom, process) in [(2, &self.lintel), (3, &self.governed)] {
            let job = self.job("each", false, whom);
            load::closed(&job, CONNECTIONS, Duration::from_millis(500)).await?;
            let before = process.cpu()?;
            let outcome = load::closed(&job, CONNECTIONS, duration).await?;
            measured.push((process.cpu()? - before).as_secs_f64() * 1e6 / outcome.requests as f64);
        }
        let [plain, governed] = measured[..] else {
            return Err("two were measured".into());
        };
        rows.push(row(
            "CPU per whole request, without and with limits, budgets and ledger",
            Some(plain),
            governed,
            "us",
            Some(1.5),
            true,
        ));
        Ok(())
    }

    /// Measures added latency: the latency through a program minus that of the mock itself, at a rate that both sustain.
    async fn latency(&self, rows: &mut Vec<Row>) -> Result<(), BoxError> {
        let duration = Duration::from_secs(self.seconds);
        let mut quantiles = Vec::new();
        for whom in 0..4 {
            let mut outcome = load::open(
                &self.job("each", false, whom),
                CONNECTIONS,
                OPEN_LOOP_RATE,
                duration,
            )
            .await?;
            quantiles.push((outcome.quantile(0.5), outcome.quantile(0.99)));
        }
        let [direct, proxy, lintel, governed] = quantiles[..] else {
            return Err("four were measured".into());
        };
        for (what, of) in [("p50", 0), ("p99", 1)] {
            let at = |pair: (f64, f64)| if of == 0 { pair.0 } else { pair.1 };
            let what = format!(
                "added latency {what}, 200 requests per second, with limits, budgets and ledger"
            );
            rows.push(row(
                &what,
                Some(at(proxy) - at(direct)),
                at(governed) - at(direct),
                "us",
                None,
                false,
            ));
        }
        rows.push(row(
            "added latency p50, 200 requests per second",
            Some(proxy.0 - direct.0),
            lintel.0 - direct.0,
            "us",
            None,
            false,
        ));
        rows.push(row(
            "added latency p99, 200 requests per second",
            Some(proxy.1 - direct.1),
            lintel.1 - direct.1,
            "us",
            None,
            false,
        ));
        Ok(())
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn row(
    what: &str,
    proxy: Option<f64>,
    lintel: f64,
    unit: &'static str,
    target: Option<f64>,
    of_ratio: bool,
) -> Row {
    Row {
        what: what.to_owned(),
        proxy,
        lintel,
        unit,
        target,
        of_ratio,
    }
}
