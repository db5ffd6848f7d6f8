//! The gateway and the simulators of a soak: their configuration, keys and limits.

use std::{fs, net::SocketAddr, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    BoxError,
    process::{Process, free_address},
};

/// The limit of the flooding key. The flood sends a hundred times as much.
pub const FLOOD_LIMIT: u32 = 600;
/// Bodies may fill this memory exactly once.
pub const BODIES: usize = 16 << 20;
/// Descriptors that the full storm needs in one process.
const FULL_STORM: u64 = 16_000;

const KEYS: [(&str, &str); 4] = [
    ("GOOD", "sk-soak-good-0123456789abcdef0123456789"),
    ("FLOOD", "sk-soak-flood-0123456789abcdef0123456789"),
    ("SLOW", "sk-soak-slow-0123456789abcdef0123456789"),
    ("BREAKING", "sk-soak-breaking-0123456789abcdef0123456789"),
];

/// Returns the secret of a key.
pub fn secret(name: &str) -> &'static str {
    let found = KEYS.iter().find(|(key, _)| *key == name);
    found.map_or("", |(_, secret)| secret)
}

/// How many of each kind the storm has.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub strangers: usize,
    /// Slow readers, and as many slow writers.
    pub slow: usize,
    pub max_connections: usize,
    pub max_in_flight: usize,
}

impl Scale {
    /// Raises the limit of descriptors as far as allowed, for this process and those that it starts. If that is not enough for
    /// the full storm, everything becomes smaller.
    pub fn allowed() -> Result<Self, BoxError> {
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(u64::MAX);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
        let of = |full: u64| usize::try_from(full * most.min(FULL_STORM) / FULL_STORM);
        Ok(Self {
            strangers: of(10_000)?,
            slow: of(1_000)?,
            max_connections: of(10_000)?,
            max_in_flight: of(2_560)? / 16 * 16,
        })
    }
}

pub struct Setup {
    pub lintel: Process,
    /// The Bedrock of the well-behaved key.
    pub calm: Process,
    /// That of all others.
    pub stormy: Process,
    pub data: SocketAddr,
    pub admin: SocketAddr,
}

impl Setup {
    /// Starts all. The gateway has its files in `folder`.
    pub fn start(lintel: &Path, folder: &Path, scale: Scale) -> Result<Self, BoxError> {
        let (data, admin) = (free_address()?, free_address()?);
        let (own, others) = (free_address()?, free_address()?);
        let simulate = |address: &str| ["simulate", "--listen", address].map(str::to_owned);
        let [own_args, other_args] = [own, others].map(|address| simulate(&address.to_string()));
        let calm = Process::start(lintel, &own_args.each_ref().map(String::as_str), &[], own)?;
        let stormy =
            Process::start_behind(lintel, &other_args.each_ref().map(String::as_str), others)?;
        let config = folder.join("lintel.toml");
        let ledger = format!("sqlite:{}", folder.join("lintel.db").display());
        let mut text = format!(
            "[server]\nlisten = \"{data}\"\nkeep_alive = \"20s\"\nmax_connections = {}\nmax_in_flight = {}\n\
             max_body = \"{BODIES}B\"\nmax_buffered_bodies = \"{BODIES}B\"\n[admin]\nlisten = \"{admin}\"\n\
             [aws]\nregion = \"us-east-1\"\nendpoint_url = \"http://{others}\"\n\
             [aws.regions.us-west-2]\nendpoint_url = \"http://{own}\"\n[store]\nurl = \"{ledger}\"\n{MODELS}",
            scale.max_connections, scale.max_in_flight
        );
        for (name, _) in KEYS {
            let budget = r#"budget = { usd = 1000000, per = "day" }"#;
            text += &format!("[keys.{name}]\nsecret_env = \"{name}\"\n{budget}\n");
            if name == "FLOOD" {
                text += &format!("limits = {{ requests_per_minute = {FLOOD_LIMIT} }}\n");
            }
        }
        fs::write(&config, text)?;
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID", "simulator"),
            ("AWS_SECRET_ACCESS_KEY", "simulator"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        environment.extend(KEYS);
        let config = config.to_string_lossy();
        // The data port opens first.
        let lintel = Process::start(lintel, &["serve", "--config", &config], &environment, admin)?;
        Ok(Self {
            lintel,
            calm,
            stormy,
            data,
            admin,
        })
    }
}

/// One target in three regions, because what breaks in a region is held back there.
const MODELS: &str = r#"
[models.good]
target = "us.anthropic.claude-sonnet-5-5"
regions = ["us-west-2"]
[models.crowded]
target = "us.anthropic.claude-sonnet-5-5"
[models.fragile]
target = "us.anthropic.claude-sonnet-5-5"
regions = ["us-east-2"]
timeout = "5s"
first_token_timeout = "5s"
idle_timeout = "5s"
"#;
