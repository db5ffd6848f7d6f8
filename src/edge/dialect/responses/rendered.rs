//! Items of tools that only OpenAI runs. A history that began there has them, and the model should know what happened.

use serde_json::value::RawValue;

use crate::operation::chat::Role;

/// The item of a search of Knowledge Bases.
pub const FILE_SEARCH_CALL: &str = "file_search_call";

/// The bytes that the text of an item has more than the item, at most.
pub const MARGIN: usize = 100;

/// Items that the model wrote.
const OF_MODEL: [&str; 12] = [
    "apply_patch_call",
    "code_interpreter_call",
    "computer_call",
    "image_generation_call",
    "local_shell_call",
    "mcp_approval_request",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_call",
    "shell_call",
    "web_search_call",
];

/// Items that the model did not write. A file search runs before the model is asked, so its text must not become a part of
/// the model's turn, which begins with its reasoning.
const OF_CLIENT: [&str; 8] = [
    "agent_message",
    "apply_patch_call_output",
    "computer_call_output",
    FILE_SEARCH_CALL,
    "local_shell_call_output",
    "mcp_approval_response",
    "program_output",
    "shell_call_output",
];

/// Returns who wrote an item of this type, or `None` if the type is unknown.
pub fn author(kind: &str) -> Option<Role> {
    if OF_MODEL.contains(&kind) {
        Some(Role::Assistant)
    } else if OF_CLIENT.contains(&kind) {
        Some(Role::User)
    } else {
        None
    }
}

/// Returns the text for an item.
pub fn text(kind: &str, item: &RawValue) -> String {
    format!("[{kind}] {}", item.get())
}
