use std::{path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use wildmatch::WildMatch;

use super::{Outcome, PortFlags, serve_until, start};
use crate::{
    call::{Caller, Secret},
    config::{self, Config, Demo, Origin},
    dispatch::ModelListing,
    edge::Key,
    simulator::{self, SecretKey, Simulator},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Your own configuration; its [aws], [keys] and [store] are ignored
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    ports: PortFlags,
}

/// A Bedrock id for the printed request if no model is configured.
const RAW_MODEL: &str = "amazon.nova-micro-v1:0";

pub async fn run(args: Args) -> Outcome {
    let simulator_key = SecretKey {
        access_key_id: "simulator".into(),
        secret_access_key: Ulid::generate().to_string(),
    };
    let (listener, endpoint_url) = match TcpListener::bind("127.0.0.1:0")
        .await
        .and_then(|l| Ok((l.local_addr()?, l)))
    {
        Ok((address, listener)) => (listener, format!("http://{address}")),
        Err(error) => return Outcome::Failed(format!("the simulator cannot listen: {error}")),
    };
    let secret = format!("sk-demo-{}", Ulid::generate());
    let caller = Arc::new(Caller {
        key_id: "demo".into(),
        models: Some(vec![WildMatch::new("*")]),
        raw: true,
        knowledge_bases: vec![WildMatch::new("*")],
        ..Caller::default()
    });
    let demo = Demo {
        endpoint_url,
        credentials: (
            simulator_key.access_key_id.clone(),
            Secret::new(&simulator_key.secret_access_key),
        ),
        key: Key {
            digest: Some(Sha256::digest(secret.as_bytes()).into()),
            client_certificates: Vec::new(),
            expires: None,
            allow_ips: Vec::new(),
            caller,
        },
    };
    let environment = args.ports.environment();
    let (name, read) = match &args.config {
        Some(path) => (
            path.display().to_string(),
            config::load(path, &environment, Some(demo)),
        ),
        None => (
            "config.toml (built in)".to_owned(),
            config::parse(config::EXAMPLE, &environment, Some(demo)),
        ),
    };
    let config = match read {
        Ok((mut config, resolved)) => {
            let mut resolved = resolved.iter();
            let pre_stop = resolved.find(|value| value.path == "server.pre_stop");
            // No load balancer watches a demo, unless someone says so.
            if pre_stop.is_none_or(|value| value.origin == Origin::Default) {
                config.server.pre_stop = Duration::ZERO;
            }
            config
        }
        Err(problems) => return Outcome::Misconfigured(name, problems),
    };
    let stop_simulator = CancellationToken::new();
    let simulator = simulator::serve(
        listener,
        Simulator::new(simulator_key).router(),
        stop_simulator.clone(),
    );
    let gateway = async {
        let outcome = gateway(config, &secret).await;
        stop_simulator.cancel();
        outcome
    };
    tokio::join!(gateway, simulator).0
}

async fn gateway(config: Config, secret: &str) -> Outcome {
    let embeds = |listed: &ModelListing<'_>| listed.model.facts.embed.is_some();
    let chats = || config.models.list().filter(|listed| !embeds(listed));
    let model = chats()
        .find(|listed| listed.alias)
        .or_else(|| chats().next())
        .map(|listed| listed.name.to_owned());
    let embedding_model = config
        .models
        .list()
        .find(embeds)
        .map(|listed| listed.name.to_owned());
    let base = config
        .knowledge_bases
        .iter()
        .next()
        .map(|base| base.name.clone());
    let (app, shutdown) = match start(config, None).await {
        Ok(started) => started,
        Err(message) => return Outcome::Failed(message),
    };
    let (data, admin) = (app.data_addr, app.admin_addr);
    let model = model.unwrap_or_else(|| RAW_MODEL.to_owned());
    eprintln!(
        "lintel serves a simulated Bedrock at http://{data}/v1; metrics are at http://{admin}/metrics"
    );
    eprintln!();
    eprintln!("  key: {secret}");
    eprintln!();
    eprintln!(
        "  curl http://{data}/v1/chat/completions -H 'authorization: Bearer {secret}' -H 'content-type: application/json' \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'"
    );
    if let Some(base) = base {
        eprintln!();
        eprintln!("With sources from the Knowledge Base '{base}':");
        eprintln!();
        eprintln!(
            "  curl http://{data}/v1/chat/completions -H 'authorization: Bearer {secret}' -H 'content-type: application/json' \
             -d '{{\"model\": \"{model}\", \"kb\": \"{base}\", \"messages\": [{{\"role\": \"user\", \"content\": \"What does a budget reserve?\"}}]}}'"
        );
    }
    if let Some(model) = embedding_model {
        eprintln!();
        eprintln!("Embeddings:");
        eprintln!();
        eprintln!(
            "  curl http://{data}/v1/embeddings -H 'authorization: Bearer {secret}' -H 'content-type: application/json' \
             -d '{{\"model\": \"{model}\", \"input\": [\"Hello!\", \"Goodbye!\"]}}'"
        );
    }
    eprintln!();
    eprintln!("All models, with those of the simulated account:");
    eprintln!();
    eprintln!("  curl http://{data}/v1/models -H 'authorization: Bearer {secret}'");
    eprintln!();
    serve_until(app, shutdown).await
}
