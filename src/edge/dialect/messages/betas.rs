//! Beta flags, and the members that are valid only with one.

use axum::http::HeaderMap;
use serde_json::{Value, value::RawValue};

use crate::{
    anthropic::request::MessagesRequest,
    call::Warnings,
    catalogue::betas,
    operation::chat::messages_options::{
        BLOCK_BINDING, CONTEXT_MANAGEMENT, DISPLAY, MessagesOptions,
    },
};

/// The most flags of one request. Clients send about ten.
const MAX_FLAGS: usize = 64;

/// Takes the beta flags of the headers and the body, and the members that need one.
pub fn take(
    body: &mut MessagesRequest,
    headers: &HeaderMap,
    warnings: &Warnings,
) -> MessagesOptions {
    let mut options = MessagesOptions {
        betas: flags(body, headers),
        ..MessagesOptions::default()
    };
    if let Some(edits) = context_management(body.context_management.take(), warnings) {
        options.add(CONTEXT_MANAGEMENT, Some(edits));
    }
    if let Some(thinking) = &mut body.thinking {
        if let Some(binding) = thinking.block_binding.take() {
            options.add(BLOCK_BINDING, Some(binding));
        }
        if thinking.display.as_deref() == Some("updates") {
            options.add(DISPLAY, None);
        }
    }
    options
}

/// Returns the flags by Bedrock's names, each once, without those that have no effect there.
pub fn flags(body: &MessagesRequest, headers: &HeaderMap) -> Vec<String> {
    let headers = headers.get_all("anthropic-beta").iter();
    let headers = headers
        .filter_map(|flags| flags.to_str().ok())
        .flat_map(|flags| flags.split(','))
        .map(|flag| flag.trim().to_owned());
    let in_body = [&body.betas, &body.anthropic_beta];
    let in_body = in_body
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|flag| serde_json::from_str::<String>(flag.get()).ok());
    let mut flags: Vec<String> = Vec::new();
    for flag in headers.chain(in_body) {
        let flag = betas::current(&flag);
        // Others cannot be written as a header.
        let is_name = !flag.is_empty() && flag.bytes().all(|byte| byte.is_ascii_graphic());
        let is_new = !flags.iter().any(|known| known == flag);
        if is_name && is_new && !betas::is_quiet(flag) && flags.len() < MAX_FLAGS {
            flags.push(flag.to_owned());
        }
    }
    flags
}

/// Returns the edits of the context, unless they keep everything. Compaction is dropped, because it costs more than the
/// gateway reserves for the answer.
fn context_management(
    options: Option<Box<RawValue>>,
    warnings: &Warnings,
) -> Option<Box<RawValue>> {
    let raw = options?;
    let options: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let Some(edits) = options["edits"].as_array() else {
        return Some(raw);
    };
    let kind = |edit: &Value| edit["type"].as_str().unwrap_or_default().to_owned();
    let keeps_all =
        |edit: &Value| kind(edit).starts_with("clear_thinking") && edit["keep"] == "all";
    if edits.iter().all(keeps_all) {
        return None;
    }
    if edits.iter().any(|edit| kind(edit).starts_with("compact")) {
        warnings.dropped(
            CONTEXT_MANAGEMENT,
            "a compaction costs more than the gateway reserves",
        );
        return None;
    }
    Some(raw)
}
