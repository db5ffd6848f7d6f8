//! Assembly: a configuration becomes a running gateway.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{self, Admin},
    bedrock::{Bedrock, Clients},
    config::{self, Config},
    dispatch::Dispatch,
    edge::{self, Edge, Keys, Limits},
    middleware::FetchMedia,
    server,
    telemetry::Telemetry,
};

/// For a scrape that runs when everything else has ended.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// A gateway whose ports are open.
pub struct App {
    config: Config,
    data: TcpListener,
    admin: TcpListener,
    telemetry: Telemetry,
    /// Where the data port is.
    pub data_addr: SocketAddr,
    /// Where the admin port is.
    pub admin_addr: SocketAddr,
}

impl App {
    /// Opens both ports. Port 0 takes a free one.
    ///
    /// # Errors
    /// If an address cannot be bound; the text names it.
    pub async fn bind(config: Config, telemetry: Telemetry) -> io::Result<Self> {
        let data = bind("server.listen", config.server.listen).await?;
        let admin = bind("admin.listen", config.admin.listen).await?;
        let (data_addr, admin_addr) = (data.local_addr()?, admin.local_addr()?);
        Ok(Self { config, data, admin, telemetry, data_addr, admin_addr })
    }

    /// Serves until `shutdown`, then drains. Metrics and health answer until the last stream has ended.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { config, data, admin, telemetry, .. } = self;
        for warning in config::warnings(&config) {
            tracing::warn!("{warning}");
        }
        let models = Arc::new(config.models);
        let regions = models.named().map(|model| model.target.region.clone()).chain([config.aws.region.clone()]);
        let clients = Arc::new(Clients::new(config.aws.settings, config.aws.region.clone(), regions));
        let media = FetchMedia(config.remote_media);
        let dispatch = Dispatch::new(models, &media, &Bedrock::new(clients.clone()));
        let cut = CancellationToken::new();
        let edge = Arc::new(Edge {
            keys: Keys::new(config.keys),
            dispatch,
            limits: Limits {
                max_body: config.server.max_body,
                body_timeout: config.server.header_timeout,
                max_in_flight: config.server.max_in_flight,
            },
            cors_origins: config.server.cors_origins,
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            cut: cut.clone(),
        });
        let tasks = TaskTracker::new();
        telemetry.keep_up(&tasks, shutdown.clone());
        let warming = clients.clone();
        let not_needed = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = warming.warm() => {}
                () = not_needed.cancelled() => {}
            }
        });
        let settings = server::Settings {
            header_timeout: config.server.header_timeout,
            keep_alive: config.server.keep_alive,
            max_connections: config.server.max_connections,
            drain_timeout: config.server.drain_timeout,
        };
        let admin_router = admin::router(Arc::new(Admin {
            telemetry,
            clients,
            token: config.admin.token,
            shutdown: shutdown.clone(),
            last_ready: Mutex::new(None),
        }));
        let drained = CancellationToken::new();
        let admin_settings = server::Settings { drain_timeout: ADMIN_DRAIN, ..settings };
        tasks.spawn(server::serve(admin, admin_router, admin_settings, drained.clone(), CancellationToken::new()));
        tasks.close();
        server::serve(data, edge::router(edge), settings, shutdown, cut).await;
        drained.cancel();
        tasks.wait().await;
    }
}

/// The variable that overrides a setting.
fn override_of(path: &str) -> String {
    format!("LINTEL__{}", path.to_ascii_uppercase().replace('.', "__"))
}

async fn bind(name: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{name}: cannot listen on {address}: {error}; {} takes another", override_of(name)),
        )
    })
}
