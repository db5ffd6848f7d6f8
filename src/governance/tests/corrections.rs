//! Corrections of the ledger, and windows that open meanwhile.

use tokio::time::timeout;

use super::*;
use crate::model::Route;

/// Leaves a presumed record of `request_id`, at `price`.
async fn presume(ledger: &Ledger, request_id: &str, price: &str, cost: u64) {
    let entry = LedgerEntry {
        price: price.to_owned(),
        ..entry(request_id, "")
    };
    let hold = ledger.hold(entry, NanoUsd(cost), |_| NanoUsd(cost)).await;
    drop(hold.unwrap());
    ledger.flush().await;
}

/// Leaves a presumed record of a call that was planned for `planned` and moved to `rerouted`.
async fn presume_on(ledger: &Ledger, request_id: &str, planned: Route, rerouted: Option<Route>) {
    let entry = LedgerEntry {
        price: "2/10/-/-/-".to_owned(),
        route: Some(planned),
        ..entry(request_id, "")
    };
    let hold = ledger.hold(entry, NanoUsd(9000), |_| NanoUsd(9000));
    let hold = hold.await.unwrap();
    if let Some(route) = rerouted {
        assert!(hold.reroute(route).await);
    }
    drop(hold);
}

fn audit() -> Audit {
    Audit {
        at: 0,
        who: String::new(),
        action: "ledger.reconcile",
        subject: String::new(),
        before: None,
        after: None,
        reason: String::new(),
    }
}

fn logged(invocation: &str, request_id: &str, input: &str) -> String {
    format!(
        r#"{{"requestId":"{invocation}","requestMetadata":{{"lintel_request_id":"{request_id}"}},"input":{{{input}}}}}"#
    )
}

/// A line that stood in two files of the log was settled twice, and cache writes for an hour cost as much as those for five
/// minutes: 4000, and 1250.
#[tokio::test]
async fn reconciliation_settles_each_invocation_once_at_the_highest_price_of_its_buckets() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    let day = budget("key:k", Per::Day, 100_000_000);
    ledger.set_all_budgets([day]).await.unwrap();
    let counts = r#""inputTokenCount":1000"#;
    let writes = r#""cacheWriteInputTokenCount":1000"#;
    let short = format!(r#""inputBodyJson":{{"ttl":"5m"}},{writes}"#);
    let hourly = format!(r#""inputBodyJson":{{"ttl":"1h"}},{writes}"#);
    for (id, lines, cost) in [
        ("twice", vec![("a", counts), ("a", counts)], 2_000_000),
        ("two", vec![("b", counts), ("c", counts)], 4_000_000),
        ("unknown", vec![("d", writes)], 4_000_000),
        ("short", vec![("e", &*short)], 2_500_000),
        ("hourly", vec![("f", &*hourly)], 4_000_000),
    ] {
        let before = settled(&ledger, "key:k/day");
        presume(&ledger, id, "2/10/0.2/2.5/4", 9_000_000).await;
        let lines = lines
            .iter()
            .map(|(invocation, input)| logged(invocation, id, input));
        let log: Vec<String> = lines.collect();
        let done = ledger.reconcile(&log.join("\n"), None, audit()).await;
        assert_eq!(done.unwrap().corrected, 1, "{id}");
        assert_eq!(settled(&ledger, "key:k/day") - before, cost, "{id}");
    }
}

/// A count of 2^63 in a log booked $9,223,372,036 to the budget, which then admitted nothing.
#[tokio::test]
async fn reconciliation_ignores_counts_that_no_request_can_have() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    presume(&ledger, "1", "2/10/-/-/-", 9000).await;
    let log = logged("a", "1", r#""inputTokenCount":9223372036854775808"#);
    let done = ledger.reconcile(&log, None, audit()).await.unwrap();
    assert_eq!((done.unreadable, done.corrected), (1, 0));
}

/// Lines about other calls could not be parsed if they had `null`, or anything else that this gateway does not write.
#[tokio::test]
async fn lines_about_other_calls_are_not_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    presume(&ledger, "1", "2/10/-/-/-", 9000).await;
    let log = [
        r#"{"requestId":"x","requestMetadata":null,"input":{"inputTokenCount":1}}"#,
        r#"{"requestId":"y","requestMetadata":{"team":7},"input":null}"#,
        r#"{"requestId":7,"input":{"inputTokenCount":"many"}}"#,
        &logged("a", "1", r#""inputTokenCount":1"#),
        "no JSON",
    ];
    let log = log.join("\n");
    let done = ledger.reconcile(&log, None, audit()).await.unwrap();
    assert_eq!((done.unreadable, done.matched, done.corrected), (1, 1, 1));
}

/// Calls on routes that the log does not show were settled as zero, although AWS had billed them.
#[tokio::test]
async fn complete_log_says_nothing_about_calls_on_routes_that_it_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&path, hands.clock()).await;
    presume_on(&ledger, "converse", Route::Converse, None).await;
    presume_on(&ledger, "chat", Route::Chat, None).await;
    presume_on(&ledger, "moved", Route::Converse, Some(Route::MantleChat)).await;
    let (start, end) = (hands.clock().now(), i64::MAX);
    let whole = start.as_millisecond()..end;
    let done = ledger.reconcile("", Some(whole), audit()).await.unwrap();
    assert_eq!((done.corrected, done.not_comparable), (1, 2));
    assert_eq!(done.delta, -9000);
}

