//! The model as it is on this route. The translation to Converse reads only facts, so facts that differ here are all that
//! it needs to emulate, warn about or reject what a family's body cannot express.

use std::sync::Arc;

use crate::model::{
    DefaultMaxTokens, Facts, Invoke, InvokeFamily, Model, ToolChoiceMode, ToolNameForm,
};

/// Returns `model` with the facts of its InvokeModel body. `is_guarded` means that the call carries a guardrail.
pub fn route_model(model: &Model, invoke: &Invoke, is_guarded: bool) -> Model {
    let mut facts = Facts::clone(&model.facts);
    // Only Converse has Nova's grounding tool.
    facts.web_search = None;
    facts.structured_output = invoke.structured_output;
    facts.strict_tools &= invoke.structured_output;
    let mut defaults = model.defaults.clone();
    facts.logprobs = invoke.returns_logprobs();
    if let Some(most) = invoke.max_output_tokens {
        // The plan, whose output was reserved, knows no maximum.
        if facts.max_output_tokens.is_none() {
            defaults.max_tokens = DefaultMaxTokens::Fixed(model.default_max_tokens());
        }
        facts.max_output_tokens = Some(facts.max_output_tokens.unwrap_or(most).min(most));
    }
    if let Some(tag) = &invoke.inline_tag {
        facts.reasoning.inline_tag = Some(tag.clone());
    }
    // The tags that a guardrail needs around the text of a prefill would end it.
    facts.prefill &= !is_guarded;
    match invoke.family {
        InvokeFamily::Anthropic => {}
        InvokeFamily::Nova => facts.document = false,
        InvokeFamily::Pegasus => {
            facts.image = false;
            facts.document = false;
            facts.audio = false;
            facts.tools = false;
            facts.cache = None;
        }
        InvokeFamily::OpenaiChat | InvokeFamily::MistralChat => {
            text_and_images(&mut facts);
            if invoke.family == InvokeFamily::MistralChat {
                // Its documentation lists neither.
                facts.stop = false;
                facts.top_k = None;
            }
        }
        InvokeFamily::CommandR => {
            let documents = facts.document;
            text_and_images(&mut facts);
            facts.image = false;
            facts.document = documents;
            facts.late_system = false;
            facts.prefill = false;
            facts.tool_choice = vec![ToolChoiceMode::Auto];
            facts.tool_names = ToolNameForm::Identifier;
        }
        // Its template has no place for a system text.
        InvokeFamily::TitanText => text_only(&mut facts),
        InvokeFamily::Command | InvokeFamily::Jurassic => {
            text_only(&mut facts);
            facts.prefill = false;
        }
        InvokeFamily::ClaudeText
        | InvokeFamily::Llama2
        | InvokeFamily::Llama3
        | InvokeFamily::Llama4
        | InvokeFamily::MistralText
        | InvokeFamily::DeepseekR1 => {
            text_only(&mut facts);
            // The template has a place for it.
            facts.system = true;
            // The prompt for R1 ends with the start of its reasoning.
            facts.prefill &= invoke.family != InvokeFamily::DeepseekR1;
        }
    }
    Model {
        facts: Arc::new(facts),
        defaults,
        ..model.clone()
    }
}

fn text_only(facts: &mut Facts) {
    text_and_images(facts);
    facts.structured_output = false;
    facts.image = false;
    facts.tools = false;
    facts.tool_choice.clear();
    facts.late_system = false;
}

fn text_and_images(facts: &mut Facts) {
    facts.document = false;
    facts.video = false;
    facts.audio = false;
    facts.search_result = false;
    facts.tool_result_media = false;
    facts.cache = None;
    // These bodies have no place for signed or encrypted reasoning.
    facts.reasoning.signed = false;
    facts.reasoning.redacted = false;
}
