//! Translates chats to Converse and its replies back, without I/O, clocks or `async`.
//!
//! Every parameter that is dropped, clamped or emulated adds a warning to [`Warnings`]. Differences
//! between model families come from the model's [`crate::model::Facts`]; no code here compares model
//! names.

pub(super) mod answer;
mod blocks;
mod caching;
mod choice;
mod codec;
mod count;
mod custom_input;
mod description;
mod duplicates;
mod extension;
pub(super) mod finish;
mod grounding;
pub(super) mod guardrail;
pub(super) mod media;
mod media_formats;
mod messages;
pub(super) mod names;
mod open_blocks;
mod plan;
mod prefix;
mod raw;
pub(super) mod reasoning;
pub(super) mod repair;
pub(super) mod reply;
pub(super) mod reported;
pub(super) mod sampling;
pub(super) mod schema;
mod schema_check;
mod stop_cutter;
mod stops;
pub(super) mod stream;
pub(super) mod structured;
mod text;
pub(super) mod tool_input;
pub(super) mod tools;
pub(super) mod turns;

use std::borrow::Cow;

pub use codec::Converse;
pub use count::Count;
pub use media::{MAX_IMAGES, takes_image};
pub use plan::{CallIds, ReplyPlan};
pub use reply::whole_reply;
pub use stream::StreamTranslator;

use crate::{
    bedrock::request::{ConverseRequest, OutputConfig},
    call::{Caller, Warnings},
    error::Error,
    model::Model,
    operation::chat::{Chat, Message, Part},
};
use messages::Reasons;
use schema::StrictBudget;
use structured::Structured;

/// The inputs of a translation, besides the chat.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The model that receives the request.
    pub model: &'a Model,
    /// The key that sent the request.
    pub caller: &'a Caller,
    /// Collects warnings for the client.
    pub warnings: &'a Warnings,
    /// The conversation to translate, which is one of the chat's.
    pub messages: &'a [Message],
    /// What the route does beyond Converse.
    pub extras: Extras,
}

/// What a route does that Converse does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// Tools are deferred until a search has found them.
    pub defers_tools: bool,
    /// The service drops thinking whose prefix has changed, instead of rejecting the request.
    pub drops_changed_thinking: bool,
    /// The gateway marks the text of turns differently in every request.
    pub marks_text: bool,
    /// Tools can have text as input, with a grammar.
    pub custom_tools: bool,
    /// Tools can be in namespaces.
    pub namespaces: bool,
}

impl Context<'_> {
    /// Reports whether the model accepts its thinking of earlier turns back: nothing before it has changed since.
    fn keeps_thinking(&self, chat: &Chat) -> bool {
        let Extras {
            defers_tools,
            drops_changed_thinking,
            marks_text,
            ..
        } = self.extras;
        let is_marked = marks_text && self.model.facts.reasoning.bound;
        drops_changed_thinking || !(is_marked || chat.changes_prefix(self.model, defers_tools))
    }
}

/// The result of a translation.
#[derive(Debug)]
pub struct Translated<'a> {
    /// The request to Bedrock.
    pub request: ConverseRequest<'a>,
    /// How to decode the reply.
    pub plan: ReplyPlan,
}

