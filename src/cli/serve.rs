use super::{ConfigFile, Outcome, shutdown_on_signal};
use crate::{
    app::App,
    config::{self, Surroundings},
    telemetry::{self, Telemetry},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Address of the data port, instead of server.listen
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

pub async fn run(args: Args) -> Outcome {
    let config = match config::load(&args.file.config, &Surroundings::of_process(args.listen), None) {
        Ok((config, _)) => config,
        Err(problems) => return Outcome::Misconfigured(args.file.config.display().to_string(), problems),
    };
    telemetry::log();
    let started = async {
        let telemetry = Telemetry::install().map_err(|error| error.to_string())?;
        let app = App::bind(config, telemetry).await.map_err(|error| error.to_string())?;
        let shutdown = shutdown_on_signal().map_err(|error| error.to_string())?;
        let addresses =
            app.data_addr().and_then(|data| Ok((data, app.admin_addr()?))).map_err(|error| error.to_string())?;
        Ok::<_, String>((app, shutdown, addresses))
    };
    match started.await {
        Ok((app, shutdown, (data, admin))) => {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), %data, %admin, "serving");
            app.run(shutdown).await;
            tracing::info!("stopped");
            Outcome::Done
        }
        Err(message) => Outcome::Failed(message),
    }
}
