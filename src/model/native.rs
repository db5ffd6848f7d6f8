//! Facts about the OpenAI endpoints of Bedrock, and about the bodies of InvokeModel.

use serde::{Deserialize, Serialize};

/// What OpenAI's endpoints of Bedrock accept for a model. The default is permissive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct Native {
    /// The id on bedrock-mantle, if it differs from the base model's.
    pub mantle_id: Option<String>,
    /// bedrock-runtime accepts only the id of an inference profile.
    pub needs_profile: bool,
    /// The accepted values of `reasoning_effort`, weakest first.
    pub efforts: Vec<String>,
    /// Accepts `tools`.
    pub tools: bool,
    /// Accepts `tools` together with reasoning.
    pub tools_while_reasoning: bool,
    /// Keeps a `tool_choice` other than `auto`.
    pub forced_choice: bool,
    /// Accepts `stop`.
    pub stop: bool,
    /// The types of `response_format` that bedrock-runtime honors.
    pub formats: Vec<String>,
    /// The types of `response_format` that bedrock-mantle honors.
    pub mantle_formats: Vec<String>,
    /// bedrock-mantle accepts the tiers `flex` and `priority`.
    pub tiers: bool,
}

impl Default for Native {
    fn default() -> Self {
        let formats = || ["json_schema", "json_object"].map(str::to_owned).to_vec();
        Self {
            mantle_id: None,
            needs_profile: false,
            efforts: ["low", "medium", "high"].map(str::to_owned).to_vec(),
            tools: true,
            tools_while_reasoning: true,
            forced_choice: true,
            stop: true,
            formats: formats(),
            mantle_formats: formats(),
            tiers: true,
        }
    }
}

/// The form of the bodies with which InvokeModel serves chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvokeFamily {
    /// Anthropic's Messages.
    Anthropic,
    /// Anthropic's text completions.
    AnthropicText,
    /// Amazon Nova's messages.
    Nova,
    /// Amazon Titan's text.
    TitanText,
    /// A prompt in Llama 2's template.
    Llama2,
    /// A prompt in Llama 3's template.
    Llama3,
    /// A prompt in Llama 4's template.
    Llama4,
    /// A prompt in Mistral's template.
    MistralText,
    /// Mistral's messages.
    MistralChat,
    /// A prompt of Cohere Command.
    CohereCommand,
    /// The message and history of Cohere Command R.
    CohereR,
    /// AI21 Jamba's messages.
    Jamba,
    /// A prompt of AI21 Jurassic-2.
    J2,
    /// A prompt in DeepSeek R1's template.
    DeepseekR1,
    /// OpenAI's chat completions.
    OpenaiChat,
    /// A video and a prompt of TwelveLabs Pegasus.
    Pegasus,
}

impl InvokeFamily {
    /// Reports whether the body has tools. All others are a text, or take no tools on Bedrock.
    pub fn takes_tools(self) -> bool {
        matches!(
            self,
            Self::Anthropic | Self::Nova | Self::MistralChat | Self::OpenaiChat
        )
    }

    /// Reports whether the body has images.
    pub fn takes_images(self) -> bool {
        matches!(self, Self::Anthropic | Self::Nova | Self::OpenaiChat)
    }

    /// Reports whether the body has documents.
    pub fn takes_documents(self) -> bool {
        self == Self::Anthropic
    }

    /// Reports whether the body has videos.
    pub fn takes_videos(self) -> bool {
        matches!(self, Self::Nova | Self::Pegasus)
    }

    /// Reports whether the body has markers for the prompt cache.
    pub fn takes_cache_points(self) -> bool {
        matches!(self, Self::Anthropic | Self::Nova)
    }

    /// Reports whether the body has a member for `top_k`.
    pub fn takes_top_k(self) -> bool {
        matches!(
            self,
            Self::Anthropic
                | Self::AnthropicText
                | Self::Nova
                | Self::MistralText
                | Self::CohereCommand
                | Self::CohereR
        )
    }

    /// Reports whether the answer can be held to a JSON schema.
    pub fn takes_schemas(self) -> bool {
        matches!(self, Self::Anthropic | Self::Nova | Self::Pegasus)
    }
}
