//! The gateway in a process of its own, so that it can be killed.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use jiff::{SignedDuration, Timestamp};
use lintel::{
    app::{App, Source},
    call::Secret,
    config::{self, Environment},
    governance::Clock,
    telemetry::Telemetry,
};
use tokio_util::sync::CancellationToken;

use crate::support::ADMIN_TOKEN;

/// The folder with the configuration and the clock. Set only in the process that is killed.
const FOLDER: &str = "LINTEL_KILLED_GATEWAY";

/// What the line with the ports begins with.
const READY: &str = "ready ";

/// Runs the gateway if [`FOLDER`] is set. An ordinary run of the tests has nothing to do here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let environment = Environment {
        variables: vec![("LINTEL_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned())],
        flags: Vec::new(),
    };
    let text = fs::read_to_string(folder.join("lintel.toml")).unwrap();
    let (mut config, values) = config::parse(&text, &environment, None).unwrap();
    config.aws.settings.static_credentials = Some(("simulator".into(), Secret::new("simulator")));
    let clock_folder = folder.clone();
    let clock = Clock::new(move || Timestamp::now() + read_offset(&clock_folder));
    let telemetry = Telemetry::install(None).unwrap();
    let mut app = App::bind_at(config, telemetry, clock).await.unwrap();
    app.source = Some(Source {
        path: folder.join("lintel.toml"),
        environment,
        text,
        values,
    });
    println!("\n{READY}{} {}", app.data_addr, app.admin_addr);
    app.run(CancellationToken::new()).await;
}

fn read_offset(folder: &Path) -> SignedDuration {
    let text = fs::read_to_string(folder.join("clock")).unwrap();
    SignedDuration::from_secs(text.parse().unwrap())
}

/// Sets how far the clock of the gateway is ahead of the system's, in seconds.
pub fn set_offset(folder: &Path, seconds: i64) {
    let new = folder.join("clock.new");
    fs::write(&new, seconds.to_string()).unwrap();
    fs::rename(&new, folder.join("clock")).unwrap();
}

/// A gateway that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    pub data: String,
    pub admin: String,
}

impl Running {
    /// Starts the gateway. No file may grow beyond `most_bytes`, if set: a write beyond it fails as on a full disk. None if
    /// the gateway did not start.
    pub fn start(folder: &Path, most_bytes: Option<u64>) -> Option<Self> {
        let own = std::env::current_exe().unwrap();
        let limit = most_bytes.map_or_else(
            || "unlimited".to_owned(),
            |bytes| bytes.div_ceil(512).to_string(),
        );
        // Without the trap, the signal would kill the process.
        let script = r#"trap "" XFSZ; ulimit -f "$1"; shift; exec "$@""#;
        let mut child = Command::new("sh")
            .args(["-c", script, "sh", &limit])
            .arg(own)
            .args([
                "--exact",
                "kills::gateway::process_that_is_killed",
                "--nocapture",
            ])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let ports = lines.find_map(|line| Some(line.strip_prefix(READY)?.to_owned()));
        // The test harness of the process writes a line after a minute, and ends if nobody reads it.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(ports) = ports else {
            child.wait().unwrap();
            return None;
        };
        let (data, admin) = ports.split_once(' ').unwrap();
        Some(Self {
            child,
            data: format!("http://{data}"),
            admin: format!("http://{admin}"),
        })
    }
}

impl Running {
    /// Returns its resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