/// If the gateway is killed after a call has moved, the next start must know where it went.
#[tokio::test]
async fn stored_hold_of_a_call_has_the_route_to_which_it_moved() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    let hold = ledger.hold(entry("1", ""), NanoUsd(1), |_| NanoUsd(1));
    let hold = hold.await.unwrap();
    let stored = || async { ledger.0.store.holds().await.unwrap()[0].entry.route };
    assert_eq!(stored().await, Some(Route::Converse));
    assert!(hold.reroute(Route::Chat).await);
    assert_eq!(stored().await, Some(Route::Chat));
}

/// The presumed record of such a call named the first region.
#[tokio::test]
async fn stored_hold_of_a_call_names_where_it_is_sent_and_does_not_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    let day = budget("key:k", Per::Day, 100_000_000);
    ledger.set_all_budgets([day]).await.unwrap();
    let hold = ledger.hold(entry("1", ""), NanoUsd(9), |_| NanoUsd(9));
    let hold = hold.await.unwrap();
    let relocate = async |region: &str| {
        let target = Arc::new(crate::model::Target::new("id", region));
        hold.relocate(target, || "1/2/-/-/-".to_owned()).await
    };
    for region in ["us-west-2", "eu-west-1", "us-west-2"] {
        assert!(relocate(region).await);
        let [stored] = &ledger.0.store.holds().await.unwrap()[..] else {
            panic!("one hold");
        };
        assert_eq!(stored.entry.region, region);
        assert_eq!(stored.entry.price, "1/2/-/-/-");
        assert_eq!(stored.amount, NanoUsd(9));
    }
    hold.settle(settlement(Usage::default(), 1));
    assert!(!relocate("eu-west-1").await, "it has ended");
    assert_eq!(ledger.0.store.holds().await.unwrap(), []);
}

/// A window that was read between the correction of a record and that of its balance had the correction twice: $0 of
/// $0.000009 were settled, so that the budget was given again.
#[tokio::test]
async fn no_window_opens_while_a_record_is_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    presume(&ledger, "1", "2/10/-/-/-", 9000).await;
    let opening = ledger.0.opening.lock().await;
    let log = logged("a", "1", r#""inputTokenCount":1"#);
    let correction = ledger.reconcile(&log, None, audit());
    let waits = timeout(Duration::from_millis(50), correction).await;
    assert!(waits.is_err());
    drop(opening);
    let done = ledger.reconcile(&log, None, audit()).await.unwrap();
    assert_eq!(done.corrected, 1, "nothing was corrected before");
}

/// A budget that changed while a call ran admitted any extension until its window was read.
#[tokio::test]
async fn call_is_not_extended_in_a_window_that_was_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let ledger = open(&folder.path().join("a.db"), hands.clock()).await;
    assert!(spend(&ledger, entry("1", ""), 8).await);
    let hold = ledger.hold(entry("2", ""), NanoUsd(1), |_| NanoUsd(1));
    let hold = hold.await.unwrap();
    let new = vec![budget("key:k", Per::Day, 10)];
    let (scope, now) = ("key:k".into(), ledger.now());
    ledger.accounts().set_budgets(&scope, new, now);
    assert!(!hold.extend(NanoUsd(2), NanoUsd(2)).await, "8 are settled");
    ledger.open_windows(&["key:k/day".into()]).await.unwrap();
    assert!(!hold.extend(NanoUsd(2), NanoUsd(2)).await);
    assert!(hold.extend(NanoUsd(1), NanoUsd(1)).await);
}
