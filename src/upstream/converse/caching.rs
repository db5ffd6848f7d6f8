//! Cache points: the client's marks, automatic placement, and removal of points that the model does not accept.

use crate::{
    bedrock::{
        content::{
            CachePointBlock, ContentBlock, ConversationRole, Message, ToolResultContentBlock, Ttl,
        },
        request::{ConverseRequest, SystemContentBlock, Tool},
    },
    call::Warnings,
    model::Cache,
    openai::message::CacheControl,
    operation::chat::Chat,
};

use super::{Context, turns::PLACEHOLDER};

/// Returns the cache point for `cache_control`.
pub fn point(control: &CacheControl, warnings: &Warnings) -> CachePointBlock {
    match control.ttl.as_deref() {
        None | Some("5m") => CachePointBlock::new(None),
        Some("1h") => CachePointBlock::new(Some(Ttl::Hour)),
        Some(_) => {
            warnings.add("cache_control.ttl: 5m was used (supported values are '5m' and '1h')");
            CachePointBlock::new(None)
        }
    }
}

/// Places automatic cache points and removes or changes points that the model does not accept.
pub fn apply(converse: &mut ConverseRequest<'_>, request: &Chat, cx: &Context<'_>) {
    let Some(cache) = &cx.model.facts.cache else {
        if remove_all(converse) > 0 || request.cache_control.is_some() {
            cx.warnings
                .dropped("cache_control", "the model does not support prompt caching");
        }
        // `prompt_cache_key` is a hint for routing, so nothing is lost with it.
        if request.prompt_cache_retention.as_deref() == Some("24h") {
            cx.warnings
                .add("prompt_cache_retention: ignored (the model has no cache points)");
        }
        return;
    };
    if request
        .prompt_cache_options
        .as_ref()
        .is_some_and(|options| options.ttl.is_some())
    {
        cx.warnings
            .add("prompt_cache_options.ttl: Bedrock caches for 5m");
    }
    remove_misplaced(converse, cache, cx.warnings);
    let marked = count_points(converse) > 0;
    if request.caches_automatically(cx.model, cx.caller) {
        let ttl = retention(request, cache, cx.warnings);
        place_automatic(converse, cache, ttl);
    }
    enforce_limits(converse, cache, marked, cx.warnings);
    enforce_ttls(converse, cache, cx.warnings);
    for message in converse
        .messages
        .iter_mut()
        .filter(|message| message.content.is_empty())
    {
        message.content.push(ContentBlock::Text(PLACEHOLDER.into()));
    }
}

/// Returns the time to live of automatic points. Maps OpenAI's retention of 24 hours to Bedrock's longest, one hour, if the
/// model supports it. The client's marks have their own, because an hour costs more.
fn retention(request: &Chat, cache: &Cache, warnings: &Warnings) -> Option<Ttl> {
    if !request.keeps_cache() {
        return None;
    }
    if !cache.ttl.iter().any(|ttl| ttl == "1h") {
        let param = match request.prompt_cache_retention {
            Some(_) => "prompt_cache_retention",
            None => "cache_control.ttl",
        };
        warnings.add(format!(
            "{param}: 5m was used (the model does not support 1h)"
        ));
        return None;
    }
    Some(Ttl::Hour)
}

/// Calls `change` for every cache point, in the order in which the service processes them.
fn each_point(converse: &mut ConverseRequest<'_>, change: &mut impl FnMut(&mut CachePointBlock)) {
    for tool in converse
        .tool_config
        .iter_mut()
        .flat_map(|config| &mut config.tools)
    {
        if let Tool::CachePoint(point) = tool {
            change(point);
        }
    }
    for block in &mut converse.system {
        if let SystemContentBlock::CachePoint(point) = block {
            change(point);
        }
    }
    for block in converse
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.content)
    {
        if let ContentBlock::CachePoint(point) = block {
            change(point);
        }
    }
}

/// Removes every cache point and returns how many there were.
fn remove_all(converse: &mut ConverseRequest<'_>) -> usize {
    let before = count_points(converse);
    if let Some(config) = &mut converse.tool_config {
        config
            .tools
            .retain(|tool| !matches!(tool, Tool::CachePoint(_)));
    }
    converse
        .system
        .retain(|block| !matches!(block, SystemContentBlock::CachePoint(_)));
    for message in &mut converse.messages {
        message.content.retain(|block| !is_point(block));
        if message.content.is_empty() {
            message.content.push(ContentBlock::Text(PLACEHOLDER.into()));
        }
    }
    before
}

