//! The capabilities of models. The catalogue and the configuration fill in these facts; other code reads them and never
//! looks at a model's name.

use serde::{Deserialize, Serialize};

use super::{
    Draw, Invoke, Lifecycle, Native, RerankFamily, Route,
    schemas::{SchemaRoot, StrictLimits},
};

/// Facts about a base model. The default, for a model that is not in the catalogue, is permissive: the service rejects
/// what the model does not support.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct Facts {
    /// `chat`, `embedding`, `image` …
    pub modality: String,
    /// The APIs that serve the model, in order of preference.
    pub routes: Vec<Route>,
    /// Those of `routes` that rest on one source, so that only the operator chooses them.
    pub unproven: Vec<Route>,
    /// The architecture of an imported model, as Bedrock names it, such as `qwen2_5_vl`. `None` for others, or if it is unknown.
    pub architecture: Option<String>,
    /// The architectures of imported models that Converse does not serve.
    pub not_on_converse: Vec<String>,
    /// The form of chats through InvokeModel. `None` if it is unknown.
    pub invoke: Option<Invoke>,
    /// The OpenAI-compatible chat endpoints. `None` if nothing is known of the model there.
    pub native: Option<Native>,
    /// The most input and output together, in tokens.
    pub context_window: Option<u64>,
    /// The largest accepted `maxTokens`.
    pub max_output_tokens: Option<u32>,
    /// The smallest accepted `maxTokens`.
    pub min_output_tokens: u32,
    /// Accepts images.
    pub image: bool,
    /// The most input tokens of one image.
    pub image_tokens: u64,
    /// Accepts documents.
    pub document: bool,
    /// Accepts videos.
    pub video: bool,
    /// Accepts audio.
    pub audio: bool,
    /// Accepts `system`. If false, the text is put before the first user turn.
    pub system: bool,
    /// Accepts the role `system` in the middle of a conversation.
    pub late_system: bool,
    /// CountTokens counts the input of the model.
    pub count_tokens: bool,
    /// Continues a final assistant turn.
    pub prefill: bool,
    /// Continues an answer of its own that was cut off anywhere, from a final assistant turn. Unlike `prefill`, true only of
    /// models of which a source says so.
    pub resume: bool,
    /// Produces JSON more reliably if its answer is prefilled with a brace.
    pub json_prefill: bool,
    /// Accepts `toolConfig`.
    pub tools: bool,
    /// The accepted members of `toolChoice`. The gateway emulates the others.
    pub tool_choice: Vec<ToolChoiceMode>,
    /// ConverseStream serves the model.
    pub stream: bool,
    /// ConverseStream serves the model with `toolConfig`.
    pub stream_with_tools: bool,
    /// Accepts `strict` in a tool.
    pub strict_tools: bool,
    /// The limits on the strict schemas of a request. `None` if none are known.
    pub strict_limits: Option<StrictLimits>,
    /// The keywords that are accepted at the root of a tool's schema.
    pub schema_root: SchemaRoot,
    /// Accepts `$ref` in a tool's schema.
    pub schema_refs: bool,
    /// Accepts look-around in a schema's `pattern`.
    pub schema_lookaround: bool,
    /// Accepts Anthropic's `disable_parallel_tool_use`.
    pub disable_parallel: bool,
    /// Accepts a forced tool choice together with reasoning.
    pub forced_choice_while_reasoning: bool,
    pub tool_use_id: ToolUseIdForm,
    pub tool_names: ToolNameForm,
    /// Accepts `status` in a tool result.
    pub tool_result_status: bool,
    /// Accepts images and documents inside a tool result. If false, they are put next to it.
    pub tool_result_media: bool,
    /// The name of the system tool for web search.
    pub web_search: Option<String>,
    /// Accepts `searchResult` blocks.
    pub search_result: bool,
    pub sampling: Sampling,
    /// The largest accepted `temperature`.
    pub max_temperature: f64,
    /// The path of `top_k` in `additionalModelRequestFields`. Dots separate nested members.
    pub top_k: Option<String>,
    /// The member of `additionalModelRequestFields` for `seed`.
    pub seed: Option<String>,
    /// Accepts `logprobs` and `top_logprobs` in `additionalModelRequestFields`.
    pub logprobs: bool,
    /// The member of `additionalModelRequestFields` for `frequency_penalty`.
    pub frequency_penalty: Option<String>,
    /// The member of `additionalModelRequestFields` for `presence_penalty`.
    pub presence_penalty: Option<String>,
    /// Accepts `stopSequences`. If false, the gateway ends the text itself.
    pub stop: bool,
    /// The most stop sequences.
    pub max_stop: Option<usize>,
    /// The form that a whole stop sequence must have, as a regular expression. The gateway applies others itself.
    pub stop_pattern: Option<String>,
    /// Leaves the matched stop sequence at the end of the text, where the gateway removes it.
    pub stop_in_text: bool,
    /// Reports the stop sequence that ended the answer in `additionalModelResponseFields`.
    pub tells_stop: bool,
    /// Accepts stop sequences that are only white space.
    pub blank_stop: bool,
    pub reasoning: Reasoning,
    /// Accepts `outputConfig.textFormat`.
    pub structured_output: bool,
    /// `None` if cache points are rejected or have no effect.
    pub cache: Option<Cache>,
    /// `None` if the model does not produce embeddings.
    pub embed: Option<Embed>,
    /// `None` if the model does not rank documents.
    pub rerank: Option<RerankFamily>,
    /// `None` if the model does not make images.
    pub draw: Option<Draw>,
    pub lifecycle: Lifecycle,
    /// The tokens of the quota that each token of output counts as.
    pub quota_per_output: u32,
    /// The geographic prefixes of the model's inference profiles.
    pub profiles: Vec<String>,
    /// The model can only be called through an inference profile.
    pub needs_profile: bool,
}

