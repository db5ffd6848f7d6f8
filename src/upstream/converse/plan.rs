use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use crate::money::{Price, Tier};

/// What the request decided about the reading of its reply.
#[derive(Debug, Default)]
pub struct ReplyPlan {
    /// Sent names of tools, and what the client calls them, where the two differ.
    pub names: HashMap<String, String>,
    /// Sent names of tools whose input is text.
    pub custom: HashSet<String>,
    /// The tool of ours whose input is the answer.
    pub json_tool: Option<String>,
    /// Calls are not for the client.
    pub mute: bool,
    /// The client wants a call, and the model could only be told so.
    pub must_call: bool,
    /// Only the first call is for the client.
    pub one_call: bool,
    /// The client asked with the legacy `functions`.
    pub legacy: bool,
    /// Stop sequences that the model does not know of.
    pub stops: Vec<String>,
    pub inline_tag: Option<String>,
    pub unfence: bool,
    /// What was put into the model's mouth and belongs to the answer.
    pub prefix: Option<&'static str>,
    /// What an answer must fit that could not be forced.
    pub schema: Option<Value>,
    pub show_guardrail: bool,
    /// Stands before the signature of reasoning, and before what is encrypted of it.
    pub mark: String,
    pub price: Option<Arc<Price>>,
    pub tier: Tier,
    pub region: String,
    /// Bounds the estimate that is made when the service tells no usage.
    pub request_bytes: usize,
}
