//! The APIs of Bedrock that answer requests to models.

use serde::{Deserialize, Serialize, de::IntoDeserializer as _};

/// An API of Bedrock. The catalogue lists those that serve a model; no version of the gateway has to support them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Converse and ConverseStream.
    Converse,
    /// InvokeModel and InvokeModelWithResponseStream, with a body in the form of the model's family.
    Invoke,
    /// OpenAI's chat completions on bedrock-runtime.
    Chat,
    /// OpenAI's Responses on bedrock-runtime.
    Responses,
    /// Anthropic's Messages on bedrock-runtime.
    Messages,
    /// OpenAI's chat completions on bedrock-mantle.
    MantleChat,
    /// OpenAI's Responses on bedrock-mantle.
    MantleResponses,
    /// Anthropic's Messages on bedrock-mantle.
    MantleMessages,
    /// Rerank on bedrock-agent-runtime.
    Rerank,
    /// InvokeGuardrailChecks.
    GuardrailChecks,
    /// ApplyGuardrail, as an operation of its own.
    ApplyGuardrail,
    /// StartAsyncInvoke.
    Async,
    /// InvokeModelWithBidirectionalStream.
    Bidi,
}

impl Route {
    /// The routes of a chat model that is not in the catalogue. All but the first are unproven.
    pub const OF_UNKNOWN_MODELS: [Self; 6] = [
        Self::Converse,
        Self::Invoke,
        Self::Chat,
        Self::MantleChat,
        Self::Responses,
        Self::MantleResponses,
    ];

    /// The name in headers, logs and the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::Invoke => "invoke",
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::MantleChat => "mantle_chat",
            Self::MantleResponses => "mantle_responses",
            Self::MantleMessages => "mantle_messages",
            Self::Rerank => "rerank",
            Self::GuardrailChecks => "guardrail_checks",
            Self::ApplyGuardrail => "apply_guardrail",
            Self::Async => "async",
            Self::Bidi => "bidi",
        }
    }

    /// Returns the route with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// Reports whether Bedrock's model invocation log names the gateway's id of every request on the route. The requests of
    /// other routes cannot carry it, or are not in the log.
    pub fn is_logged(self) -> bool {
        matches!(self, Self::Converse | Self::Invoke)
    }

    /// Reports whether the route is OpenAI's Responses.
    pub fn is_responses(self) -> bool {
        matches!(self, Self::Responses | Self::MantleResponses)
    }

    /// Reports whether bedrock-mantle serves the route. It has no guardrails, inference profiles or invocation log.
    pub fn is_mantle(self) -> bool {
        matches!(
            self,
            Self::MantleChat | Self::MantleResponses | Self::MantleMessages
        )
    }
}
