//! What the service bills.

use serde_json::{Value, json};

use super::{Simulator, request_id};

/// The number of lines that the invocation log keeps.
const MAX_INVOCATIONS: usize = 20_000;

impl Simulator {
    /// Every billed call, as a line of Bedrock's model invocation log. Replies that break off are billed, too.
    pub fn invocations(&self) -> Vec<Value> {
        self.shared().invocations.iter().cloned().collect()
    }

    /// Takes the lines out of the log.
    pub fn take_invocations(&self) -> Vec<Value> {
        self.shared().invocations.drain(..).collect()
    }

    /// The `usage` of every evaluation by a guardrail, which no log of Bedrock has. Requests without a reply are billed, too.
    pub fn guardrails(&self) -> Vec<Value> {
        self.shared().guardrails.iter().cloned().collect()
    }

    pub(super) fn bill_guardrail(&self, usage: &Value) {
        let mut shared = self.shared();
        if shared.guardrails.len() == MAX_INVOCATIONS {
            shared.guardrails.pop_front();
        }
        shared.guardrails.push_back(usage.clone());
    }

    pub(super) fn bill(&self, operation: &str, model_id: &str, metadata: &Value, usage: &Value) {
        let mut shared = self.shared();
        if shared.invocations.len() == MAX_INVOCATIONS {
            shared.invocations.pop_front();
        }
        let count = |name: &str| usage[name].as_u64().unwrap_or(0);
        shared.invocations.push_back(json!({
            "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "requestId": request_id::next(), "operation": operation,
            "modelId": model_id, "requestMetadata": metadata,
            "input": {"inputTokenCount": count("inputTokens"), "cacheReadInputTokenCount": count("cacheReadInputTokens"),
                      "cacheWriteInputTokenCount": count("cacheWriteInputTokens")},
            "output": {"outputTokenCount": count("outputTokens")},
            // Not in the log of the service: units other than tokens.
            "units": {"queries": count("queries"), "images": count("images"), "video_seconds": count("videoSeconds")},
        }));
    }
}
