//! Facts about chats through InvokeModel.

use serde::{Deserialize, Serialize};

/// Chats through InvokeModel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Invoke {
    pub family: InvokeFamily,
    /// Accepts an output format and strict tools in the family's own body.
    #[serde(default)]
    pub structured_output: bool,
    /// The limit on output tokens is `max_completion_tokens` instead of `max_tokens`.
    #[serde(default)]
    pub max_completion_tokens: bool,
    /// The largest accepted limit on output tokens, if it is lower than on other routes.
    #[serde(default)]
    pub max_output_tokens: Option<u32>,
    /// Puts the system text before the last user turn instead of the first, in templates without a role for it.
    #[serde(default)]
    pub system_last: bool,
    /// The element that encloses reasoning within the answer's text on this route, such as `reasoning`.
    #[serde(default)]
    pub inline_tag: Option<String>,
    /// Accepts `logprobs` and `top_logprobs`, and returns log probabilities as OpenAI does.
    #[serde(default)]
    pub logprobs: bool,
    /// Accepts `structured_outputs`: a regular expression, choices or a grammar that the text must follow.
    #[serde(default)]
    pub grammars: bool,
    /// The accepted values of `anthropic_beta`.
    #[serde(default)]
    pub betas: Vec<String>,
}

impl Invoke {
    /// Reports whether replies have log probabilities in a form that clients understand. Those of a body with one prompt name
    /// tokens by numbers.
    pub fn returns_logprobs(&self) -> bool {
        self.logprobs && self.family == InvokeFamily::OpenaiChat
    }

    /// Reports whether the body accepts a grammar.
    pub fn accepts_grammars(&self) -> bool {
        self.grammars && self.family == InvokeFamily::OpenaiChat
    }

    /// Returns a family of which nothing more is known.
    pub fn of(family: InvokeFamily) -> Self {
        Self {
            family,
            structured_output: false,
            max_completion_tokens: false,
            max_output_tokens: None,
            system_last: false,
            inline_tag: None,
            logprobs: false,
            grammars: false,
            betas: Vec::new(),
        }
    }
}

/// The form of the request body and of the response body of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvokeFamily {
    /// Anthropic's Messages.
    Anthropic,
    /// A prompt in the template of Llama 3.
    Llama3,
    /// A prompt in the template of Llama 4.
    Llama4,
    /// A prompt in the `[INST]` template of Mistral.
    MistralText,
    /// Messages of Mistral Large 2407 and Pixtral.
    MistralChat,
    /// A prompt in the template of DeepSeek R1, whose answer begins inside its reasoning.
    DeepseekR1,
    /// OpenAI's chat completions.
    OpenaiChat,
    /// Nova's `messages-v1`.
    Nova,
    /// TwelveLabs Pegasus: one prompt about one video.
    Pegasus,
    /// A prompt of Titan Text, in which the turns are lines.
    TitanText,
    /// A message of Cohere's Command R, with the turns before it.
    CommandR,
    /// A prompt in the template of Llama 2.
    Llama2,
    /// A prompt of Anthropic's text completions: Claude 2 and Claude Instant.
    ClaudeText,
    /// One prompt for Cohere's Command.
    Command,
    /// One prompt for AI21's Jurassic-2.
    Jurassic,
}

impl InvokeFamily {
    /// Reports whether the body has one prompt of text, in which the gateway marks the turns if there can be several.
    pub fn is_template(self) -> bool {
        matches!(
            self,
            Self::Llama2
                | Self::Llama3
                | Self::Llama4
                | Self::MistralText
                | Self::DeepseekR1
                | Self::TitanText
                | Self::ClaudeText
                | Self::Command
                | Self::Jurassic
        )
    }

    /// Reports whether video is billed by its length instead of by tokens.
    pub fn bills_video(self) -> bool {
        matches!(self, Self::Pegasus)
    }
}
