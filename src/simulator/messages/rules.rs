//! What the hosts accept. Unknown members are refused, because a real server may ignore them.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Host, Refusal};
use crate::simulator::invoke::{
    body,
    chat::{ChatFamily, betas},
};

#[derive(Deserialize)]
struct File {
    /// Models of both hosts, without the vendor.
    runtime: Vec<String>,
    mantle_only: Vec<String>,
    betas: Vec<String>,
    runtime_betas: Vec<String>,
    mantle_betas: Vec<String>,
}

static FILE: LazyLock<Option<File>> =
    // The file is part of the program: a test reads it.
    LazyLock::new(|| serde_json::from_str(include_str!("models.json")).ok());

/// Members of InvokeModel's body, which Messages does not have.
const NOT_HERE: [&str; 3] = [
    "anthropic_version",
    "anthropic_beta",
    "amazon-bedrock-guardrailConfig",
];

/// The documented version, and the one that Anthropic's SDKs send since 2.0.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// The geographies of inference profiles that the simulator knows.
const PROFILES: [&str; 8] = ["us", "eu", "apac", "jp", "au", "in", "us-gov", "global"];

/// Writes texts that stand for one block as lists of blocks.
pub fn with_blocks(mut request: Value) -> Value {
    let as_blocks = |member: &mut Value| {
        if let Some(text) = member.as_str() {
            *member = json!([{"type": "text", "text": text}]);
        }
    };
    if request["system"].is_string() {
        as_blocks(&mut request["system"]);
    }
    for message in request["messages"].as_array_mut().into_iter().flatten() {
        as_blocks(&mut message["content"]);
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if block["type"] == "tool_result" {
                as_blocks(&mut block["content"]);
            }
        }
    }
    request
}

/// # Errors
/// 404 if the host does not know the model by this id, or 400 if it needs an inference profile.
pub fn check_model(id: &str, host: Host) -> Result<(), Refusal> {
    let unknown = || Refusal {
        status: 404,
        kind: "not_found_error",
        message: format!("The model '{id}' does not exist"),
    };
    let file = FILE.as_ref().ok_or_else(unknown)?;
    let (profile, bare) = match id.split_once('.') {
        Some((first, rest)) if PROFILES.contains(&first) => (Some(first), rest),
        _ => (None, id),
    };
    let name = bare.strip_prefix("anthropic.").ok_or_else(unknown)?;
    let is_in = |list: &[String]| list.iter().any(|known| known == name);
    match host {
        Host::Runtime if !is_in(&file.runtime) => Err(unknown()),
        Host::Runtime if profile.is_none() => Err(Refusal::invalid(format!(
            "Invocation of model ID {id} with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model."
        ))),
        Host::Mantle if profile.is_some() => Err(unknown()),
        Host::Mantle if !is_in(&file.runtime) && !is_in(&file.mantle_only) => Err(unknown()),
        _ => Ok(()),
    }
}

/// Returns the beta flags.
pub fn flags(headers: &HeaderMap) -> Vec<&str> {
    let given = headers.get("anthropic-beta");
    let given = given.and_then(|value| value.to_str().ok());
    let given = given.into_iter().flat_map(|all| all.split(','));
    given.map(str::trim).collect()
}

/// # Errors
/// 400 for a version or a beta that the host does not know, or a guardrail that bedrock-mantle would ignore.
pub fn check_headers(headers: &HeaderMap, host: Host) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if !text("anthropic-version").is_some_and(|version| VERSIONS.contains(&version)) {
        return Err(Refusal::invalid(
            "anthropic-version: header is required, and must be a known version",
        ));
    }
    let Some(file) = FILE.as_ref() else {
        return Ok(());
    };
    let own = match host {
        Host::Runtime => &file.runtime_betas,
        Host::Mantle => &file.mantle_betas,
    };
    for beta in flags(headers) {
        if !file.betas.iter().chain(own).any(|known| *known == beta) {
            return Err(Refusal::invalid(format!(
                "Unexpected value(s) `{beta}` for the `anthropic-beta` header."
            )));
        }
    }
    if host == Host::Mantle && headers.contains_key("x-amzn-bedrock-guardrailidentifier") {
        return Err(Refusal::invalid(
            "a guardrail was sent to an endpoint that ignores it",
        ));
    }
    Ok(())
}

/// # Errors
/// 400 for a body that the endpoint rejects.
pub fn check_body(request: &Value, host: Host, flags: &[&str]) -> Result<(), Refusal> {
    let Some(family) = ChatFamily::of("anthropic.claude-sonnet-5") else {
        return Ok(());
    };
    let mut schema = family.schema().clone();
    if let Some(members) = schema["properties"].as_object_mut() {
        members.retain(|name, _| !NOT_HERE.contains(&name.as_str()));
        members.insert("model".to_owned(), json!({"type": "string"}));
        members.insert("stream".to_owned(), json!({"type": "boolean"}));
    }
    schema["required"] = json!(["model", "max_tokens", "messages"]);
    let violations = body::violations(&schema, request);
    if !violations.is_empty() {
        return Err(Refusal::invalid(violations.concat()));
    }
    betas::check_members(flags, request)?;
    match host == Host::Mantle && request["output_config"]["format"].is_object() {
        true => Err(Refusal::invalid(
            "output_config.format: Extra inputs are not permitted",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read() {
        assert!(FILE.is_some());
    }

    #[test]
    fn hosts_have_their_own_ids() {
        let (newest, only) = ("anthropic.claude-sonnet-5", "anthropic.claude-mythos-5");
        assert!(check_model(&format!("us.{newest}"), Host::Runtime).is_ok());
        assert!(check_model(newest, Host::Runtime).is_err());
        assert!(check_model(newest, Host::Mantle).is_ok());
        assert!(check_model(&format!("us.{newest}"), Host::Mantle).is_err());
        assert!(check_model(only, Host::Mantle).is_ok());
        assert!(check_model(&format!("us.{only}"), Host::Runtime).is_err());
    }
}
