//! Turns of a model come back to it as they were, whatever they contain and however they were cut into pieces, through both
//! dialects of agents. They come back to another replica, because this one remembers reasoning that clients lose.

mod dialects;
mod sessions;
mod turns;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use self::{
    dialects::{Dialect, MESSAGES, RESPONSES},
    turns::{Cuts, Turn, cuts, turn},
};
use crate::support::{Gateway, serve, simulator};

/// A model that signs its reasoning.
const SETTINGS: &str = "
    seal_key_env = [\"SEAL_KEY\"]
    [models.agent]
    target = \"us.anthropic.claude-haiku-4-5-20251001-v1:0\"
    api = \"converse\"
    max_tokens = 10000
";

/// Starts a gateway that opens what its replicas have sealed.
async fn replica() -> Gateway {
    let simulator = simulator();
    let aws = format!(
        "endpoint_url = \"http://{}\"",
        serve(simulator.router()).await
    );
    let secret = ("SEAL_KEY", "0123456789abcdef-seal-of-the-tests");
    Gateway::start_in(simulator, &aws, SETTINGS, &[secret]).await
}

/// The messages of the last request to Bedrock, without marks for the cache.
fn last_messages(gateway: &Gateway) -> Vec<Value> {
    let body = gateway.bodies().pop().expect("a request was sent");
    let mut messages = body["messages"].as_array().unwrap().clone();
    for message in &mut messages {
        let content = message["content"].as_array_mut().unwrap();
        content.retain(|block| block.get("cachePoint").is_none());
    }
    messages
}

/// Asks whole and streamed, and sends the streamed turn back to another replica.
async fn round_trip(replicas: &[Gateway; 2], dialect: Dialect, turn: &Turn, cuts: &Cuts) {
    let [first, second] = replicas;
    first.simulator.script(turn.whole());
    let whole = (dialect.whole)(&dialect.ask(first, &[], false).await);
    first.simulator.script(turn.streamed(cuts));
    let streamed = (dialect.streamed)(&dialect.ask(first, &[], true).await);
    assert_eq!(
        (dialect.comparable)(&whole),
        (dialect.comparable)(&streamed),
        "a stream has what a whole reply has"
    );
    let history = (dialect.next)(&streamed, turn);
    dialect.ask(second, &history, false).await;
    let sent = last_messages(second);
    assert_eq!(sent[1]["role"], "assistant");
    assert_eq!(sent[1]["content"], Value::from(turn.blocks()));
    assert_eq!(
        sent.len(),
        3,
        "and nothing else but the two messages of the user"
    );
}

fn turns_survive(dialect: Dialect) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let replicas = runtime.block_on(async { [replica().await, replica().await] });
    let config = Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let case = |(turn, cuts): (Turn, Cuts)| {
        let trip = || runtime.block_on(round_trip(&replicas, dialect, &turn, &cuts));
        // The message of the panic was printed.
        catch_unwind(AssertUnwindSafe(trip)).map_err(|_| TestCaseError::fail("not the same"))
    };
    TestRunner::new(config)
        .run(&(turn(), cuts()), case)
        .unwrap();
}

#[test]
fn any_turn_survives_the_items_of_responses() {
    turns_survive(RESPONSES);
}

#[test]
fn any_turn_survives_the_blocks_of_messages() {
    turns_survive(MESSAGES);
}
