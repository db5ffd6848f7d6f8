//! What a call in several regions reserves, and what it is charged.

use http::StatusCode;

use crate::support::{
    money::{booked, budget, key, nano, standing},
    regions::{Regions, ask, failure},
};

/// The profile of the United States costs more than the global one, which is the only one in the Middle East.
const PRICED: &str = r#"
    [models.priced]
    target = "amazon.nova-2-lite-v1:0"
    regions = ["us-east-1", "me-south-1"]
    max_tokens = 100
    [models.dear]
    target = "amazon.nova-2-lite-v1:0"
    regions = ["us-east-1", "us-west-2"]
    price = { input = 1000.0, output = 1000.0 }
    max_tokens = 100
"#;

async fn start() -> Regions {
    start_with("").await
}

async fn start_with(more: &str) -> Regions {
    // There is no fourth region, so that of the Middle East has the URL of Europe.
    let first = Regions::start(PRICED).await;
    drop(first.gateway);
    let serve = |region: &lintel::simulator::Simulator| {
        let router = region.router();
        async move { format!("http://{}", crate::support::serve(router).await) }
    };
    let aws = format!(
        "regions.us-east-1.endpoint_url = \"{}\"\nregions.us-west-2.endpoint_url = \"{}\"\nregions.me-south-1.endpoint_url = \"{}\"",
        serve(&first.east).await,
        serve(&first.west).await,
        serve(&first.europe).await,
    );
    let gateway =
        crate::support::Gateway::start_at(first.east.clone(), &aws, &format!("{more}{PRICED}"))
            .await;
    Regions { gateway, ..first }
}

#[tokio::test]
async fn call_is_charged_at_the_price_of_the_region_that_answers() {
    let regions = start().await;
    let mut costs = Vec::new();
    for fails in [false, true] {
        if fails {
            regions.east.script(failure(429, "ThrottlingException"));
        }
        let (id, secret) = key(&regions.gateway, budget(1.0)).await;
        let reply = regions.gateway.as_key(&secret, &ask("priced", "Hi")).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let model = reply.header("x-lintel-model").unwrap();
        let prefix = if fails { "global." } else { "us." };
        assert!(model.starts_with(prefix), "{model}");
        let settled = async || standing(&regions.gateway, &id).await.1 == "0";
        regions.gateway.until(settled).await;
        let rows = booked(&regions.gateway, &id).await;
        assert_eq!((rows.len(), rows[0].0.as_str()), (1, "actual"), "{rows:?}");
        let told = reply.header("x-lintel-cost-usd").unwrap();
        assert_eq!(
            nano(told),
            nano(&rows[0].2),
            "the client sees what is charged"
        );
        costs.push(nano(&rows[0].2));
    }
    assert!(costs[0] > costs[1], "{costs:?}");
}

/// Bedrock may bill the failed request, so both must fit into the budget.
#[tokio::test]
async fn request_that_may_be_billed_moves_only_if_the_budget_covers_both() {
    let regions = start().await;
    for (usd, status, sent) in [
        (0.5, StatusCode::BAD_GATEWAY, [1, 0, 0]),
        (10.0, StatusCode::OK, [2, 1, 0]),
    ] {
        let (id, secret) = key(&regions.gateway, budget(usd)).await;
        regions.east.script(failure(500, "InternalServerException"));
        let reply = regions.gateway.as_key(&secret, &ask("dear", "Hi")).await;
        assert_eq!(reply.status, status, "{usd}: {}", reply.text());
        assert_eq!(regions.received(), sent, "{usd}");
        let settled = async || standing(&regions.gateway, &id).await.1 == "0";
        regions.gateway.until(settled).await;
        let rows = booked(&regions.gateway, &id).await;
        let spent: i64 = rows.iter().map(|row| nano(&row.2)).sum();
        assert!(spent > 0 && spent <= nano(&usd.to_string()), "{rows:?}");
    }
}

/// The ledger named the region where the call began.
#[tokio::test]
async fn ledger_names_the_region_that_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lintel.db");
    let store = format!("[store]\nurl = \"sqlite:{}\"\n", path.display());
    let regions = start_with(&store).await;
    regions.east.script(failure(429, "ThrottlingException"));
    let reply = regions.gateway.chat(&ask("priced", "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let ledger = rusqlite::Connection::open(&path).unwrap();
    let read = || -> rusqlite::Result<(String, String, String)> {
        let sql = "SELECT region, target, price FROM records";
        ledger.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    };
    regions.gateway.until(async || read().is_ok()).await;
    let (region, target, price) = read().unwrap();
    assert_eq!(region, "me-south-1");
    assert_eq!(target, "global.amazon.nova-2-lite-v1:0");
    let held = lintel::catalogue::lookup(&lintel::model::Target::new(&target, &region));
    let input = held.price.unwrap().input.to_string();
    assert!(price.starts_with(&format!("{input}/")), "{price}");
}

/// After a kill, the presumed record of such a call named the first region of its model.
#[tokio::test]
async fn hold_names_the_region_before_a_request_is_sent_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lintel.db");
    let settings = format!(
        r#"
        [store]
        url = "sqlite:{}"
        [models.moves]
        target = "amazon.nova-lite-v1:0"
        regions = ["us-east-1", "us-west-2"]
        [models.turns]
        target = "amazon.nova-pro-v1:0"
        regions = ["us-east-1", "us-west-2"]
        strategy = "round_robin"
        weights = {{ us-west-2 = 100 }}
        "#,
        path.display()
    );
    let regions = Regions::start(&settings).await;
    let (_, secret) = key(&regions.gateway, budget(10.0)).await;
    let region = || -> Option<String> {
        let ledger = rusqlite::Connection::open(&path).unwrap();
        let read = ledger.query_row("SELECT region FROM holds", [], |row| row.get(0));
        read.ok()
    };
    regions
        .east
        .script(failure(503, "ServiceUnavailableException"));
    // The first turn is that of the first region.
    for (before, model) in ["moves", "turns", "turns"].into_iter().enumerate() {
        let request = ask(model, "[simulate slow 500ms]");
        let during = async {
            let is_sent = async || regions.received().iter().sum::<usize>() > before + 1;
            regions.gateway.until(is_sent).await;
            region()
        };
        let call = regions.gateway.as_key(&secret, &request);
        let (reply, during) = tokio::join!(call, during);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(
            during.as_deref(),
            reply.header("x-lintel-region"),
            "{model}"
        );
        regions.gateway.until(async || region().is_none()).await;
    }
}