/// Returns the Converse request for one conversation of a chat.
///
/// # Errors
/// 400 with the member's path if the chat cannot be expressed; with `dropped_parameters = "refuse"`
/// also if a parameter would be dropped.
pub fn chat_request<'a>(chat: &'a Chat, cx: &Context<'a>) -> Result<Translated<'a>, Error> {
    let (model, warnings) = (cx.model, cx.warnings);
    let mut names = tools::names(chat, cx);
    let reasoning = reasoning::plan(chat, cx);
    let has_tools =
        chat.tools.as_ref().is_some_and(|tools| !tools.is_empty()) || chat.functions.is_some();
    let mut strict = StrictBudget::new(&model.facts);
    let structured = structured::plan(
        chat,
        reasoning.enabled,
        has_tools,
        &mut names,
        &mut strict,
        cx,
    )?;
    let tools = tools::plan(
        chat,
        &structured,
        reasoning.enabled,
        &mut names,
        &mut strict,
        cx,
    )?;
    let must_call = tools.instruction.is_some();
    let instruction = match (&structured, tools.instruction) {
        (Structured::Instruct(instruction), Some(choice)) => {
            Some(format!("{choice}\n{}", instruction.text))
        }
        (Structured::Instruct(instruction), None) => Some(instruction.text.clone()),
        (_, choice) => choice,
    };
    let reasons = Reasons {
        enabled: reasoning.enabled,
        keeps_history: cx.keeps_thinking(chat),
    };
    let thinks = |message: &Message| message.parts.iter().any(Part::is_thinking);
    if reasons.enabled && !reasons.keeps_history && cx.messages.iter().any(thinks) {
        warnings.add(
            "messages: reasoning_dropped (the gateway changed what precedes it, and this model accepts only thinking with the same prefix)",
        );
    }
    let mut conversation = messages::conversation(
        cx.messages,
        &chat.fetched,
        instruction,
        reasons,
        &mut names,
        cx,
    )?;
    let prefix = structured::prefill(&structured, &mut conversation);
    let mut fields = reasoning.fields.clone();
    fields.extend(tools.fields);
    sampling::warn_ignored(chat, warnings);
    let (inference_config, stops) = sampling::inference_config(chat, &reasoning, &mut fields, cx);
    let service_tier = sampling::service_tier(chat)?;
    let reasoning_paths = if reasoning.enabled && model.facts.reasoning.signed {
        REASONING_PATHS
    } else {
        &[]
    };
    let reports_stop = model.facts.tells_stop && !inference_config.stop_sequences.is_empty();
    // The same models show members of their own reply.
    let reports_refusal = model.facts.tells_stop && chat.wants_stop_details;
    let paths = reasoning_paths
        .iter()
        .chain(if reports_stop { STOP_PATHS } else { &[] })
        .chain(if reports_refusal { REFUSAL_PATHS } else { &[] });
    let mut plan = ReplyPlan {
        names: names.changed(),
        custom: tools.custom,
        mute: tools.mute,
        must_call,
        one_call: tools.one_call,
        legacy: chat.functions.is_some(),
        stops,
        inline_tag: model.facts.reasoning.inline_tag.clone(),
        prefix,
        show_guardrail: guardrail::is_shown(chat, cx),
        mark: names::reasoning_mark(model),
        price: model.price.clone(),
        tier: chat.tier(),
        region: model.target().region.clone(),
        own_limit: sampling::own_limit(chat, &inference_config, model),
        logprobs: chat.logprobs.is_some() && model.facts.logprobs,
        ..ReplyPlan::default()
    };
    let mut converse = ConverseRequest {
        messages: conversation.messages,
        system: conversation.system,
        inference_config: Some(inference_config),
        tool_config: tools.config,
        guardrail_config: None,
        additional_model_request_fields: fields,
        prompt_variables: None,
        additional_model_response_field_paths: paths.map(|path| Cow::Borrowed(*path)).collect(),
        request_metadata: sampling::request_metadata(
            chat,
            model.options.hash_users || chat.hides_user,
            warnings,
        ),
        performance_config: None,
        service_tier,
        output_config: OutputConfig {
            text_format: None,
            effort: reasoning.effort,
        },
    };
    structured::apply(structured, &mut converse, &mut plan);
    caching::apply(&mut converse, chat, cx);
    extension::apply(&mut converse, chat, cx)?;
    Ok(Translated {
        request: converse,
        plan,
    })
}

/// Paths of Claude's response field with the number of thinking tokens.
const REASONING_PATHS: &[&str] = &["/usage/output_tokens_details"];

/// Paths of Claude's response field with the reason of a refusal, in whole replies and in streams.
const REFUSAL_PATHS: &[&str] = &["/stop_details", "/delta/stop_details"];

/// Paths of Claude's response field with the matched stop sequence, in whole replies and in streams.
const STOP_PATHS: &[&str] = &["/stop_sequence", "/delta/stop_sequence"];
