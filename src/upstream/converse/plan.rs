use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    model::ToolUseIdForm,
    money::{GuardrailFees, Price, Tier},
};

/// How to decode the reply to a request.
#[derive(Clone, Debug, Default)]
pub struct ReplyPlan {
    /// The client's tool names by the names that were sent, for names that were changed.
    pub names: HashMap<String, String>,
    /// The names that tools without namespaces would have, by namespace and name.
    pub namespaces: HashMap<(String, String), String>,
    /// Sent names of custom tools, whose input is text.
    pub custom: HashSet<String>,
    /// Makes the ids of calls unique in the conversation. `None` if the service does so.
    pub call_ids: Option<CallIds>,
    /// Name of the gateway's tool whose input is the answer.
    pub json_tool: Option<String>,
    /// Discards all tool calls.
    pub mute: bool,
    /// Warns if there is no tool call, because the client required one and the model was only instructed to make it.
    pub must_call: bool,
    /// Discards all tool calls after the first.
    pub one_call: bool,
    /// Emits `function_call` instead of `tool_calls`, because the request has the legacy `functions`.
    pub legacy: bool,
    /// Stop sequences that the gateway applies, because the model does not support them.
    pub stops: Vec<String>,
    /// Name of the element around reasoning inside the text, such as `think`.
    pub inline_tag: Option<String>,
    /// Strips a code fence around the answer.
    pub unfence: bool,
    /// Prefill that the request sent as the start of the answer.
    pub prefix: Option<&'static str>,
    /// JSON schema to check the answer against, if the model could not be forced to follow it.
    pub schema: Option<Value>,
    /// The client sent a schema, and the service does not enforce it.
    pub schema_is_unenforced: bool,
    /// The most that the guardrail of the request can cost.
    pub guardrail: GuardrailFees,
    /// Passes the guardrail trace on to the client.
    pub show_guardrail: bool,
    /// Prefix of reasoning signatures and redacted reasoning; identifies the model that produced them.
    pub mark: String,
    /// Price of the model.
    pub price: Option<Arc<Price>>,
    /// Requested tier.
    pub tier: Tier,
    /// Region of the target, for the price of a model that a prompt router chooses.
    pub region: String,
    /// Length of the videos in seconds, if it is billed.
    pub video_seconds: u64,
    /// Length of the request in bytes, for the estimate of input tokens if the service reports no usage.
    pub request_bytes: usize,
    /// The limit of the output that was sent, in tokens, if it is the gateway's own and below the model's maximum.
    pub own_limit: Option<u32>,
    /// The request asks for log probabilities.
    pub logprobs: bool,
    /// The most output that can be billed without being seen, in tokens, for the estimate of output tokens.
    pub unseen: u64,
}

/// What the ids of calls are derived from if the model gives none, or numbers the calls of each turn anew.
#[derive(Clone, Debug)]
pub struct CallIds {
    /// Identifies the answer.
    pub answer: String,
    pub form: ToolUseIdForm,
}

impl ReplyPlan {
    /// Returns the name that a tool would have without its namespace.
    pub fn flat_name(&self, namespace: &str, name: &str) -> String {
        let names = (namespace.to_owned(), name.to_owned());
        let known = self.namespaces.get(&names).cloned();
        known.unwrap_or_else(|| format!("{namespace}__{name}"))
    }

    /// Returns the plan for the reply to the same request without a service tier.
    pub fn at_standard_tier(&self) -> Self {
        Self {
            tier: Tier::Standard,
            ..self.clone()
        }
    }
}
