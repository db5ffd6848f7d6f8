use tokio::net::TcpListener;

use super::{Outcome, handle_signals};
use crate::simulator::{self, SecretKey, Simulator};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4566")]
    listen: String,
    /// The access key id whose signatures are verified; for any other id only their form is checked
    #[arg(long, value_name = "ID", default_value = "simulator")]
    access_key: String,
    /// The secret access key of that id
    #[arg(long, value_name = "SECRET", default_value = "simulator")]
    secret_key: String,
}

pub async fn run(args: Args) -> Outcome {
    let listener = match TcpListener::bind(&args.listen).await {
        Ok(listener) => listener,
        Err(error) => return Outcome::Failed(format!("cannot listen on {}: {error}", args.listen)),
    };
    let started = listener
        .local_addr()
        .and_then(|address| Ok((address, handle_signals(None)?)));
    let (address, shutdown) = match started {
        Ok(started) => started,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    println!("A simulated Bedrock is at http://{address}");
    println!("  export AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://{address} AWS_REGION=us-east-1");
    println!("  export AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME=http://{address}");
    let secret = if args.secret_key == "simulator" {
        "simulator"
    } else {
        "'(the secret you passed)'"
    };
    println!(
        "  export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={secret}",
        args.access_key
    );
    let secret_key = SecretKey {
        access_key_id: args.access_key,
        secret_access_key: args.secret_key,
    };
    simulator::serve(listener, Simulator::new(secret_key).router(), shutdown).await;
    Outcome::Done
}
