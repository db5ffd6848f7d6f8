//! Assembly: builds a running gateway from a configuration.

mod lasting;
mod reload;
mod watch;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use arc_swap::ArcSwap;

pub use self::reload::Source;
use self::{lasting::Lasting, reload::Reloader};
use crate::{
    admin::{self, Admin, Api, KeyStore, Reload},
    call::{Alert, Alerts},
    config::{self, Config, ServerSettings},
    edge::{
        self, AwsPairs, DisconnectPolicy, Edge, Keys, Limits, Logins, Policies, Room, Seals,
        UsagePages,
    },
    governance::{Clock, Ledger, Responses},
    knowledge::BedrockKnowledgeBases,
    middleware::{CountsInFlight, Guard, InFlight, Outcomes, Outputs, RateLimit, Reasoning},
    operation::chat::route::has_mantle,
    server,
    telemetry::Telemetry,
    upstream::{Clients, Discovery, Guardrails, ProfileLookup, Upstream},
    webhook,
};

/// Drain timeout of the admin port, long enough for a final metrics scrape to complete.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// A gateway whose ports and ledger are open.
pub struct App {
    config: Config,
    data: TcpListener,
    admin: TcpListener,
    tls: [Option<server::Tls>; 2],
    telemetry: Telemetry,
    ledger: Ledger,
    alerts: mpsc::Receiver<Alert>,
    alerts_sender: Alerts,
    /// The file that a reload reads. Without one, nothing is reloaded.
    pub source: Option<Source>,
    /// Notified to reload.
    pub reload: Arc<Notify>,
    /// Cancelled if nobody watches the readiness, so that a shutdown need not wait for `pre_stop`.
    pub hurry: CancellationToken,
    /// Cancelled if requests in flight must not be waited for. They are cut off, settled and logged.
    pub at_once: CancellationToken,
    /// The address that the data port listens on.
    pub data_addr: SocketAddr,
    /// The address that the admin port listens on.
    pub admin_addr: SocketAddr,
}

impl App {
    /// Opens both ports and the ledger. Port 0 picks a free port.
    ///
    /// # Errors
    /// If an address cannot be bound or the ledger cannot be opened. The message names which.
    pub async fn bind(config: Config, telemetry: Telemetry) -> io::Result<Self> {
        Self::bind_at(config, telemetry, Clock::default()).await
    }

    /// Like [`bind`](Self::bind), with another clock for the ledger.
    ///
    /// # Errors
    /// See [`bind`](Self::bind).
    pub async fn bind_at(config: Config, telemetry: Telemetry, clock: Clock) -> io::Result<Self> {
        let tls = [
            load_tls("server.tls", &config.server.tls, true)?,
            load_tls("admin.tls", &config.admin.tls, false)?,
        ];
        let data = bind("server.listen", config.server.listen)?;
        let admin = bind("admin.listen", config.admin.listen)?;
        let (data_addr, admin_addr) = (data.local_addr()?, admin.local_addr()?);
        let (alerts_sender, alerts) = mpsc::channel(webhook::QUEUE_LIMIT);
        let store = |error: String| io::Error::other(format!("store: {error}"));
        let ledger = Ledger::open_at(&config.store, alerts_sender.clone(), clock)
            .await
            .map_err(store)?;
        reload::track(&ledger, &config).await.map_err(store)?;
        Ok(Self {
            config,
            data,
            admin,
            tls,
            telemetry,
            ledger,
            alerts,
            alerts_sender,
            source: None,
            reload: Arc::default(),
            hurry: CancellationToken::new(),
            at_once: CancellationToken::new(),
            data_addr,
            admin_addr,
        })
    }

