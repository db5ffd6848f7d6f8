//! What bounds the cost of a request of an AWS SDK.

use serde_json::{Map, Value};

use super::{tier::tier, units::Units};
use crate::{
    bedrock::sdk_request::{SdkBlock, SdkConverse, SdkMedia},
    error::Error,
    model::{Model, ReasoningStyle},
    money::Tier,
    operation::{chat::raw_fields, expansion},
};

/// Counts of a body.
#[derive(Clone, Debug, Default)]
pub struct Size {
    /// The bytes of the body, with what its text gains when a tokenizer normalizes it. Converse: without inline media.
    pub text: u64,
    /// The bytes of `text` that look like inline media. Only estimates leave them out, because a client can put text where
    /// media are expected.
    pub media: u64,
    /// The number of texts, each of which a guardrail bills in whole units.
    pub texts: u64,
    pub messages: u64,
    pub tools: u64,
    pub images: u64,
    /// There are media whose size does not bound their tokens.
    pub unbounded_media: bool,
    /// There are cache points.
    pub marked: bool,
    /// AWS may run tools.
    pub server_tools: bool,
    /// The client's own guardrail.
    pub guardrail: bool,
    /// The client asks for the trace of its guardrail.
    pub asks_for_trace: bool,
    /// The guardrail compares the answer with marked content.
    pub compared: bool,
    pub tier: Tier,
    /// The client's limit of the output.
    pub max_tokens: Option<u32>,
    /// There are fields in the model's own form.
    pub has_fields: bool,
    /// Some of these fields set how much the model reasons.
    pub sets_reasoning: bool,
    /// They request Nova's highest effort.
    pub is_at_high_effort: bool,
    /// Those of these fields that may change what a call costs.
    pub unbounded_fields: Vec<String>,
    /// The members of an InvokeModel body.
    pub members: Vec<String>,
    /// What an InvokeModel body has that is billed by the unit.
    pub units: Units,
}

impl Size {
    /// Counts a Converse request, whose text is `json`.
    ///
    /// # Errors
    /// 400 for a service tier whose price is unknown.
    pub fn of(request: &SdkConverse<'_>, json: &[u8]) -> Result<Self, Error> {
        let fields = request.additional_model_request_fields.as_ref();
        let config = request.inference_config.as_ref();
        let mut size = Self {
            text: (json.len() + expansion::of_body(json)) as u64,
            messages: request.messages.len() as u64,
            guardrail: request.guardrail_config.is_some(),
            asks_for_trace: request
                .guardrail_config
                .as_ref()
                .is_some_and(|own| own.trace.is_some()),
            tier: tier(
                request
                    .performance_config
                    .as_ref()
                    .map(|one| one.latency.as_str()),
                request.service_tier.as_ref().map(|tier| tier.kind.as_str()),
                "serviceTier.type",
            )?,
            max_tokens: config.and_then(|config| config.max_tokens),
            has_fields: fields.is_some_and(|fields| !fields.is_empty()),
            sets_reasoning: fields.is_some_and(sets_reasoning),
            is_at_high_effort: fields.is_some_and(is_at_high_effort),
            unbounded_fields: fields
                .into_iter()
                .flat_map(raw_fields::unbounded)
                .map(str::to_owned)
                .collect(),
            ..Self::default()
        };
        for tool in request.tool_config.iter().flat_map(|config| &config.tools) {
            size.tools += 1;
            size.marked |= tool.cache_point.is_some();
            size.server_tools |= tool.system_tool.is_some();
        }
        let blocks = request.messages.iter().flat_map(|message| &message.content);
        blocks
            .chain(&request.system)
            .for_each(|block| size.add(block));
        Ok(size)
    }

    /// Reports whether the model takes no limit of the output: a managed prompt has its own, and Nova rejects one at its highest
    /// effort, which only fields in its own form can request.
    pub fn is_unlimited(&self, model: &Model) -> bool {
        let style = model.facts.reasoning.style;
        model.target().is_prompt()
            || self.is_at_high_effort
                && self.max_tokens.is_none()
                && style == ReasoningStyle::ReasoningConfig
    }

    fn add(&mut self, block: &SdkBlock<'_>) {
        self.texts += 1;
        self.marked |= block.cache_point.is_some();
        let image = block.image.as_ref();
        if let Some(guarded) = &block.guard_content {
            self.compared = true;
            guarded.image.iter().for_each(|image| self.add_image(image));
        }
        image.into_iter().for_each(|image| self.add_image(image));
        for media in [&block.document, &block.video, &block.audio]
            .into_iter()
            .flatten()
        {
            self.unbounded_media = true;
            self.subtract(media);
        }
        // A search result has texts of its own.
        let parts = [&block.search_result, &block.citations_content];
        let parts = parts
            .into_iter()
            .flatten()
            .map(|raw| raw.get().matches("\"text\"").count());
        self.texts += parts.sum::<usize>() as u64;
        self.server_tools |= block
            .tool_use
            .as_ref()
            .is_some_and(|call| call.kind.is_some());
        if let Some(result) = &block.tool_result {
            self.server_tools |= result.kind.is_some();
            result.content.iter().for_each(|block| self.add(block));
        }
    }

    fn add_image(&mut self, image: &SdkMedia<'_>) {
        self.images += 1;
        self.subtract(image);
    }

    /// Inline data are no text.
    fn subtract(&mut self, media: &SdkMedia<'_>) {
        let bytes = media.source.bytes.as_ref().map_or(0, |data| data.len());
        self.text = self.text.saturating_sub(bytes as u64);
    }
}

/// Fields that set how much the model reasons.
const REASONING: [&str; 6] = [
    "thinking",
    "reasoning",
    "reasoning_effort",
    "reasoning_config",
    "reasoningConfig",
    "output_config",
];

/// Reports whether fields in the model's own form set how much it reasons.
pub fn sets_reasoning(fields: &Map<String, Value>) -> bool {
    REASONING.iter().any(|name| fields.contains_key(*name)) || nova_reasoning(fields).is_some()
}

/// Reports whether fields in the model's own form request the effort at which Nova takes no limit of the output.
pub fn is_at_high_effort(fields: &Map<String, Value>) -> bool {
    let effort = nova_reasoning(fields).and_then(|config| config.get("maxReasoningEffort"));
    effort.and_then(Value::as_str) == Some("high")
}

/// Nova's `reasoningConfig`, which InvokeModel has inside `inferenceConfig`.
fn nova_reasoning(fields: &Map<String, Value>) -> Option<&Value> {
    let inner = fields.get("inferenceConfig");
    let inner = inner.and_then(|config| config.get("reasoningConfig"));
    fields.get("reasoningConfig").or(inner)
}
