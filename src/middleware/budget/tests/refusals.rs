//! Calls that a budget, or the client's own limit, rejects before they are sent.

use super::*;

#[tokio::test]
async fn call_whose_worst_case_does_not_fit_is_rejected_before_next() {
    let bench = Bench::new(NanoUsd(worst().0 - 1)).await;
    let next = Next::new(whole(usage(1, 1)));
    let error = send(&bench.budget, &next, bench.chat(false)).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::BudgetSpent);
    assert_eq!(error.code(), Some("insufficient_quota"));
    assert_eq!(error.should_retry(), Some(false));
    assert!(error.retry_after().is_some(), "the reset of the budget");
    assert!(error.message().contains("key:ci"), "{error}");
    assert_eq!(next.calls(), 0);
    assert_eq!(bench.balance(), (NOTHING, NOTHING));
}

#[tokio::test]
async fn limit_that_the_error_suggests_fits() {
    let bench = Bench::new(NanoUsd(worst().0 - 1)).await;
    let next = Next::new(whole(usage(1, 1)));
    let error = send(&bench.budget, &next, bench.chat(false)).await;
    let error = error.unwrap_err();
    let (_, rest) = error.message().split_once("max_tokens of ").unwrap();
    let tokens = rest.split(' ').next().unwrap().parse().unwrap();
    let mut body = chat(false);
    body.max_completion_tokens = Some(tokens);
    body.bytes += r#""max_completion_tokens": 1234567, "#.len();
    let call = planned(&bench.caller, model(), body);
    send(&bench.budget, &next, call).await.unwrap();
}

#[tokio::test]
async fn embedding_that_does_not_fit_is_rejected_before_next() {
    let bench = Bench::new(NanoUsd(10)).await;
    let next = Next::new(vector(usage(9, 0)));
    let call = planned(&bench.caller, embedder(), embed());
    let error = send(&bench.budget, &next, call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::BudgetSpent);
    assert!(
        error.message().contains("Send fewer or shorter inputs"),
        "{error}"
    );
    assert_eq!(next.calls(), 0);
}

#[tokio::test]
async fn call_waits_for_reserved_money_no_longer_than_its_budget_says() {
    tokio::time::pause();
    let waits = Terms {
        wait: Duration::from_secs(2),
        ..terms("key:ci", worst())
    };
    let bench = Bench::with(waits, |_| {}).await;
    let slow = Next::new(whole(usage(1, 1))).after(Duration::from_secs(3));
    let first = send(&bench.budget, &slow, bench.chat(false));
    let second = send(&bench.budget, &slow, bench.chat(false));
    let (first, second) = tokio::join!(first, second);
    first.unwrap();
    let error = second.unwrap_err();
    assert_eq!(error.kind(), Kind::BudgetBusy);
    assert!(error.retry_after().unwrap() < Duration::from_secs(1));
    assert_eq!(slow.calls(), 1);
}

#[tokio::test]
async fn call_that_waits_is_admitted_once_another_is_settled() {
    tokio::time::pause();
    let waits = Terms {
        wait: Duration::from_secs(2),
        ..terms("key:ci", worst() + cost(usage(1, 1)))
    };
    let bench = Bench::with(waits, |_| {}).await;
    let quick = Next::new(whole(usage(1, 1))).after(Duration::from_secs(1));
    let first = send(&bench.budget, &quick, bench.chat(false));
    let second = send(&bench.budget, &quick, bench.chat(false));
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(bench.balance(), (cost(usage(2, 2)), NOTHING));
}

#[tokio::test]
async fn money_is_reserved_in_all_budgets_or_in_none() {
    let gateway = Arc::new(terms("gateway", NanoUsd(1)));
    let bench = Bench::new(PLENTY).await;
    let ledger = &bench.budget.0.ledger;
    ledger.set_all_budgets([gateway]).await.unwrap();
    let next = Next::new(whole(usage(1, 1)));
    let error = send(&bench.budget, &next, bench.chat(false)).await;
    assert!(error.unwrap_err().message().contains("'gateway'"));
    assert_eq!(bench.balance(), (NOTHING, NOTHING));
}

#[tokio::test]
async fn model_without_a_price_is_rejected_under_a_budget() {
    let unpriced = || Model {
        price: None,
        ..model()
    };
    let next = Next::new(whole(Usage::default()));
    let bench = Bench::new(PLENTY).await;
    let call = planned(&bench.caller, unpriced(), chat(false));
    let error = send(&bench.budget, &next, call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied);
    assert_eq!(error.code(), Some("model_unpriced"));
    assert_eq!(next.calls(), 0);
    let free = Caller {
        key_id: "without a budget".to_owned(),
        ..caller()
    };
    let call = planned(&Arc::new(free), unpriced(), chat(false));
    send(&bench.budget, &next, call).await.unwrap();
    let change = |settings: &mut Settings| settings.allow_unpriced = true;
    let lenient = Bench::with(terms("key:ci", PLENTY), change).await;
    let call = planned(&lenient.caller, unpriced(), chat(false));
    send(&lenient.budget, &next, call).await.unwrap();
    assert_eq!(next.calls(), 2);
    assert_eq!(lenient.balance(), (NOTHING, NOTHING));
}

#[tokio::test]
async fn client_can_limit_the_cost_of_its_own_call() {
    let bench = Bench::new(PLENTY).await;
    let next = Next::new(whole(usage(1, 1)));
    let at_most = |max| Chat {
        max_cost: Some(max),
        ..chat(false)
    };
    let call = planned(&bench.caller, model(), at_most(NanoUsd(worst().0 - 1)));
    let error = send(&bench.budget, &next, call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidRequest);
    assert_eq!(error.code(), Some("max_cost_exceeded"));
    assert_eq!(next.calls(), 0);
    let call = planned(&bench.caller, model(), at_most(worst()));
    send(&bench.budget, &next, call).await.unwrap();
}