    /// Returns a handle to the open ledger.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Serves until `shutdown` is cancelled, then for `pre_stop`, then drains. The admin port keeps serving metrics and health checks until
    /// the last stream has ended.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            config,
            data,
            admin,
            tls: [data_tls, admin_tls],
            telemetry,
            ledger,
            alerts,
            alerts_sender,
            source,
            reload,
            hurry,
            at_once,
            ..
        } = self;
        for warning in config::warnings(&config) {
            tracing::warn!("{warning}");
        }
        let tasks = TaskTracker::new();
        let clients = Arc::new(Clients::new(
            config.aws.settings.clone(),
            config.aws.region.clone(),
            [],
        ));
        let lasting = Lasting {
            clients: clients.clone(),
            ledger: ledger.clone(),
            alerts: alerts_sender,
            keys: Keys::default(),
            rate_limit: RateLimit::default(),
            in_flight: InFlight::default(),
            counts_in_flight: CountsInFlight::default(),
            reasoning: Reasoning::default(),
            lookup: ProfileLookup::new(clients.clone()),
            retriever: Arc::new(BedrockKnowledgeBases::new(clients.clone())),
            guard: Guard(Arc::new(Guardrails::new(clients.clone()))),
            upstream: Upstream::new(clients.clone(), tasks.clone()),
            outputs: Outputs::default(),
            outcomes: Outcomes::default(),
        };
        let aws_pairs = AwsPairs::new(&config.server.sigv4_keys);
        let key_store = KeyStore::new(lasting.keys.clone(), ledger.clone(), config.teams.clone())
            .with_aws_pairs(aws_pairs.clone())
            .with_background(tasks.clone(), shutdown.clone());
        if let Err(error) = key_store.load().await {
            tracing::error!(
                error,
                "virtual keys could not be loaded; requests that use them are rejected"
            );
        }
        let kb_regions = lasting::knowledge_base_regions(&config);
        let gateway = lasting.gateway(&config);
        let upstream = lasting.upstream.clone();
        let mantle = config.aws.places.mantle && has_mantle(&config.aws.region);
        let discovery = || Discovery::new(clients.clone(), config.aws.region.clone(), mantle);
        let discovery = config.aws.discovery.then(discovery);
        let responses = Responses::open(&ledger, config.responses.clone()).await;
        let disconnect = disconnect_policy(config.drain, config.server.max_in_flight);
        let edge = Arc::new(Edge {
            gateway: ArcSwap::from_pointee(gateway),
            logins: Logins::new(config.server.failed_logins_per_minute),
            rate_limit: lasting.rate_limit.clone(),
            usage_pages: UsagePages::default(),
            discovery: discovery.clone(),
            ledger: ledger.clone(),
            responses,
            disconnect: disconnect.clone(),
            limits: limits(&config.server),
            seals: seals(&config.server, &ledger).await,
            policies: Policies {
                refuses_foreign_reasoning: config.server.refuses_foreign_reasoning,
                refuses_hosted_tools: config.server.refuses_hosted_tools,
            },
            aws_pairs,
            cors_origins: config.server.cors_origins.clone(),
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
        });
        telemetry.keep_up(&tasks, shutdown.clone());
        let drained = CancellationToken::new();
        let reloader = source.map(|source| {
            let (telemetry, edge) = (telemetry.clone(), edge.clone());
            Arc::new(Reloader::new(
                source,
                lasting,
                telemetry,
                edge,
                key_store.clone(),
                &config,
            ))
        });
        if let Some(reloader) = reloader.clone() {
            let watches = config.server.watch_config;
            tasks.spawn(watch::watch(reloader, reload, watches, drained.clone()));
        }
        // Until the last call has ended, because calls may send several requests.
        let ready = (clients.clone(), kb_regions);
        let stopped = drained.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ready.0.keep_ready(&ready.1) => {}
                () = stopped.cancelled() => {}
            }
        });
        if let Some(discovery) = discovery {
            let stopped = drained.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = discovery.keep_fresh() => {}
                    () = stopped.cancelled() => {}
                }
            });
        }
        // Without a webhook, alerts only appear in the log.
        if let Some(webhook) = config.alerts {
            tasks.spawn(webhook.run(alerts, drained.clone()));
        }
        tasks.spawn(key_store.clone().note_uses(drained.clone()));
        for tls in [&data_tls, &admin_tls].into_iter().flatten() {
            tasks.spawn(tls.clone().keep_up(drained.clone()));
        }
        let settings = server::Settings {
            timeouts: server::Timeouts {
                header: config.server.header_timeout,
                keep_alive: config.server.keep_alive,
            },
            capacity: server::Capacity {
                connections: config.server.max_connections,
                per_address: config.server.max_connections_per_address,
            },
            drain_timeout: config.server.drain_timeout,
            proxies: Arc::new(server::Proxies(config.server.trusted_proxies)),
            tls: data_tls,
            h2c: config.server.h2c,
            is_counted: true,
        };
        let drain_timeout = settings.drain_timeout;
        let ports = server::Shutdown {
            cut: disconnect.cut.clone(),
            at_once: at_once.clone(),
            ..Default::default()
        };
        tasks.spawn(close(
            shutdown.clone(),
            config.server.pre_stop,
            hurry,
            ports.clone(),
        ));
        let admin_router = admin::router(Arc::new(Admin {
            telemetry,
            clients,
            api: Api {
                upstream: Some(upstream),
                ledger: ledger.clone(),
                keys: key_store,
                reloader: reloader.map(|reloader| reloader as Arc<dyn Reload>),
                edge: Some(edge.clone()),
            },
            token: config.admin.token,
            tokens: config.admin.tokens,
            logins: Logins::new(admin::MAX_FAILURES),
            shutdown: shutdown.clone(),
            body_timeout: config.server.header_timeout,
            rendered: Default::default(),
        }));
        let admin_settings = server::Settings {
            drain_timeout: ADMIN_DRAIN,
            tls: admin_tls,
            h2c: false,
            is_counted: false,
            ..settings.clone()
        };
        let admin_shutdown = server::Shutdown {
            closing: drained.clone(),
            at_once: at_once.clone(),
            ..Default::default()
        };
        tasks.spawn(server::serve(
            admin,
            admin_router,
            admin_settings,
            admin_shutdown,
        ));
        tasks.close();
        server::serve(data, edge::router(edge), settings, ports).await;
        // Calls whose clients have disconnected get another drain timeout. After that they are cut off and settled with
        // the usage known so far.
        disconnect.tasks.close();
        tokio::select! {
            () = disconnect.tasks.wait() => {}
            () = tokio::time::sleep(drain_timeout) => {}
            () = at_once.cancelled() => {}
        }
        disconnect.cut.cancel();
        disconnect.tasks.wait().await;
        drained.cancel();
        tasks.wait().await;
        ledger.close().await;
    }
}