/// The members of Converse's `toolChoice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoiceMode {
    Auto,
    Any,
    Tool,
}

/// The accepted form of `toolUseId`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolUseIdForm {
    /// The service model's pattern: 1 to 64 letters, digits, `_`, `.`, `:` or `-`.
    #[default]
    Any,
    /// Mistral: exactly nine letters or digits.
    NineAlphanumerics,
}

/// The accepted form of a tool's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolNameForm {
    /// The service model's pattern: 1 to 64 letters, digits, `_` or `-`.
    #[default]
    Any,
    /// Cohere: letters, digits and `_`, and no digit first.
    Identifier,
}

/// Which of `temperature` and `top_p` the model accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    #[default]
    All,
    /// One of the two, not both.
    OneOf,
    None,
    /// Both, but neither together with reasoning.
    NoneWhileReasoning,
}

/// The control of a model's reasoning.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct Reasoning {
    pub style: ReasoningStyle,
    /// The accepted efforts, weakest first. Other efforts are mapped to the nearest of these.
    pub efforts: Vec<String>,
    /// The model reasons by default.
    pub default_on: bool,
    /// Reasoning cannot be turned off.
    pub cannot_disable: bool,
    /// The `thinking.type` that turns reasoning off, or to its minimum.
    pub off: Option<String>,
    /// Accepts `thinking.display`, without which the reasoning text is hidden.
    pub display: bool,
    /// Signs its reasoning, and accepts it in earlier turns with its signature. Reasoning without one is never sent back.
    pub signed: bool,
    /// Accepts redacted reasoning in earlier turns.
    pub redacted: bool,
    /// Rejects reasoning of earlier turns if anything before it has changed.
    pub bound: bool,
    /// The element that encloses reasoning within the answer's text, such as `thinking`.
    pub inline_tag: Option<String>,
}

