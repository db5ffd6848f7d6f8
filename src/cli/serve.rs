use super::{ConfigFile, Outcome, PortFlags, serve_until, start};
use crate::config;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    ports: PortFlags,
}

pub async fn run(args: Args) -> Outcome {
    let config = match config::load(&args.file.config, &args.ports.environment(), None) {
        Ok((config, _)) => config,
        Err(problems) => {
            return Outcome::Misconfigured(args.file.config.display().to_string(), problems);
        }
    };
    match start(config).await {
        Ok((app, shutdown)) => {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %app.data_addr, admin = %app.admin_addr, "serving");
            let outcome = serve_until(app, shutdown).await;
            tracing::info!("stopped");
            outcome
        }
        Err(message) => Outcome::Failed(message),
    }
}
