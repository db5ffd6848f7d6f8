//! Warnings about counted tokens.

use serde_json::json;

use super::{SETTINGS, gateway};
use crate::support::{ANY_KEY, Gateway};

#[tokio::test]
async fn only_an_estimated_count_is_called_one() {
    let gateway: Gateway = gateway().await;
    assert!(SETTINGS.contains("[models.haiku]"));
    for (model, is_estimated) in [("oss", true), ("haiku", false)] {
        let request = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}],
            "thinking": {"type": "enabled", "budget_tokens": 5000}});
        let path = "/v1/messages/count_tokens";
        let reply = gateway.ask(path, ANY_KEY, &request).await;
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert_eq!(
            warnings.contains("an upper bound"),
            is_estimated,
            "{model}: {warnings}"
        );
        assert!(!warnings.contains("max_tokens"), "{model}: {warnings}");
    }
}