/// The form of the request for reasoning, in `additionalModelRequestFields` unless stated otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningStyle {
    /// Reasoning cannot be controlled.
    #[default]
    None,
    /// `thinking {type: enabled, budget_tokens}`.
    Budget,
    /// `thinking {type: adaptive}` with `outputConfig.effort`.
    Adaptive,
    /// `reasoningConfig {type: enabled, maxReasoningEffort}`.
    ReasoningConfig,
    /// `reasoning_effort`, a string.
    ReasoningEffort,
    /// `reasoning {effort}`.
    ReasoningObject,
}

impl Default for Reasoning {
    fn default() -> Self {
        Self {
            style: ReasoningStyle::None,
            efforts: ["low", "medium", "high"].map(str::to_owned).to_vec(),
            default_on: false,
            cannot_disable: false,
            off: None,
            display: false,
            signed: false,
            redacted: false,
            bound: false,
            inline_tag: None,
        }
    }
}

/// Prompt caching with cache points.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// The shortest prefix that is cached, in tokens.
    pub min_tokens: u64,
    /// The most cache points in a request.
    pub max_points: usize,
    /// The accepted times to live: `5m`, `1h`.
    pub ttl: Vec<String>,
    /// Accepts a cache point among the tools.
    pub in_tools: bool,
    /// Accepts a cache point in a turn with `toolUse` or `toolResult` blocks.
    pub beside_tool_blocks: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            min_tokens: 1024,
            max_points: 4,
            ttl: vec!["5m".to_owned()],
            in_tools: true,
            beside_tool_blocks: true,
        }
    }
}

/// Embeddings through InvokeModel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Embed {
    pub family: EmbedFamily,
    /// The supported sizes of vectors. The first is the default.
    pub dimensions: Vec<u32>,
    /// The longest accepted text, in tokens.
    pub max_tokens: u64,
}

/// The form of the request body and of the response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbedFamily {
    TitanV1,
    TitanV2,
    TitanMultimodal,
    CohereV3,
    CohereV4,
    NovaMultimodal,
    /// TwelveLabs Marengo 2.7.
    Marengo2,
    /// TwelveLabs Marengo 3.0.
    Marengo3,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            modality: "chat".to_owned(),
            routes: Route::OF_UNKNOWN_MODELS.to_vec(),
            unproven: Route::OF_UNKNOWN_MODELS[1..].to_vec(),
            architecture: None,
            not_on_converse: Vec::new(),
            invoke: None,
            native: None,
            context_window: None,
            max_output_tokens: None,
            min_output_tokens: 1,
            image: true,
            // More than any family is known to count: Qwen3-VL's processor takes 16,384 patches.
            image_tokens: 16_384,
            document: true,
            video: true,
            audio: true,
            system: true,
            late_system: false,
            count_tokens: false,
            prefill: true,
            resume: false,
            json_prefill: false,
            tools: true,
            tool_choice: vec![
                ToolChoiceMode::Auto,
                ToolChoiceMode::Any,
                ToolChoiceMode::Tool,
            ],
            stream: true,
            stream_with_tools: true,
            strict_tools: false,
            strict_limits: None,
            schema_root: SchemaRoot::Any,
            schema_refs: true,
            schema_lookaround: true,
            disable_parallel: false,
            forced_choice_while_reasoning: true,
            tool_use_id: ToolUseIdForm::Any,
            tool_names: ToolNameForm::Any,
            tool_result_status: false,
            tool_result_media: false,
            web_search: None,
            search_result: false,
            sampling: Sampling::All,
            max_temperature: 1.0,
            top_k: None,
            seed: None,
            logprobs: false,
            frequency_penalty: None,
            presence_penalty: None,
            stop: true,
            max_stop: None,
            stop_pattern: None,
            stop_in_text: false,
            tells_stop: false,
            blank_stop: true,
            reasoning: Reasoning::default(),
            structured_output: false,
            cache: None,
            embed: None,
            rerank: None,
            draw: None,
            lifecycle: Lifecycle::default(),
            quota_per_output: 1,
            profiles: Vec::new(),
            needs_profile: false,
        }
    }
}
