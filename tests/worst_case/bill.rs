//! What the service could bill for a request, computed from the bytes that it receives and from its prices alone.

use lintel::{
    model::Facts,
    money::{LongContext, NanoUsd, PicoUsd, Price, Tier, Usage},
};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// More tokens than the templates of Claude, Nova, Llama and Qwen add for a conversation, a message, tools and a tool.
pub const TEMPLATE: u64 = 24;
pub const MESSAGE: u64 = 8;
pub const TOOLS: u64 = 700;
pub const TOOL: u64 = 24;

/// The most uses of web search in one answer.
const SEARCHES: u64 = 10;

/// Upper bounds of the usage that the service can report for one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    pub prompt: u64,
    pub output: u64,
    pub searches: u64,
    pub images: u64,
    pub writes: bool,
    pub writes_1h: bool,
    pub tier: Tier,
}

/// Returns the length of `text` in the longest form to which a tokenizer may normalize it, in bytes.
pub fn longest_form(text: &str) -> u64 {
    if text.is_ascii() {
        return text.len() as u64;
    }
    let length = |chars: &mut dyn Iterator<Item = char>| chars.map(char::len_utf8).sum::<usize>();
    let [nfc, nfkc] = [length(&mut text.nfc()), length(&mut text.nfkc())];
    text.len().max(nfc).max(nfkc) as u64
}

/// What the service finds in a Converse request.
#[derive(Default)]
struct Found {
    text: u64,
    images: u64,
    unbounded: bool,
    cache_points: bool,
    hour: bool,
}

