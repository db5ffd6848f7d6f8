//! OpenAI on one side, Converse on the other. Pure: no I/O, no clock, never `async`.
//!
//! Nothing is lost silently: what is dropped, clamped or emulated goes into [`Notes`]. What families differ in is
//! asked of the model's [`crate::call::Facts`]; no file here knows a model's name.

mod answer;
mod blocks;
mod caching;
mod choice;
mod extension;
mod finish;
mod media;
mod messages;
mod misfit;
mod names;
mod plan;
mod reasoning;
mod reply;
mod sampling;
mod schema;
mod stream;
mod structured;
mod text;
mod tools;
mod turns;
mod validate;
mod worst_case;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

pub use media::{MAX_IMAGES, takes_image};
pub use misfit::misfit;
pub use plan::ReplyPlan;
pub use reply::{Folded, Read, fold, whole_reply};
pub use sampling::identify;
pub use stream::StreamTranslator;
pub use validate::validate;
pub use worst_case::worst_case;

use crate::{
    call::{Caller, DroppedParameters, Fetched, Model, Notes, Tier},
    converse::request::{ConverseRequest, OutputConfig, ServiceTier},
    error::{Error, Kind},
    openai::{chat::ChatRequest, message::ThinkingBlock},
};
use structured::Structured;

/// Signed reasoning that was seen before a tool call, by the id of the call.
pub type Recalled = HashMap<String, Arc<Vec<ThinkingBlock>>>;

/// What a request is translated with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub model: &'a Model,
    pub caller: &'a Caller,
    pub notes: &'a Notes,
    pub recalled: &'a Recalled,
    pub fetched: &'a Fetched,
}

/// What goes to Bedrock, and what must be remembered of it to read the reply.
#[derive(Debug)]
pub struct Translated<'a> {
    pub request: ConverseRequest<'a>,
    pub plan: ReplyPlan,
    /// The family cannot stream this: call it whole, and hand the reply over step by step.
    pub whole: bool,
}

/// The Converse request for a chat request that [`validate`] has accepted.
///
/// # Errors
/// A 400 that names the field, where the request cannot be expressed; with `dropped_parameters = "refuse"` also where
/// a parameter would be left out; 404 for a model that Converse does not serve.
pub fn chat_request<'a>(
    request: &'a ChatRequest,
    cx: &Context<'a>,
) -> Result<Translated<'a>, Error> {
    let (model, notes) = (cx.model, cx.notes);
    serves_chat(model)?;
    if let Some(warning) = model.facts.lifecycle.warning() {
        notes.add(format!("model: {warning}"));
    }
    if model.base.is_none() {
        notes.add("model: not in the catalogue, what it can do is guessed");
    }
    if model.price.is_none() {
        notes.add("usage.cost: left out, no price of this model is known");
    }
    let most = model.options.max_n;
    if request.n.is_some_and(|n| n > most) {
        return Err(Error::invalid(
            "n",
            format!("This gateway answers this model with {most} choices at most."),
        ));
    }
    let mut names = tools::names(request);
    let reasoning = reasoning::plan(request, cx)?;
    let calls = request
        .tools
        .as_ref()
        .is_some_and(|tools| !tools.is_empty())
        || request.functions.is_some();
    let structured = structured::plan(request, reasoning.on, calls, &mut names, cx)?;
    let tools = tools::plan(request, &structured, reasoning.on, &mut names, cx)?;
    let must_call = tools.instruction.is_some();
    let instruction = match (&structured, tools.instruction) {
        (Structured::Instruct(instruction), Some(choice)) => {
            Some(format!("{choice}\n{}", instruction.text))
        }
        (Structured::Instruct(instruction), None) => Some(instruction.text.clone()),
        (_, choice) => choice,
    };
    let mut conversation =
        messages::conversation(&request.messages, instruction, reasoning.on, &mut names, cx)?;
    let prefix = structured::prefill(&structured, &mut conversation);
    let mut fields = reasoning.fields.clone();
    fields.extend(tools.fields);
    sampling::note_ignored(request, notes);
    let (inference_config, stops) =
        sampling::inference_config(request, &reasoning, &mut fields, cx);
    let service_tier = sampling::service_tier(request)?;
    let reasoning_paths = if reasoning.on && model.facts.reasoning.signed {
        REASONING_PATHS
    } else {
        &[]
    };
    let told = model.facts.tells_stop && !inference_config.stop_sequences.is_empty();
    let paths = reasoning_paths
        .iter()
        .chain(if told { STOP_PATHS } else { &[] });
    let mut plan = ReplyPlan {
        names: names.changed(),
        custom: tools.custom,
        mute: tools.mute,
        must_call,
        one_call: tools.one_call,
        legacy: request.functions.is_some(),
        stops,
        inline_tag: model.facts.reasoning.inline_tag.clone(),
        prefix,
        show_guardrail: shows_guardrail(cx),
        mark: names::mark_of(model),
        price: model.price.clone(),
        tier: tier(service_tier, request),
        region: model.target.region.clone(),
        ..ReplyPlan::default()
    };
    let whole = (tools.config.is_some() && !model.facts.stream_with_tools) || !model.facts.stream;
    let mut converse = ConverseRequest {
        messages: conversation.messages,
        system: conversation.system,
        inference_config: Some(inference_config),
        tool_config: tools.config,
        guardrail_config: None,
        additional_model_request_fields: fields,
        prompt_variables: None,
        additional_model_response_field_paths: paths.map(|path| Cow::Borrowed(*path)).collect(),
        request_metadata: sampling::request_metadata(request, model.options.hash_users, notes),
        performance_config: None,
        service_tier,
        output_config: OutputConfig {
            text_format: None,
            effort: reasoning.effort,
        },
    };
    structured::settle(structured, &mut converse, &mut plan);
    caching::settle(&mut converse, request, cx);
    extension::apply(&mut converse, request, cx)?;
    refuse_dropped(model, notes)?;
    Ok(Translated {
        request: converse,
        plan,
        whole,
    })
}

