//! What is known of a model: everything that makes one family differ from another. Data, filled by the catalogue and
//! by operators; the code below asks these members and never looks at a model's name.

use serde::Deserialize;

/// Facts about a base model. The default is a permissive guess for a model that nobody has described: the service has
/// the last word.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct Facts {
    /// `chat`, `embedding`, `image` …
    pub modality: String,
    /// The Converse API serves it.
    pub converse: bool,
    /// The InvokeModel API serves it.
    pub invoke_model: bool,
    /// Input and output together, in tokens.
    pub context_window: Option<u64>,
    /// The most that it can write, in tokens.
    pub max_output_tokens: Option<u32>,
    /// Below this `maxTokens` is refused.
    pub min_output_tokens: u32,
    pub image: bool,
    pub document: bool,
    pub video: bool,
    pub audio: bool,
    /// Takes `system`; else the text goes before the first user turn.
    pub system: bool,
    /// Takes role `system` in the middle of a conversation.
    pub late_system: bool,
    /// Continues a final assistant turn.
    pub prefill: bool,
    /// Answers better in JSON when its answer is begun with a brace.
    pub json_prefill: bool,
    pub tools: bool,
    /// Accepted `toolChoice` members; a mode that is missing is emulated.
    pub tool_choice: Vec<ToolChoiceMode>,
    /// ConverseStream serves it.
    pub stream: bool,
    /// ConverseStream serves it together with `toolConfig`.
    pub stream_with_tools: bool,
    /// Takes `strict` in a tool.
    pub strict_tools: bool,
    /// Takes `$ref` in a tool's schema.
    pub schema_refs: bool,
    /// Takes look-around in a `pattern` of a schema.
    pub schema_lookaround: bool,
    /// Anthropic's `disable_parallel_tool_use`.
    pub disable_parallel: bool,
    /// A forced tool choice together with reasoning.
    pub forced_choice_while_reasoning: bool,
    pub tool_use_id: ToolUseIdForm,
    /// Takes `status` in a tool result.
    pub tool_result_status: bool,
    /// Takes images and documents inside a tool result; else they go beside it.
    pub tool_result_media: bool,
    /// The name of the system tool with which it searches the web.
    pub web_search: Option<String>,
    /// Takes `searchResult` blocks.
    pub search_result: bool,
    pub sampling: Sampling,
    /// Where `top_k` goes: a path in `additionalModelRequestFields`, dots nest.
    pub top_k: Option<String>,
    /// The member of `additionalModelRequestFields` for `seed`.
    pub seed: Option<String>,
    /// The same for `frequency_penalty`.
    pub frequency_penalty: Option<String>,
    /// The same for `presence_penalty`.
    pub presence_penalty: Option<String>,
    /// Takes `stopSequences`; else the gateway cuts the text itself.
    pub stop: bool,
    pub max_stop: Option<usize>,
    /// Tells which stop sequence it met in `additionalModelResponseFields`.
    pub tells_stop: bool,
    /// Takes stop sequences that are all white space.
    pub blank_stop: bool,
    pub reasoning: Reasoning,
    /// Takes `outputConfig.textFormat`.
    pub structured_output: bool,
    /// None: cache points are refused or useless.
    pub cache: Option<Cache>,
    /// `None` if the model makes no embeddings.
    pub embed: Option<Embed>,
    pub lifecycle: Lifecycle,
    /// Geographic prefixes of its inference profiles.
    pub profiles: Vec<String>,
    /// The bare id is refused.
    pub needs_profile: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoiceMode {
    Auto,
    Any,
    Tool,
}

/// What `toolUseId` may look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolUseIdForm {
    /// The service model's pattern: 1 to 64 of letters, digits, `_ . : -`.
    #[default]
    Any,
    /// Mistral: exactly nine letters or digits.
    NineAlphanumerics,
}

/// Which of `temperature` and `top_p` are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    #[default]
    All,
    /// One of the two.
    OneOf,
    None,
    NoneWhileReasoning,
}

/// How a model is told to reason.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct Reasoning {
    pub style: ReasoningStyle,
    /// Accepted efforts, weakest first. What lies outside goes to the nearest.
    pub efforts: Vec<String>,
    /// Reasons unless told otherwise.
    pub default_on: bool,
    pub cannot_disable: bool,
    /// The `thinking.type` that turns it off, or down as far as it goes.
    pub off: Option<String>,
    /// Takes `thinking.display`, without which the text stays hidden.
    pub display: bool,
    /// Reasoning is replayed with its signature, and is refused without.
    pub signed: bool,
    /// Takes redacted reasoning back.
    pub redacted: bool,
    /// The element in which it writes its reasoning into the text, such as `thinking`.
    pub inline_tag: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningStyle {
    /// Cannot be steered.
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
            inline_tag: None,
        }
    }
}

/// Prompt caching by cache points.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// A shorter prefix is not cached, in tokens.
    pub min_tokens: u64,
    pub max_points: usize,
    /// Times to live, `5m` and `1h`.
    pub ttl: Vec<String>,
    /// Takes a point among the tools.
    pub in_tools: bool,
    /// Takes a point in a turn that holds tool blocks.
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

/// Embeddings by InvokeModel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embed {
    pub family: EmbedFamily,
    /// Sizes of vectors that the model makes; the first is its default.
    pub dimensions: Vec<u32>,
    /// The longest text, in tokens.
    pub max_tokens: u64,
}

/// The form of the request and of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbedFamily {
    TitanV1,
    TitanV2,
    TitanMultimodal,
    CohereV3,
    CohereV4,
    NovaMultimodal,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    pub status: LifecycleStatus,
    /// Since when it is legacy, `YYYY-MM-DD`.
    pub legacy: Option<String>,
    /// The end of life, `YYYY-MM-DD`.
    pub eol: Option<String>,
    /// The base id of the model to use instead.
    pub successor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleStatus {
    #[default]
    Active,
    Legacy,
    Eol,
}

impl LifecycleStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Legacy => "legacy",
            Self::Eol => "eol",
        }
    }
}

impl Lifecycle {
    /// What users of an ageing model should know; none while it is active.
    pub fn warning(&self) -> Option<String> {
        let mut text = match self.status {
            LifecycleStatus::Active => return None,
            LifecycleStatus::Legacy => "is legacy on Bedrock".to_owned(),
            LifecycleStatus::Eol => "is past its end of life on Bedrock".to_owned(),
        };
        if let Some(eol) = &self.eol {
            text.push_str(&format!(" (end of life {eol})"));
        }
        if let Some(successor) = &self.successor {
            text.push_str(&format!("; use {successor}"));
        }
        Some(text)
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            modality: "chat".to_owned(),
            converse: true,
            invoke_model: true,
            context_window: None,
            max_output_tokens: None,
            min_output_tokens: 1,
            image: true,
            document: true,
            video: true,
            audio: true,
            system: true,
            late_system: false,
            prefill: true,
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
            schema_refs: true,
            schema_lookaround: true,
            disable_parallel: false,
            forced_choice_while_reasoning: true,
            tool_use_id: ToolUseIdForm::Any,
            tool_result_status: false,
            tool_result_media: false,
            web_search: None,
            search_result: false,
            sampling: Sampling::All,
            top_k: None,
            seed: None,
            frequency_penalty: None,
            presence_penalty: None,
            stop: true,
            max_stop: None,
            tells_stop: false,
            blank_stop: true,
            reasoning: Reasoning::default(),
            structured_output: false,
            cache: None,
            embed: None,
            lifecycle: Lifecycle::default(),
            profiles: Vec::new(),
            needs_profile: false,
        }
    }
}
