//! The chat endpoints of Bedrock in the forms of OpenAI and Anthropic, as a model family supports them.

use serde::{Deserialize, Serialize};

use super::{Sampling, ToolChoiceMode};

/// How a model differs from OpenAI's API on the endpoints `chat` (bedrock-runtime) and `mantle_chat` (bedrock-mantle), and
/// its ids and features on all endpoints of both hosts.
/// The default, for a model that is not in the catalogue, is what most open-weight models accept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct Native {
    /// The path of the model's endpoints on bedrock-mantle.
    pub mantle_prefix: MantlePrefix,
    /// The model's id on bedrock-mantle. If `None`, it is the base id.
    pub mantle_id: Option<String>,
    /// bedrock-runtime accepts only the id of an inference profile.
    pub needs_profile: bool,
    /// The member that limits the output.
    pub cap: Cap,
    /// The largest accepted `temperature`.
    pub max_temperature: f64,
    pub sampling: Sampling,
    /// Accepts `frequency_penalty` and `presence_penalty`.
    pub penalties: bool,
    /// Accepts `seed`.
    pub seed: bool,
    /// Accepts `stop`. If false, the gateway ends the text itself.
    pub stop: bool,
    /// Accepts system messages. If false, their text is put before the first user message.
    pub system: bool,
    pub tools: NativeTools,
    /// The accepted forms of `tool_choice`. The gateway emulates the others.
    pub tool_choice: Vec<ToolChoiceMode>,
    /// Numbers the calls of each turn from `call_0`, and expects the same ids back.
    pub positional_tool_ids: bool,
    /// Where `response_format` accepts a JSON schema.
    pub json_schema: Endpoints,
    /// Where `response_format` accepts `json_object`.
    pub json_object: Endpoints,
    /// The accepted values of `reasoning_effort`, weakest first. Empty if there is no such parameter.
    pub efforts: Vec<String>,
    /// The element around reasoning at the start of the text on bedrock-runtime, such as `reasoning`.
    pub runtime_reasoning_tag: Option<String>,
    /// Replies do not contain the reasoning, only its tokens.
    pub hides_reasoning: bool,
    /// The values of `service_tier` that bedrock-mantle accepts.
    pub tiers: Vec<String>,
    /// Accepts `verbosity`.
    pub verbosity: bool,
    /// Accepts tools whose input is text, with a grammar, on Responses.
    pub custom_tools: bool,
    /// Accepts tools in namespaces on Responses.
    pub namespaces: bool,
    /// The values of `anthropic-beta` that Messages accepts on bedrock-runtime.
    pub betas: Vec<String>,
    /// The values of `anthropic-beta` that Messages accepts on bedrock-mantle.
    pub mantle_betas: Vec<String>,
}

/// The path of a model's endpoints on bedrock-mantle. With the wrong one the service stalls or answers with a 401.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum MantlePrefix {
    #[default]
    #[serde(rename = "v1")]
    V1,
    #[serde(rename = "openai/v1")]
    OpenAi,
}

impl MantlePrefix {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::OpenAi => "openai/v1",
        }
    }
}

/// The member that limits the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cap {
    #[default]
    MaxTokens,
    MaxCompletionTokens,
}

/// Support for tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NativeTools {
    Never,
    /// Only with `reasoning_effort` `none`.
    WithoutReasoning,
    #[default]
    Always,
}

/// Endpoints that support a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoints {
    #[default]
    None,
    Mantle,
    Both,
}

impl Default for Native {
    fn default() -> Self {
        Self {
            mantle_prefix: MantlePrefix::V1,
            mantle_id: None,
            needs_profile: false,
            cap: Cap::MaxTokens,
            max_temperature: 2.0,
            sampling: Sampling::All,
            penalties: true,
            seed: false,
            stop: true,
            system: true,
            tools: NativeTools::Always,
            tool_choice: vec![
                ToolChoiceMode::Auto,
                ToolChoiceMode::Any,
                ToolChoiceMode::Tool,
            ],
            positional_tool_ids: false,
            json_schema: Endpoints::None,
            json_object: Endpoints::None,
            efforts: Vec::new(),
            runtime_reasoning_tag: None,
            hides_reasoning: false,
            tiers: Vec::new(),
            verbosity: false,
            custom_tools: false,
            namespaces: false,
            betas: Vec::new(),
            mantle_betas: Vec::new(),
        }
    }
}