/// Where Claude tells how much of its output was thinking.
const REASONING_PATHS: &[&str] = &["/usage/output_tokens_details"];

/// Where Claude tells the stop sequence that it met: in a whole reply, and in a stream.
const STOP_PATHS: &[&str] = &["/stop_sequence", "/delta/stop_sequence"];

fn serves_chat(model: &Model) -> Result<(), Error> {
    let refused = |text: String| {
        Err(Error::new(Kind::NotFound, text)
            .with_code("model_not_found")
            .with_param("model"))
    };
    match &model.facts {
        facts if facts.modality != "chat" => refused(format!(
            "This model is for {}, not for chat.",
            facts.modality.replace('_', " ")
        )),
        facts if !facts.converse && !facts.invoke_model => refused(
            "This model is served only on bedrock-mantle, which this gateway does not speak."
                .to_owned(),
        ),
        facts if !facts.converse => {
            refused("Bedrock's Converse does not serve this model.".to_owned())
        }
        _ => Ok(()),
    }
}

fn tier(asked: Option<ServiceTier>, request: &ChatRequest) -> Tier {
    let optimized = request
        .bedrock
        .as_ref()
        .is_some_and(|own| own.performance.as_deref() == Some("optimized"));
    match asked {
        _ if optimized => Tier::Optimized,
        Some(ServiceTier::Flex) => Tier::Flex,
        Some(ServiceTier::Priority) => Tier::Priority,
        Some(ServiceTier::Reserved | ServiceTier::Default) | None => Tier::Standard,
    }
}

fn shows_guardrail(cx: &Context<'_>) -> bool {
    let policy = cx
        .caller
        .guardrail
        .as_ref()
        .or(cx.model.options.guardrail.as_ref());
    policy.is_none_or(|policy| policy.show_trace)
}

/// Where the operator wants that, what was left out is refused.
///
/// # Errors
/// A 400 that names the first of it.
pub fn refuse_dropped(model: &Model, notes: &Notes) -> Result<(), Error> {
    if model.dropped_parameters == DroppedParameters::Refuse
        && let Some((param, why)) = notes.first_dropped()
    {
        return Err(Error::invalid(
            param,
            format!("Not supported here: {why}. Leave it out; this gateway refuses what it would have to ignore."),
        )
        .with_code("unsupported_parameter"));
    }
    Ok(())
}
