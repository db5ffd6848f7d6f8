//! The features that decide about a route.

/// A feature that not every route carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A guardrail that the call to the model carries.
    Guardrail,
    /// Options of that guardrail, or its trace.
    GuardrailOptions,
    /// Latency-optimized inference.
    Latency,
    /// A service tier other than the default.
    Tier,
    /// Metadata for the model invocation log.
    Metadata,
    CachePoint,
    Document,
    Image,
    Video,
    Audio,
    Tools,
    ToolsWithReasoning,
    /// A `tool_choice` other than `auto`.
    ForcedChoice,
    JsonSchema,
    JsonObject,
    Stop,
    /// Log probabilities of the answer's tokens.
    Logprobs,
    /// A regular expression, choices or a grammar that the answer must follow.
    Grammar,
    TopK,
    /// Members of the request in the model's own form.
    RequestFields,
    /// Members of `bedrock` that only Converse has.
    ConverseFields,
    /// Items of OpenAI's Responses, such as encrypted reasoning and tools whose input is text.
    Items,
    /// Beta flags of Anthropic's Messages, and what they carry.
    Betas,
    /// A tool of Anthropic's that the client runs, and whose form only Claude knows.
    ClientTool,
    /// A tool that AWS runs.
    ServerTool,
}

impl Feature {
    /// All features, in the order in which they decide about a route.
    pub const ALL: [Self; 25] = [
        Self::Guardrail,
        Self::GuardrailOptions,
        Self::Latency,
        Self::Tier,
        Self::Metadata,
        Self::CachePoint,
        Self::Document,
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Tools,
        Self::ToolsWithReasoning,
        Self::ForcedChoice,
        Self::JsonSchema,
        Self::JsonObject,
        Self::Stop,
        Self::Logprobs,
        Self::Grammar,
        Self::TopK,
        Self::RequestFields,
        Self::ConverseFields,
        Self::Items,
        Self::Betas,
        Self::ClientTool,
        Self::ServerTool,
    ];

    /// The reason in `x-lintel-route` if the feature decides about the route.
    pub fn word(self) -> &'static str {
        match self {
            Self::Guardrail => "guardrail",
            Self::GuardrailOptions => "trace",
            Self::Latency => "latency",
            Self::Tier => "tier",
            Self::Metadata => "metadata",
            Self::CachePoint => "cache_point",
            Self::Document => "document",
            Self::Image | Self::Video | Self::Audio => "media",
            Self::Tools => "tools",
            Self::ToolsWithReasoning => "tools_with_reasoning",
            Self::ForcedChoice => "forced_choice",
            Self::JsonSchema | Self::JsonObject => "response_format",
            Self::Stop => "stop",
            Self::Logprobs => "logprobs",
            Self::Grammar => "grammar",
            Self::TopK => "top_k",
            Self::RequestFields => "request_fields",
            Self::ConverseFields => "converse_fields",
            Self::Items | Self::Betas => "passthrough",
            Self::ClientTool => "client_tool",
            Self::ServerTool => "server_tool",
        }
    }

    /// The feature in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guardrail => "guardrails",
            Self::GuardrailOptions => "options and the trace of a guardrail",
            Self::Latency => "optimized latency",
            Self::Tier => "service tiers",
            Self::Metadata => "request metadata",
            Self::CachePoint => "cache points",
            Self::Document => "documents",
            Self::Image => "images",
            Self::Video => "videos",
            Self::Audio => "audio",
            Self::Tools => "tools",
            Self::ToolsWithReasoning => "tools with reasoning",
            Self::ForcedChoice => "a forced tool choice",
            Self::JsonSchema => "JSON schemas",
            Self::JsonObject => "JSON objects",
            Self::Stop => "stop sequences",
            Self::Logprobs => "log probabilities",
            Self::Grammar => "grammars",
            Self::TopK => "top_k",
            Self::RequestFields => "additional request fields",
            Self::ConverseFields => "members that only Converse has",
            Self::Items => "items of OpenAI's Responses",
            Self::Betas => "beta features of Anthropic's Messages",
            Self::ClientTool => "tools whose form only Claude knows",
            Self::ServerTool => "web search",
        }
    }

    /// Reports whether only few models have the feature, so that it is no loss for the others.
    pub(super) fn is_rare(self) -> bool {
        matches!(
            self,
            Self::Items | Self::Betas | Self::ClientTool | Self::Logprobs | Self::Grammar
        )
    }

    /// Reports whether an answer without the feature would be wrong, unsafe or billed differently. Without others it is
    /// poorer, and a warning says so.
    pub fn is_essential(self) -> bool {
        matches!(
            self,
            Self::Guardrail
                | Self::Tier
                | Self::Latency
                | Self::Document
                | Self::Image
                | Self::Video
                | Self::Audio
                | Self::Tools
                | Self::ClientTool
                | Self::Logprobs
                | Self::Grammar
        )
    }
}
