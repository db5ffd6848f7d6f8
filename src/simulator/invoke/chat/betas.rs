//! Beta flags of Claude, and the members that are valid only with one. The rules are the simulator's own.

use serde_json::Value;

use crate::simulator::ServiceError;

/// The flags that InvokeModel accepts for every Claude.
const FLAGS: [&str; 13] = [
    "compact-2026-01-12",
    "compact-2026-09-04",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "dangerous-tool-use-2026-09-03",
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "mid-conversation-output-config-2026-07-01",
    "mid-conversation-tool-changes-2026-07-01",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
];

const TOOL_SEARCH: &str = "tool-search-tool-2025-10-19";

const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";

/// Models before tool search.
const WITHOUT_TOOL_SEARCH: [&str; 4] = ["claude-3", "sonnet-4-20", "opus-4-20", "opus-4-1"];

/// Models that refuse the flag of interleaved thinking.
const WITHOUT_INTERLEAVED: [&str; 2] = ["claude-3", "haiku-4-5"];

/// Checks the flags in the body of InvokeModel, and the members that need one.
///
/// # Errors
/// `ValidationException` for an unknown flag, or a member without its flag.
pub fn check(model_id: &str, body: &Value) -> Result<(), ServiceError> {
    let flags: Vec<&str> = list(&body["anthropic_beta"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let is_any = |parts: &[&str]| parts.iter().any(|part| model_id.contains(part));
    let is_known = |flag: &str| match flag {
        TOOL_SEARCH => !is_any(&WITHOUT_TOOL_SEARCH),
        INTERLEAVED => !is_any(&WITHOUT_INTERLEAVED),
        flag => FLAGS.contains(&flag),
    };
    if !flags.iter().all(|flag| is_known(flag)) {
        return Err(ServiceError::validation("invalid beta flag"));
    }
    check_members(&flags, body)
}

/// Checks the members that need a flag.
///
/// # Errors
/// `ValidationException` for a member without its flag.
pub fn check_members(flags: &[&str], body: &Value) -> Result<(), ServiceError> {
    let has = |start: &str| flags.iter().any(|flag| flag.starts_with(start));
    let extra = |path: &str| {
        let text = format!("{path}: Extra inputs are not permitted");
        Err(ServiceError::validation(text))
    };
    if !body["context_management"].is_null() && !has("context-management") {
        return extra("context_management");
    }
    let thinking = &body["thinking"];
    if !thinking["block_binding"].is_null() && !has("thinking-binding-controls") {
        return extra("thinking.adaptive.block_binding");
    }
    if thinking["display"] == "updates" && !has("thinking-display-updates") {
        let text = "thinking.adaptive.display: Input should be 'summarized' or 'omitted'";
        return Err(ServiceError::validation(text));
    }
    let tools = list(&body["tools"]);
    for (at, tool) in tools.iter().enumerate() {
        let is_deferred = tool["defer_loading"] == true;
        if !tool["defer_loading"].is_null() && !has(TOOL_SEARCH) {
            return extra(&format!("tools.{at}.custom.defer_loading"));
        }
        if is_deferred && tool["cache_control"].is_object() {
            let text = format!("tools.{at}: cache_control cannot be set with defer_loading");
            return Err(ServiceError::validation(text));
        }
        let kind = tool["type"].as_str().unwrap_or("custom");
        if kind.starts_with("computer_") && !has("computer-use") {
            let text = format!("tools.{at}: Input tag '{kind}' found using 'type' does not match");
            return Err(ServiceError::validation(text));
        }
        if kind == "custom" && !tool["input_schema"].is_object() {
            let text = format!("tools.{at}.custom.input_schema: Field required");
            return Err(ServiceError::validation(text));
        }
    }
    if !tools.is_empty() && tools.iter().all(|tool| tool["defer_loading"] == true) {
        let text = "tools: At least one tool must have defer_loading=false.";
        return Err(ServiceError::validation(text));
    }
    check_references(body, has(TOOL_SEARCH))
}

/// Checks that every referenced tool is in the list.
fn check_references(body: &Value, is_allowed: bool) -> Result<(), ServiceError> {
    let names: Vec<&Value> = list(&body["tools"])
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    let blocks = list(&body["messages"])
        .iter()
        .flat_map(|message| list(&message["content"]));
    for inner in blocks.flat_map(|block| list(&block["content"])) {
        let is_reference = inner["type"] == "tool_reference";
        if is_reference && !(is_allowed && names.contains(&&inner["tool_name"])) {
            let text = "messages: Tool reference not found in available tools";
            return Err(ServiceError::validation(text));
        }
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