/// Closes the data port when `shutdown` is `pre_stop` ago. Until then load balancers see that the gateway is not ready, and send
/// their requests elsewhere.
async fn close(
    shutdown: CancellationToken,
    pre_stop: Duration,
    hurry: CancellationToken,
    ports: server::Shutdown,
) {
    shutdown.cancelled().await;
    tokio::select! {
        () = tokio::time::sleep(pre_stop) => {}
        () = hurry.cancelled() => {}
        () = ports.at_once.cancelled() => {}
    }
    ports.closing.cancel();
}

fn load_tls(
    key: &str,
    settings: &Option<server::TlsSettings>,
    offers_http2: bool,
) -> io::Result<Option<server::Tls>> {
    let load = |settings: &server::TlsSettings| server::Tls::load(settings.clone(), offers_http2);
    let loaded = settings.as_ref().map(load).transpose();
    loaded.map_err(|error| io::Error::other(format!("{key}: {error}")))
}

fn disconnect_policy(drain: bool, max_in_flight: usize) -> DisconnectPolicy {
    DisconnectPolicy {
        tasks: TaskTracker::new(),
        cut: CancellationToken::new(),
        drain,
        room: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))),
    }
}

/// Returns the seals of the configured secrets, or of the secret in the store.
async fn seals(server: &ServerSettings, ledger: &Ledger) -> Seals {
    if !server.seal_keys.is_empty() {
        return Seals::new(&server.seal_keys);
    }
    match ledger.seal_secret().await {
        Ok(secret) => Seals::new(&[secret]),
        Err(error) => {
            tracing::warn!(error, "sealed reasoning will not open after a restart");
            Seals::new(&[])
        }
    }
}

fn limits(server: &ServerSettings) -> Limits {
    Limits {
        max_body: server.max_body,
        body_timeout: server.header_timeout,
        commit_after: server.commit_after,
        room: Room::new(server.max_buffered_bodies),
        max_in_flight: server.max_in_flight,
        max_requests_per_second: server.max_requests_per_second,
    }
}

/// Returns the environment variable that overrides the setting at `path`.
fn override_variable(path: &str) -> String {
    format!("LINTEL__{}", path.to_ascii_uppercase().replace('.', "__"))
}

fn bind(name: &str, address: SocketAddr) -> io::Result<TcpListener> {
    server::listen(address).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!(
                "{name}: cannot listen on {address}: {error}; set {} to use another address",
                override_variable(name)
            ),
        )
    })
}
