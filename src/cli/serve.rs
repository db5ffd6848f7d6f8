use super::{ConfigFile, Outcome, PortFlags, ignore_hangup, serve_until, start};
use crate::{app::Source, config};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    ports: PortFlags,
}

pub async fn run(args: Args) -> Outcome {
    if let Err(message) = ignore_hangup() {
        return Outcome::Failed(message);
    }
    let environment = args.ports.environment();
    let read = config::read_file(&args.file.config).and_then(|text| {
        let (config, values) = config::parse(&text, &environment, None)?;
        Ok((config, text, values))
    });
    let (config, text, values) = match read {
        Ok(read) => read,
        Err(problems) => {
            return Outcome::Misconfigured(args.file.config.display().to_string(), problems);
        }
    };
    let source = Source {
        path: args.file.config,
        environment,
        text,
        values,
    };
    match start(config, Some(source)).await {
        Ok((app, shutdown)) => {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %app.data_addr, admin = %app.admin_addr, "serving");
            let outcome = serve_until(app, shutdown).await;
            tracing::info!("stopped");
            outcome
        }
        Err(message) => Outcome::Failed(message),
    }
}
