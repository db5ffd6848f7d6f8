//! What a model refuses on the OpenAI-compatible endpoints.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::{Host, NativeRefusal};

#[derive(Deserialize)]
struct File {
    families: Vec<Family>,
    mantle_ids: MantleIds,
}

#[derive(Deserialize)]
struct MantleIds {
    /// Ids of bedrock-runtime that bedrock-mantle does not know.
    refused: Vec<String>,
}

/// How reasoning appears in a reply.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningForm {
    /// Only in the usage.
    Hidden,
    /// As the member `reasoning`.
    Member,
    /// As an element of the text on bedrock-runtime, and as the member `reasoning` on bedrock-mantle.
    Tag,
}

#[derive(Deserialize)]
pub struct Family {
    /// How the base model's id begins.
    r#match: String,
    /// The path on bedrock-mantle.
    prefix: String,
    cap: String,
    pub efforts: Vec<String>,
    #[serde(default)]
    refuses: Vec<String>,
    pub tiers: Vec<String>,
    pub reasoning: ReasoningForm,
    #[serde(default)]
    pub positional_ids: bool,
    #[serde(default)]
    needs_profile: bool,
    #[serde(default)]
    mantle_only: bool,
    #[serde(default)]
    no_chat: bool,
    /// The hosts whose Responses serve the model: `runtime`, `mantle`.
    #[serde(default)]
    responses: Vec<String>,
    /// Responses carry encrypted reasoning.
    #[serde(default)]
    pub encrypted: bool,
    #[serde(default = "yes")]
    runtime_schema: bool,
}

fn yes() -> bool {
    true
}

static FILE: LazyLock<Option<File>> =
    // The file is part of the program: a test reads it.
    LazyLock::new(|| serde_json::from_str(include_str!("native.json")).ok());

impl Family {
    /// Returns the family of the model that `host` knows by `id`, for an API: `chat/completions` or `responses`.
    ///
    /// # Errors
    /// 404 if the host does not know the id, or 400 if the path is another family's.
    pub fn of(id: &str, host: &Host, api: &str) -> Result<&'static Self, NativeRefusal> {
        let unknown = || NativeRefusal {
            status: 404,
            kind: "not_found_error",
            code: Some("model_not_found"),
            param: None,
            message: format!("The model '{id}' does not exist"),
        };
        let file = FILE.as_ref().ok_or_else(unknown)?;
        let (geography, base) = match id.split_once('.') {
            Some((first, rest)) if ["us", "eu", "global", "us-gov"].contains(&first) => {
                (Some(first), rest)
            }
            _ => (None, id),
        };
        let mut families = file.families.iter();
        let family = families.find(|family| base.starts_with(&family.r#match));
        let family = family.filter(|_| id.contains('.')).ok_or_else(unknown)?;
        match host {
            Host::Runtime if family.mantle_only => Err(unknown()),
            Host::Runtime if family.needs_profile && geography.is_none() => {
                Err(NativeRefusal::invalid(
                    Some("model"),
                    format!(
                        "Invocation of model ID {id} with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model."
                    ),
                ))
            }
            Host::Mantle(_) if geography.is_some() || id.starts_with("arn:") => Err(unknown()),
            Host::Mantle(_) if file.mantle_ids.refused.iter().any(|refused| refused == id) => {
                Err(unknown())
            }
            Host::Mantle(prefix) if **prefix != *family.prefix => Err(NativeRefusal::invalid(
                None,
                format!("The model '{id}' does not support the '{prefix}/{api}' API"),
            )),
            _ if !family.offers(api, host) => Err(NativeRefusal {
                code: Some("validation_error"),
                ..NativeRefusal::invalid(
                    None,
                    format!("The model '{id}' does not support the '/v1/{api}' API"),
                )
            }),
            _ => Ok(family),
        }
    }

    fn offers(&self, api: &str, host: &Host) -> bool {
        let name = match host {
            Host::Runtime => "runtime",
            Host::Mantle(_) => "mantle",
        };
        match api {
            "responses" => self.responses.iter().any(|known| known == name),
            _ => !self.no_chat,
        }
    }

    /// Reports whether the model refuses `what`.
    pub fn refuses(&self, what: &str) -> bool {
        self.refuses.iter().any(|refused| refused == what)
    }

    /// Checks the members of a request that some models refuse.
    ///
    /// # Errors
    /// 400 that names the member; 503 for penalties.
    pub fn check(&self, request: &Value, host: &Host) -> Result<(), NativeRefusal> {
        let has = |name: &str| !request[name].is_null();
        let refuses = |what: &str| self.refuses(what);
        let effort = request["reasoning_effort"].as_str();
        let reasons = effort != Some("none");
        let refuse = |name: &'static str, why: &str| {
            Err(NativeRefusal::invalid(
                Some(name),
                format!("Unsupported parameter: '{name}' {why}"),
            ))
        };
        let other_cap = match self.cap.as_str() {
            "max_tokens" => "max_completion_tokens",
            _ => "max_tokens",
        };
        if has(other_cap) && self.cap == "max_completion_tokens" {
            return refuse(
                "max_tokens",
                "is not supported with this model. Use 'max_completion_tokens' instead.",
            );
        }
        let count = request[self.cap.as_str()].as_u64();
        if count.is_none_or(|count| count == 0) {
            return Err(NativeRefusal::invalid(
                None,
                "The simulator requires a limit of the output, because the default is the model's maximum.",
            ));
        }
        if effort.is_some_and(|effort| !self.efforts.iter().any(|known| known == effort)) {
            return refuse("reasoning_effort", "does not support this value.");
        }
        for name in [
            "temperature",
            "top_p",
            "frequency_penalty",
            "presence_penalty",
            "logprobs",
        ] {
            if has(name) && reasons && refuses("sampling_while_reasoning") {
                return refuse(name, "is not supported while reasoning.");
            }
        }
        for name in ["stop", "logit_bias"] {
            if has(name) && refuses(name) {
                return refuse(name, "is not supported with this model.");
            }
        }
        if (has("frequency_penalty") || has("presence_penalty")) && refuses("penalties") {
            return Err(NativeRefusal {
                status: 503,
                kind: "service_unavailable",
                code: None,
                param: None,
                message: "The service is temporarily unavailable".to_owned(),
            });
        }
        let tools = has("tools");
        if tools && (refuses("tools") || (refuses("tools_while_reasoning") && reasons)) {
            return refuse("tools", "is not supported with this model and effort.");
        }
        if has("tool_choice") && request["tool_choice"] != "auto" && refuses("forced_choice") {
            return refuse("tool_choice", "supports only 'auto'.");
        }
        let schema = request["response_format"]["type"] == "json_schema";
        if schema && *host == Host::Runtime && !self.runtime_schema {
            return refuse("response_format", "is not supported with this model.");
        }
        let mut roles = request["messages"].as_array().into_iter().flatten();
        if refuses("system") && roles.any(|message| message["role"] == "system") {
            return Err(NativeRefusal::invalid(
                Some("messages"),
                "The role 'system' is not supported.",
            ));
        }
        let tier = request["service_tier"].as_str();
        let offers =
            |tier: &str| *host != Host::Runtime && self.tiers.iter().any(|known| known == tier);
        if tier.is_some_and(|tier| !offers(tier)) {
            return refuse("service_tier", "has a value that is not available.");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::FILE;

    #[test]
    fn file_is_read() {
        assert!(FILE.is_some());
    }
}