fn count_points(converse: &ConverseRequest<'_>) -> usize {
    let tools = converse.tool_config.iter().flat_map(|config| &config.tools);
    let blocks = converse
        .messages
        .iter()
        .flat_map(|message| &message.content);
    tools
        .filter(|tool| matches!(tool, Tool::CachePoint(_)))
        .count()
        + converse
            .system
            .iter()
            .filter(|block| matches!(block, SystemContentBlock::CachePoint(_)))
            .count()
        + blocks.filter(|block| is_point(block)).count()
}

fn is_system_point(block: &SystemContentBlock<'_>) -> bool {
    matches!(block, SystemContentBlock::CachePoint(_))
}

fn is_point(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::CachePoint(_))
}

/// Removes points where the service, or the family, refuses them.
fn remove_misplaced(converse: &mut ConverseRequest<'_>, cache: &Cache, warnings: &Warnings) {
    // Two points end the same prefix if a part and its message are marked, or two results of tools.
    converse
        .system
        .dedup_by(|block, previous| is_system_point(block) && is_system_point(previous));
    for message in &mut converse.messages {
        let content = &mut message.content;
        content.dedup_by(|block, previous| is_point(block) && is_point(previous));
    }
    let before = count_points(converse);
    if let Some(config) = &mut converse.tool_config {
        let mut follows_content = false;
        config.tools.retain(|tool| {
            let point = matches!(tool, Tool::CachePoint(_));
            let fits = !point || (cache.in_tools && follows_content);
            follows_content = !point;
            fits
        });
    }
    let mut follows_content = false;
    converse.system.retain(|block| {
        let point = matches!(block, SystemContentBlock::CachePoint(_));
        let fits = !point || follows_content;
        follows_content = !point;
        fits
    });
    for message in &mut converse.messages {
        let allowed = allows_points(message, cache);
        let mut follows_content: Option<bool> = None;
        message.content.retain(|block| {
            let fits = !is_point(block) || (allowed && follows_content == Some(true));
            follows_content = Some(may_precede(block));
            fits
        });
    }
    if count_points(converse) < before {
        warnings.dropped(
            "cache_control",
            "the model does not support a cache point at one of the marked positions",
        );
    }
}

/// Returns whether a cache point may follow `block`. Bedrock rejects a point after a document that it converts to text,
/// after reasoning, and after another point.
fn may_precede(block: &ContentBlock<'_>) -> bool {
    match block {
        ContentBlock::Document(document) => document.format == "pdf",
        ContentBlock::ReasoningContent(_) | ContentBlock::CachePoint(_) => false,
        _ => true,
    }
}

fn allows_points(message: &Message<'_>, cache: &Cache) -> bool {
    let tools = |block: &ContentBlock<'_>| {
        matches!(
            block,
            ContentBlock::ToolUse(_) | ContentBlock::ToolResult(_)
        )
    };
    cache.beside_tool_blocks || !message.content.iter().any(tools)
}

/// Adds cache points where they save most, in this order and as far as the client's points leave room: after the system
/// prompt, the last user turn, the tools, and the user turn before the last.
fn place_automatic(converse: &mut ConverseRequest<'_>, cache: &Cache, ttl: Option<Ttl>) {
    let mut room = cache.max_points.saturating_sub(count_points(converse));
    let point = CachePointBlock::new(ttl);
    if room > 0
        && matches!(converse.system.last(), Some(last) if !matches!(last, SystemContentBlock::CachePoint(_)))
    {
        converse.system.push(SystemContentBlock::CachePoint(point));
        room -= 1;
    }
    let mut turns = converse
        .messages
        .iter_mut()
        .rev()
        .filter(|message| message.role == ConversationRole::User);
    let (last, previous) = (turns.next(), turns.next());
    let end_of = |turn: Option<&mut Message<'_>>, room: &mut usize| {
        if let Some(turn) = turn
            && *room > 0
            && allows_points(turn, cache)
            && turn.content.last().is_some_and(may_precede)
        {
            turn.content.push(ContentBlock::CachePoint(point));
            *room -= 1;
        }
    };
    end_of(last, &mut room);
    if let Some(config) = &mut converse.tool_config
        && room > 0
        && cache.in_tools
        && matches!(config.tools.last(), Some(Tool::ToolSpec(_)))
    {
        config.tools.push(Tool::CachePoint(point));
        room -= 1;
    }
    end_of(previous, &mut room);
}