impl Found {
    fn walk(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.text += longest_form(text),
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => {
                for (name, member) in members {
                    match name.as_str() {
                        "image" => self.images += 1,
                        "document" | "video" | "audio" | "systemTool" => self.unbounded = true,
                        "cachePoint" => {
                            self.cache_points = true;
                            self.hour |= member["ttl"] == "1h";
                        }
                        // The service renders these as JSON.
                        "inputSchema" | "input" | "jsonSchema" => {
                            self.text += longest_form(&member.to_string());
                        }
                        _ => self.walk(member),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The window of Pegasus 1.2, which no source has. It bills no input tokens.
const UNKNOWN_WINDOW: u64 = 131_072;

/// Returns the most that the service can report for a Converse request.
pub fn of_converse(sent: &Value, facts: &Facts) -> Most {
    let mut found = Found::default();
    let parts = [
        "system",
        "messages",
        "toolConfig",
        "outputConfig",
        "promptVariables",
        "additionalModelRequestFields",
    ];
    parts.iter().for_each(|part| found.walk(&sent[*part]));
    let length = |list: &Value| list.as_array().map_or(0, Vec::len) as u64;
    let tools = &sent["toolConfig"]["tools"];
    let searches = tools
        .as_array()
        .is_some_and(|tools| tools.iter().any(|tool| !tool["systemTool"].is_null()));
    let window = facts.context_window.unwrap_or(UNKNOWN_WINDOW);
    let template = TEMPLATE
        + MESSAGE * length(&sent["messages"])
        + TOOLS * u64::from(length(tools) > 0)
        + TOOL * length(tools);
    let known = found.text + template + found.images * facts.image_tokens;
    let limit = sent["inferenceConfig"]["maxTokens"].as_u64();
    let tier = match (
        sent["performanceConfig"]["latency"].as_str(),
        sent["serviceTier"]["type"].as_str(),
    ) {
        (Some("optimized"), _) => Tier::Optimized,
        (_, Some("priority")) => Tier::Priority,
        (_, Some("flex")) => Tier::Flex,
        _ => Tier::Standard,
    };
    // A family without cache points may cache by itself.
    let by_itself = facts.cache.is_none();
    Most {
        prompt: if found.unbounded {
            window
        } else {
            known.min(window)
        },
        output: limit.unwrap_or_else(|| facts.max_output_tokens.map_or(window, u64::from)),
        searches: if searches { SEARCHES } else { 0 },
        images: 0,
        writes: by_itself || found.cache_points,
        writes_1h: by_itself || found.hour,
        tier,
    }
}

/// What the service finds in the body of a family.
fn walk_body(value: &Value, found: &mut Found) {
    match value {
        Value::String(text) => found.text += longest_form(text),
        Value::Array(items) => items.iter().for_each(|item| walk_body(item, found)),
        Value::Object(members) => {
            match members.get("type").and_then(Value::as_str) {
                Some("image" | "image_url") => return found.images += 1,
                Some("document") => return found.unbounded = true,
                _ => {}
            }
            for (name, member) in members {
                match name.as_str() {
                    "image" => found.images += 1,
                    "video" | "audio" => found.unbounded = true,
                    "cachePoint" | "cache_control" => {
                        found.cache_points = true;
                        found.hour |= member["ttl"] == "1h";
                    }
                    "input_schema"
                    | "parameters"
                    | "parameter_definitions"
                    | "schema"
                    | "inputSchema"
                    | "input" => {
                        found.text += longest_form(&member.to_string());
                    }
                    _ => walk_body(member, found),
                }
            }
        }
        _ => {}
    }
}

/// Returns the most that the service can report for a body of InvokeModel, whose other terms are those of the same request
/// to Converse. A prompt is text as a whole.
pub fn of_invoke(sent: &Value, facts: &Facts, converse: Most) -> Most {
    let mut found = Found::default();
    walk_body(sent, &mut found);
    let length = |list: &Value| list.as_array().map_or(0, Vec::len) as u64;
    let tools = length(&sent["tools"]) + length(&sent["toolConfig"]["tools"]);
    let template = match sent["prompt"].is_string() {
        true => 0,
        false => {
            TEMPLATE + MESSAGE * length(&sent["messages"]) + TOOLS * tools.min(1) + TOOL * tools
        }
    };
    let window = facts.context_window.unwrap_or(UNKNOWN_WINDOW);
    let known = found.text + template + found.images * facts.image_tokens;
    let caps = [
        "max_tokens",
        "max_completion_tokens",
        "max_gen_len",
        "max_tokens_to_sample",
        "maxTokens",
    ];
    let cap = caps.iter().find_map(|cap| sent[*cap].as_u64());
    let cap = cap.or(sent["inferenceConfig"]["maxTokens"].as_u64());
    let cap = cap.or(sent["textGenerationConfig"]["maxTokenCount"].as_u64());
    Most {
        prompt: if found.unbounded {
            window
        } else {
            known.min(window)
        },
        output: cap.unwrap_or_else(|| facts.max_output_tokens.map_or(window, u64::from)),
        writes: converse.writes || found.cache_points,
        writes_1h: converse.writes_1h || found.hour,
        ..converse
    }
}

/// A price in pico-dollars, exact: `numerator / denominator`.
type Rate = (u128, u128);

fn times(rate: Rate, new: PicoUsd, old: PicoUsd) -> Rate {
    match old.0 {
        0 => rate,
        old => (rate.0 * u128::from(new.0), rate.1 * u128::from(old)),
    }
}

fn cost(rate: Rate, tokens: u64) -> u128 {
    (rate.0 * u128::from(tokens)) / rate.1
}

impl Most {
    /// The sizes of a prompt between which the price changes.
    fn prompts(&self, price: &Price) -> Vec<u64> {
        let above = price
            .long_context
            .iter()
            .flat_map(|long| [long.above_input_tokens, long.above_input_tokens + 1]);
        above
            .filter(|size| *size <= self.prompt)
            .chain([self.prompt])
            .collect()
    }

    /// Returns the highest bill, in pico-dollars: over every size of the prompt at which the price changes, every bucket
    /// and both tiers. A bill is linear between these. None if a price is unknown.
    pub fn bill(&self, price: &Price) -> Option<u128> {
        let mut most = 0;
        for tier in [Tier::Standard, self.tier] {
            let (tier_input, tier_output) = in_tier(price, tier)?;
            for prompt in self.prompts(price) {
                let long = price
                    .long_context
                    .iter()
                    .rfind(|long| prompt > long.above_input_tokens);
                let long_of = |member: fn(&LongContext) -> Option<PicoUsd>| long.and_then(member);
                let long_input = long_of(|long| long.input).unwrap_or(price.input);
                let bucket = |own: PicoUsd, of_long: Option<PicoUsd>| {
                    let rate = match of_long {
                        Some(rate) => (u128::from(rate.0), 1),
                        None => times((u128::from(own.0), 1), long_input, price.input),
                    };
                    times(rate, tier_input, price.input)
                };
                let write = price.cache_write.unwrap_or(price.input);
                let mut rates = vec![bucket(price.input, long_of(|long| long.input))];
                if let Some(read) = price.cache_read {
                    rates.push(bucket(read, long_of(|long| long.cache_read)));
                }
                if self.writes {
                    rates.push(bucket(write, long_of(|long| long.cache_write)));
                }
                if let Some(hour) = price.cache_write_1h.filter(|_| self.writes_1h) {
                    rates.push(bucket(hour, long_of(|long| long.cache_write_1h)));
                }
                let input = rates
                    .into_iter()
                    .map(|rate| cost(rate, prompt))
                    .max()
                    .unwrap_or_default();
                let output = long_of(|long| long.output).unwrap_or(price.output);
                let output = times((u128::from(output.0), 1), tier_output, price.output);
                most = most.max(input + cost(output, self.output));
            }
        }
        let fee = |count: u64, price: Option<NanoUsd>| match count {
            0 => Some(0),
            count => Some(u128::from(count) * u128::from(price?.0) * 1000),
        };
        Some(
            most + fee(self.searches, price.server_tool_use)?
                + fee(self.images, price.input_image)?,
        )
    }

    /// Returns a usage that the service could report.
    pub fn usage(&self, rng: &mut fastrand::Rng) -> Usage {
        let prompt = rng.u64(0..=self.prompt);
        let mut left = prompt;
        let mut part = |may: bool| {
            let part = if may { rng.u64(0..=left) } else { 0 };
            left -= part;
            part
        };
        let cache_read = part(true);
        let (write, hour) = (part(self.writes), part(self.writes && self.writes_1h));
        Usage {
            input: left,
            cache_read,
            cache_write: write + hour,
            cache_write_1h: hour,
            output: rng.u64(0..=self.output),
            server_tool_uses: rng.u64(0..=self.searches),
            images: self.images,
            ..Usage::default()
        }
    }
}

fn in_tier(price: &Price, tier: Tier) -> Option<(PicoUsd, PicoUsd)> {
    Some(match tier {
        Tier::Standard => (price.input, price.output),
        Tier::Flex => (
            price.flex_input.unwrap_or(price.input),
            price.flex_output.unwrap_or(price.output),
        ),
        Tier::Priority => (price.priority_input?, price.priority_output?),
        Tier::Optimized => (price.optimized_input?, price.optimized_output?),
    })
}
