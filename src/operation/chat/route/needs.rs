//! What a chat needs from its route.

use std::borrow::Cow;

use super::Feature;
use crate::{
    call::Caller,
    catalogue::betas::BINDING_CONTROLS,
    model::{Invoke, Model},
    money::Tier,
    openai::{
        chat::{CustomTool, Tool},
        tool_choice::ToolChoice,
    },
    operation::chat::{Chat, Part, WEB_SEARCH},
};

/// A feature that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub feature: Feature,
    /// The member of the request that needs it, or `model` if the operator does.
    pub param: Cow<'static, str>,
}

/// Returns what `chat` needs, each feature once, in the order of [`Feature::ALL`].
pub fn of(chat: &Chat, model: &Model, caller: &Caller) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut add = |feature, param: Cow<'static, str>| needs.push(Need { feature, param });
    of_guardrail(chat, model, caller, &mut add);
    of_options(chat, model, caller, &mut add);
    of_content(chat, &mut add);
    of_tools(chat, model, &mut add);
    of_answer(chat, model, &mut add);
    needs.sort_by_key(|need| Feature::ALL.iter().position(|one| *one == need.feature));
    needs.dedup_by_key(|need| need.feature);
    needs
}

fn of_guardrail(
    chat: &Chat,
    model: &Model,
    caller: &Caller,
    add: &mut impl FnMut(Feature, Cow<'static, str>),
) {
    let policies = caller.guardrails_for(model);
    // Only Converse takes passages marked as the sources of a grounding check.
    let is_grounded = chat.retrieval.is_some();
    let own = chat.bedrock.as_ref().and_then(|own| own.guardrail.as_ref());
    if let Some(policy) = policies.in_call {
        add(Feature::Guardrail, "model".into());
        if is_grounded || policy.show_trace || policy.stream_processing_mode.is_some() {
            add(Feature::GuardrailOptions, "model".into());
        }
    } else if let Some(own) = own.filter(|_| policies.is_empty()) {
        add(Feature::Guardrail, "bedrock.guardrail".into());
        let is_set =
            own.trace.is_some() || own.stream_processing_mode.is_some() || own.guard.is_some();
        if is_grounded || is_set {
            add(Feature::GuardrailOptions, "bedrock.guardrail".into());
        }
    }
}

fn of_options(
    chat: &Chat,
    model: &Model,
    caller: &Caller,
    add: &mut impl FnMut(Feature, Cow<'static, str>),
) {
    match chat.tier() {
        Tier::Optimized => add(Feature::Latency, "bedrock.performance".into()),
        Tier::Flex | Tier::Priority => add(Feature::Tier, "service_tier".into()),
        Tier::Standard => {}
    }
    if let Some(own) = &chat.bedrock {
        let fields = own.additional_model_request_fields.as_ref();
        let has_grammar = fields.is_some_and(|fields| fields.contains_key("structured_outputs"));
        let invoke = model.facts.invoke.as_ref();
        if has_grammar && invoke.is_some_and(Invoke::accepts_grammars) {
            add(
                Feature::Grammar,
                "bedrock.additional_model_request_fields".into(),
            );
        }
        if own
            .request_metadata
            .as_ref()
            .is_some_and(|all| !all.is_empty())
        {
            add(Feature::Metadata, "bedrock.request_metadata".into());
        }
        let members = [
            (
                Feature::RequestFields,
                "bedrock.additional_model_request_fields",
                own.additional_model_request_fields.is_some(),
            ),
            (
                Feature::ConverseFields,
                "bedrock.additional_model_response_field_paths",
                own.additional_model_response_field_paths.is_some(),
            ),
            (
                Feature::ConverseFields,
                "bedrock.prompt_variables",
                own.prompt_variables.is_some(),
            ),
        ];
        for (feature, param, _) in members.into_iter().filter(|(.., is_set)| *is_set) {
            add(feature, param.into());
        }
    }
    if chat.metadata.as_ref().is_some_and(|all| !all.is_empty()) {
        add(Feature::Metadata, "metadata".into());
    }
    let marked = |tool: &Tool| {
        let function = tool.function.as_ref();
        tool.cache_control.is_some() || function.is_some_and(|one| one.cache_control.is_some())
    };
    let is_point = |part: &Part| matches!(part, Part::CachePoint(_));
    let caches = chat.caches_automatically(model, caller)
        || chat.tools.iter().flatten().any(marked)
        || parts(chat).any(is_point);
    let native = model.facts.native.as_ref();
    if native.is_some_and(|native| native.custom_tools) {
        let has_grammar = |tool: &Tool| tool.custom.as_ref().is_some_and(CustomTool::has_grammar);
        let grammar = chat.tools.iter().flatten().position(has_grammar);
        match (chat.has_items, grammar) {
            (true, _) => add(Feature::Items, "input".into()),
            (false, Some(at)) => add(Feature::Items, format!("tools[{at}].custom.format").into()),
            (false, None) => {}
        }
    }
    if sends_betas(chat, model) {
        add(Feature::Betas, "anthropic-beta".into());
    }
    // A cache point that no route honors decides nothing.
    if model.facts.cache.is_some() && caches {
        add(Feature::CachePoint, "cache_control".into());
    }
}

/// Reports whether a route of the model accepts betas of the request, or needs one to keep its thinking.
fn sends_betas(chat: &Chat, model: &Model) -> bool {
    let facts = &model.facts;
    let invoke = facts.invoke.as_ref().map(|invoke| &invoke.betas);
    let native = facts.native.as_ref();
    let native = native.map(|native| [&native.betas, &native.mantle_betas]);
    let mut lists = invoke.into_iter().chain(native.into_iter().flatten());
    let keeps_thinking = chat.changes_prefix(model, true) && parts(chat).any(Part::is_thinking);
    let binding = |accepts: &[String]| accepts.iter().any(|flag| flag == BINDING_CONTROLS);
    lists.any(|accepts| {
        !chat.messages_options.sent(accepts).betas.is_empty()
            || (keeps_thinking && binding(accepts))
    })
}

fn of_content(chat: &Chat, add: &mut impl FnMut(Feature, Cow<'static, str>)) {
    for part in parts(chat) {
        let (feature, at) = match part {
            Part::File(file) => (Feature::Document, &file.at),
            Part::Image(image) => (Feature::Image, &image.at),
            Part::Video(video) => (Feature::Video, &video.at),
            Part::Audio(audio) => (Feature::Audio, &audio.at),
            _ => continue,
        };
        add(feature, at.clone().into());
    }
}

fn of_tools(chat: &Chat, model: &Model, add: &mut impl FnMut(Feature, Cow<'static, str>)) {
    let is_search = |tool: &Tool| WEB_SEARCH.contains(&tool.kind.as_str());
    let (hosted, own): (Vec<&Tool>, Vec<&Tool>) = chat
        .tools
        .iter()
        .flatten()
        .partition(|tool| is_search(tool));
    let client_tool = own.iter().position(|tool| tool.client_tool.is_some());
    if let Some(at) = client_tool {
        add(Feature::ClientTool, format!("tools[{at}]").into());
    }
    let searches = chat.web_search_options.is_some() || !hosted.is_empty();
    if searches && model.facts.web_search.is_some() {
        add(Feature::ServerTool, "web_search".into());
    }
    let legacy = chat.functions.as_ref().is_some_and(|all| !all.is_empty());
    if own.is_empty() && !legacy {
        return;
    }
    let param = if legacy { "functions" } else { "tools" };
    add(Feature::Tools, param.into());
    // What cannot be turned off on OpenAI's endpoints may be off on Converse, which carries both.
    let native = model.facts.native.as_ref();
    let can_disable = native.is_none_or(|native| native.efforts.iter().any(|one| one == "none"));
    let reasons = match chat.reasoning {
        Some(requested) => !(requested.amount.is_none() && can_disable),
        None => model.facts.reasoning.default_on,
    };
    if reasons {
        add(Feature::ToolsWithReasoning, param.into());
    }
    let is_forced = |choice: &ToolChoice| match choice {
        ToolChoice::Mode(mode) => mode != "auto",
        ToolChoice::Named(_) | ToolChoice::Allowed { .. } => true,
    };
    for (param, choice) in [
        ("tool_choice", &chat.tool_choice),
        ("function_call", &chat.function_call),
    ] {
        if choice.as_ref().is_some_and(is_forced) {
            add(Feature::ForcedChoice, param.into());
        }
    }
}

fn of_answer(chat: &Chat, model: &Model, add: &mut impl FnMut(Feature, Cow<'static, str>)) {
    match chat
        .response_format
        .as_ref()
        .map(|format| format.kind.as_str())
    {
        Some("json_schema") => add(Feature::JsonSchema, "response_format".into()),
        Some("json_object") => add(Feature::JsonObject, "response_format".into()),
        _ => {}
    }
    if chat.stop.as_ref().is_some_and(|stop| !stop.0.is_empty()) {
        add(Feature::Stop, "stop".into());
    }
    if chat.logprobs.is_some() {
        add(Feature::Logprobs, "logprobs".into());
    }
    if chat.top_k.is_some() && model.facts.top_k.is_some() {
        add(Feature::TopK, "top_k".into());
    }
}

/// All parts of all conversations, those inside tool results included.
fn parts(chat: &Chat) -> impl Iterator<Item = &Part> {
    let all = chat.conversations().flatten().flat_map(|one| &one.parts);
    all.flat_map(|part| {
        let inner: &[Part] = match part {
            Part::ToolResult(result) => &result.content,
            _ => &[],
        };
        std::iter::once(part).chain(inner)
    })
}
