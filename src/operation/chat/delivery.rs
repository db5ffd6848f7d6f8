//! Decides whether an answer is streamed.

use super::{Chat, Part};
use crate::{
    call::Delivery,
    model::{Facts, Model, ToolChoiceMode},
};

/// Returns the delivery of the answer of `model`.
pub fn of(chat: &Chat, model: &Model) -> Delivery {
    if !chat.stream {
        return Delivery::Whole;
    }
    let facts = &model.facts;
    let repairs = chat.wants_json() && model.options.repair_json;
    match !facts.stream || repairs || (!facts.stream_with_tools && may_send_tools(chat, facts)) {
        true => Delivery::Replayed,
        false => Delivery::Stream,
    }
}

/// Reports whether the request to the service can contain tools: the client's, those that a history with calls needs,
/// or the gateway's own, whose input is an answer in JSON. A codec must not send tools in a stream if this is false.
fn may_send_tools(chat: &Chat, facts: &Facts) -> bool {
    let declared = chat.tools.as_ref().is_some_and(|tools| !tools.is_empty())
        || chat.functions.is_some()
        || chat.web_search_options.is_some();
    let called = chat.conversations().flatten().any(|message| {
        let is_call = |part: &Part| matches!(part, Part::ToolUse(_) | Part::ServerTool(_));
        message.parts.iter().any(is_call)
    });
    let schema = chat
        .response_format
        .as_ref()
        .is_some_and(|format| format.json_schema.is_some());
    let forces = [ToolChoiceMode::Any, ToolChoiceMode::Tool];
    let can_force = facts.tools && forces.iter().any(|mode| facts.tool_choice.contains(mode));
    declared || called || (schema && can_force)
}
