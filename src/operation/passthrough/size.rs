//! What bounds the cost of a request of an AWS SDK.

use serde_json::{Map, Value};

use crate::{
    bedrock::sdk_request::{SdkBlock, SdkConverse, SdkMedia},
    model::{Model, ReasoningStyle},
    money::Tier,
    operation::{chat::raw_fields, expansion},
};

/// Counts of a body.
#[derive(Clone, Debug, Default)]
pub struct Size {
    /// The bytes of the body without those of inline media, with what its text gains when a tokenizer normalizes it.
    pub text: u64,
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
    /// Those of these fields that may change what a call costs.
    pub unbounded_fields: Vec<String>,
    /// The members of an InvokeModel body.
    pub members: Vec<String>,
}

impl Size {
    /// Counts a Converse request, whose text is `json`.
    pub fn of(request: &SdkConverse<'_>, json: &[u8]) -> Self {
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
            ),
            max_tokens: config.and_then(|config| config.max_tokens),
            has_fields: fields.is_some_and(|fields| !fields.is_empty()),
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
        size
    }

    /// Reports whether the model takes no limit of the output: a managed prompt has its own, and Nova rejects one at its highest
    /// effort, which only fields in its own form can request.
    pub fn is_unlimited(&self, model: &Model) -> bool {
        let style = model.facts.reasoning.style;
        model.target().is_prompt()
            || self.has_fields
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

/// Returns the tier of a request with this latency mode and service tier.
fn tier(latency: Option<&str>, tier: Option<&str>) -> Tier {
    match (latency, tier) {
        (Some("optimized"), _) => Tier::Optimized,
        (_, Some("flex")) => Tier::Flex,
        (_, Some("priority")) => Tier::Priority,
        _ => Tier::Standard,
    }
}

/// Names and types of members that hold media, or say where they are.
const MEDIA: [&str; 14] = [
    "image",
    "images",
    "image_url",
    "input_image",
    "inputImage",
    "document",
    "documents",
    "video",
    "audio",
    "input_audio",
    "file",
    "source",
    "mediaSource",
    "s3Location",
];

/// Counts an InvokeModel body, whose text is `json`. `header` returns a header of the request.
pub fn invoke_size<'h>(
    body: &Map<String, Value>,
    json: &[u8],
    header: impl Fn(&str) -> Option<&'h str>,
) -> Size {
    let list = |name: &str| body.get(name).and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let nested_tools = body
        .get("toolConfig")
        .and_then(|config| config.get("tools"))
        .and_then(Value::as_array)
        .map_or(0, Vec::len) as u64;
    let limits = ["max_tokens", "max_completion_tokens", "max_gen_len"];
    let nested = [
        ("inferenceConfig", "maxTokens"),
        ("textGenerationConfig", "maxTokenCount"),
    ];
    let nested = nested
        .iter()
        .filter_map(|(outer, name)| body.get(*outer)?.get(*name));
    let limits = limits
        .iter()
        .filter_map(|name| body.get(*name))
        .chain(nested);
    let mut size = Size {
        text: (json.len() + expansion::of_body(json)) as u64,
        messages: list("messages").max(1),
        tools: list("tools") + nested_tools,
        guardrail: header("x-amzn-bedrock-guardrailidentifier").is_some(),
        tier: tier(
            header("x-amzn-bedrock-performanceconfig-latency"),
            header("x-amzn-bedrock-service-tier"),
        ),
        // More than a model accepts is as good as no limit.
        max_tokens: limits
            .filter_map(Value::as_u64)
            .filter_map(|limit| u32::try_from(limit).ok())
            .max(),
        has_fields: ["thinking", "reasoning_effort"]
            .iter()
            .any(|name| body.contains_key(*name)),
        members: body.keys().cloned().collect(),
        ..Size::default()
    };
    let mut open: Vec<&Value> = body.values().collect();
    let is_media = |name: &str| MEDIA.contains(&name);
    size.unbounded_media = body.keys().any(|name| is_media(name));
    while let Some(value) = open.pop() {
        match value {
            Value::String(_) => size.texts += 1,
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                size.unbounded_media |= members.keys().any(|name| is_media(name))
                    || members
                        .get("type")
                        .and_then(Value::as_str)
                        .is_some_and(is_media);
                size.marked |= ["cache_control", "cachePoint"]
                    .iter()
                    .any(|name| members.contains_key(*name));
                size.server_tools |= members.contains_key("systemTool");
                open.extend(members.values());
            }
            _ => {}
        }
    }
    size
}
