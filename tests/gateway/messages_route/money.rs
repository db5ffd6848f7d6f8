//! Budgets of chats over Messages.

use serde_json::Value;

use super::{ENDPOINTS, start, with};
use crate::support::{
    money::{booked, budget, key, nano, of, standing},
    streamed, user,
};

#[tokio::test]
async fn settled_amount_is_the_bill() {
    let gateway = start().await;
    for name in ENDPOINTS {
        let (id, secret) = key(&gateway, budget(5.0)).await;
        let before = gateway.billed();
        for request in [
            user("Hello there"),
            streamed("one two three"),
            with(user("twice"), "n", 2),
            with(user("[simulate words 30]"), "max_tokens", 20),
        ] {
            let reply = gateway.as_key(&secret, &of(name, request)).await;
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        }
        gateway
            .until(async || {
                let booked = booked(&gateway, &id).await;
                booked.iter().map(|row| row.1).sum::<i64>() == 4
            })
            .await;
        let (settled, reserved) = standing(&gateway, &id).await;
        let (input, output) = gateway.billed();
        let bill = (input - before.0) * 2000 + (output - before.1) * 10_000;
        assert_eq!((nano(&settled), reserved.as_str()), (bill, "0"), "{name}");
    }
}

#[tokio::test]
async fn what_was_begun_is_never_free() {
    let gateway = start().await;
    for name in ENDPOINTS {
        for (fault, kind) in [
            ("cut", "estimated"),
            ("no-stop", "estimated"),
            ("no-done", ""),
            ("no-metadata", ""),
        ] {
            let (id, secret) = key(&gateway, budget(1.0)).await;
            let text = format!("[simulate words 50] [simulate {fault}]");
            gateway.as_key(&secret, &of(name, streamed(&text))).await;
            gateway
                .until(async || !booked(&gateway, &id).await.is_empty())
                .await;
            let booked = booked(&gateway, &id).await;
            assert!(nano(&booked[0].2) > 0, "{name} {fault}: {booked:?}");
            assert!(
                kind.is_empty() || booked[0].0 == kind,
                "{fault}: {booked:?}"
            );
            assert_eq!(standing(&gateway, &id).await.1, "0", "{name} {fault}");
        }
    }
}

#[tokio::test]
async fn refusals_are_free_and_calls_above_the_budget_are_not_sent() {
    let gateway = start().await;
    for name in ENDPOINTS {
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let request = of(name, user("[simulate throttle]"));
        assert_eq!(gateway.as_key(&secret, &request).await.status, 429);
        gateway
            .until(async || !booked(&gateway, &id).await.is_empty())
            .await;
        assert_eq!(standing(&gateway, &id).await.0, "0", "{name}");
        let (_, secret) = key(&gateway, budget(0.0001)).await;
        let before = gateway.simulator.received().len();
        let reply = gateway.as_key(&secret, &of(name, user("Hi"))).await;
        assert_eq!(reply.error()["code"], Value::from("insufficient_quota"));
        assert_eq!(gateway.simulator.received().len(), before, "{name}");
    }
}
