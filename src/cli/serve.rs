use super::{ConfigFile, Outcome, PortFlags, start};
use crate::{app::Source, config};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    ports: PortFlags,
}

pub async fn run(args: Args) -> Outcome {
    let environment = args.ports.environment();
    let (config, values) = match config::load(&args.file.config, &environment, None) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return Outcome::Misconfigured(args.file.config.display().to_string(), problems);
        }
    };
    let source = Source {
        path: args.file.config,
        environment,
        values,
    };
    match start(config, Some(source)).await {
        Ok((app, shutdown)) => {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %app.data_addr, admin = %app.admin_addr, "serving");
            app.run(shutdown).await;
            tracing::info!("stopped");
            Outcome::Done
        }
        Err(message) => Outcome::Failed(message),
    }
}