/// Removes points whose prefix is too short to be cached, and points over the model's limit, oldest message first.
fn enforce_limits(
    converse: &mut ConverseRequest<'_>,
    cache: &Cache,
    marked: bool,
    warnings: &Warnings,
) {
    let too_many = count_points(converse).saturating_sub(cache.max_points);
    if too_many > 0 {
        warnings.add(format!(
            "cache_control: the oldest points were left out (the model accepts at most {})",
            cache.max_points
        ));
    }
    let mut bytes = 0u64;
    let mut short = 0;
    // Estimates four bytes per token.
    let mut is_short = |bytes: u64| {
        let is = bytes / 4 < cache.min_tokens;
        short += u32::from(is);
        is
    };
    if let Some(config) = &mut converse.tool_config {
        config.tools.retain(|tool| match tool {
            Tool::CachePoint(_) => !is_short(bytes),
            Tool::SystemTool { .. } | Tool::ClientTool { .. } => true,
            Tool::ToolSpec(spec) => {
                bytes += (spec.description.len() + spec.input_schema.json.get().len()) as u64;
                true
            }
        });
    }
    converse.system.retain(|block| match block {
        SystemContentBlock::CachePoint(_) => !is_short(bytes),
        SystemContentBlock::Text(text) => {
            bytes += text.len() as u64;
            true
        }
        SystemContentBlock::GuardContent(_) => true,
    });
    for message in &mut converse.messages {
        message.content.retain(|block| {
            let keep = !is_point(block) || !is_short(bytes);
            bytes += estimated_bytes(block);
            keep
        });
    }
    // No warning for points that the gateway placed.
    if short > 0 && marked {
        warnings.add(format!(
            "cache_control: a point was left out (the model caches no prefix shorter than about {} tokens)",
            cache.min_tokens
        ));
    }
    let mut over = count_points(converse).saturating_sub(cache.max_points);
    let mut keep = |point: bool| {
        let drop = over > 0 && point;
        over -= usize::from(drop);
        !drop
    };
    for message in &mut converse.messages {
        message.content.retain(|block| keep(is_point(block)));
    }
    converse
        .system
        .retain(|block| keep(matches!(block, SystemContentBlock::CachePoint(_))));
}

/// Returns the length of a block in bytes. Media count as a fixed number of bytes, by their typical token count.
fn estimated_bytes(block: &ContentBlock<'_>) -> u64 {
    const IMAGE: u64 = 6000;
    match block {
        ContentBlock::Text(text) => text.len() as u64,
        ContentBlock::ToolUse(call) => call.input.get().len() as u64,
        ContentBlock::ToolResult(result) => {
            let texts = result.content.iter().map(|block| match block {
                ToolResultContentBlock::Text(text) => text.len() as u64,
                ToolResultContentBlock::ToolReference(name) => name.len() as u64,
                _ => IMAGE,
            });
            texts.sum()
        }
        ContentBlock::Image(_)
        | ContentBlock::Document(_)
        | ContentBlock::Video(_)
        | ContentBlock::Audio(_) => IMAGE,
        ContentBlock::SearchResult(found) => found
            .content
            .iter()
            .map(|block| block.text.len() as u64)
            .sum(),
        ContentBlock::GuardContent(_)
        | ContentBlock::CachePoint(_)
        | ContentBlock::ReasoningContent(_) => 0,
    }
}

/// Shortens the TTL of one hour to the default if the model does not support it, or if a point with the default TTL
/// comes first, which Bedrock rejects.
fn enforce_ttls(converse: &mut ConverseRequest<'_>, cache: &Cache, warnings: &Warnings) {
    let mut hour = cache.ttl.iter().any(|ttl| ttl == "1h");
    let mut shortened = false;
    each_point(converse, &mut |point| match point.ttl {
        None => hour = false,
        Some(Ttl::Hour) if hour => {}
        Some(Ttl::Hour) => {
            point.ttl = None;
            shortened = true;
        }
    });
    if shortened {
        warnings.add("cache_control.ttl: 5m was used (1h is not supported by this model, or not after a 5m point)");
    }
}
