//! The request that continues an answer, and the seam between both.

use std::sync::Arc;

use crate::{
    call::{Call, Delivery, Plan, Route},
    error::{Error, Kind},
    openai::tool_choice::ToolChoice,
    operation::{
        chat::{Chat, Message, Origin, Part, Role, least_output, worst_case},
        expansion,
    },
};

/// The bytes around the text in the body of the request, at most.
const FRAME: usize = 100;

/// A call for the rest of an answer.
pub struct Continuation {
    pub call: Arc<Call<Chat>>,
    /// The tokens that its input has in addition to that of the call, at most.
    pub added_tokens: u64,
}

/// Reports whether the answer to `call` may be continued if nothing but text of it was delivered.
pub fn is_possible(call: &Call<Chat>) -> bool {
    let Call { model, body, .. } = call;
    let takes_prefill = matches!(
        call.plan.route,
        Route::Converse | Route::Invoke | Route::Messages | Route::MantleMessages
    );
    // The guardrail judges an answer as a whole.
    let own_guardrail = body.bedrock.as_ref().and_then(|own| own.guardrail.as_ref());
    let guardrails = call.caller.guardrails_for(model);
    let is_guarded =
        own_guardrail.is_some() || guardrails.in_call.is_some() || guardrails.output.is_some();
    let wanted = body.reasoning.map(|reasoning| reasoning.amount);
    let reasons = wanted.map_or(model.facts.reasoning.default_on, |amount| !amount.is_none());
    let is_free =
        |choice: &ToolChoice| matches!(choice, ToolChoice::Mode(mode) if mode != "required");
    let is_forced = body.functions.is_some() || !body.tool_choice.as_ref().is_none_or(is_free);
    // They are not read, so they may bound the answer or its form.
    let raw = body.bedrock.as_ref();
    let raw = raw.and_then(|own| own.additional_model_request_fields.as_ref());
    let is_raw = raw.is_some() || !body.messages_options.members.is_empty();
    // Citations count the characters of the whole answer.
    let mut parts = body.messages.iter().flat_map(|message| &message.parts);
    model.options.resume
        && model.facts.resume
        && model.facts.prefill
        && takes_prefill
        && call.plan.delivery == Delivery::Stream
        && !reasons
        && !is_forced
        && body.choices() == 1
        && !body.wants_json()
        && !is_guarded
        && !is_raw
        && !parts.any(may_be_cited)
}

fn may_be_cited(part: &Part) -> bool {
    match part {
        Part::File(_) | Part::SearchResult(_) => true,
        Part::ToolResult(result) => result.content.iter().any(may_be_cited),
        _ => false,
    }
}

impl Continuation {
    /// Creates the continuation of an answer to `call` of which the client has `text`, and which has `output` tokens so far.
    /// `None` if the answer has to end here.
    pub fn new(call: &Call<Chat>, text: &str, output: u64) -> Option<Self> {
        let Call { model, body, .. } = call;
        // The service does not see that the text before completes a stop sequence.
        let mut stops = body.stop.iter().flat_map(|stop| &stop.0);
        if stops.any(|stop| ends_with_part_of(text, stop)) {
            return None;
        }
        let limit = body
            .requested_tokens()
            .unwrap_or_else(|| body.default_tokens(model));
        let limit = limit.min(model.facts.max_output_tokens.unwrap_or(u32::MAX));
        let left = limit.checked_sub(u32::try_from(output).ok()?)?;
        if left < least_output(&model.facts, false).max(1) {
            return None;
        }
        let mut messages = body.messages.clone();
        append(&mut messages, text)?;
        let body = Chat {
            messages,
            max_completion_tokens: Some(left),
            max_tokens: None,
            bytes: body.bytes + text.len() + FRAME,
            expansion: body.expansion + expansion::of_text(text),
            ..Chat::clone(body)
        };
        let worst = worst_case::worst_case(&body, model, &call.caller, call.plan.route);
        let before = call.plan.worst.input_tokens;
        Some(Self {
            added_tokens: worst.input_tokens.saturating_sub(before),
            call: Arc::new(Call {
                request_id: call.request_id.clone(),
                caller: call.caller.clone(),
                model: model.clone(),
                body: Arc::new(body),
                plan: Plan {
                    worst,
                    ..call.plan.clone()
                },
                end_user: call.end_user.clone(),
                trace: call.trace.clone(),
            }),
        })
    }
}

/// Appends the text of the answer to the turn that the model continues. `None` if that turn ends with something else.
fn append(messages: &mut Vec<Message>, text: &str) -> Option<()> {
    match messages.last_mut() {
        // The client has begun the turn. What it left at the end was trimmed before it was sent.
        Some(last) if last.role == Role::Assistant => {
            let Part::Text(begun) = last.parts.last_mut()? else {
                return None;
            };
            begun.truncate(begun.trim_end().len());
            begun.push_str(text);
        }
        _ => {
            let index = messages.len();
            messages.push(Message {
                role: Role::Assistant,
                name: None,
                parts: vec![Part::Text(text.to_owned())],
                origin: Origin {
                    list: "messages",
                    index,
                },
            });
        }
    }
    Some(())
}

/// Reports whether `text` ends with a beginning of `stop`.
fn ends_with_part_of(text: &str, stop: &str) -> bool {
    let mut ends = stop.char_indices().skip(1).map(|(at, _)| at);
    ends.any(|end| text.ends_with(&stop[..end]))
}

/// The error for a request that could not be written.
pub fn lost() -> Error {
    Error::new(Kind::Internal, "The answer could not be continued.")
}

/// White space at the end of a text, which the model did not see, because models reject it there. It often writes it again.
#[derive(Default)]
pub struct Overlap(String);

impl Overlap {
    /// Creates the overlap of a text and its continuation.
    pub fn after(text: &str) -> Self {
        Self(text[text.trim_end().len()..].to_owned())
    }

    /// Returns the next piece of the continuation without what it repeats. `None` if that is all of it.
    pub fn cut(&mut self, piece: String) -> Option<String> {
        if self.0.is_empty() {
            return Some(piece);
        }
        let both = self.0.chars().zip(piece.chars());
        let same = both.take_while(|(one, other)| one == other);
        let repeated: usize = same.map(|(c, _)| c.len_utf8()).sum();
        match repeated == piece.len() {
            true => {
                self.0.drain(..repeated);
                None
            }
            false => {
                self.0.clear();
                Some(piece[repeated..].to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client has in the end.
    fn joined(text: &str, pieces: &[&str]) -> String {
        let mut overlap = Overlap::after(text);
        let pieces = pieces.iter().map(|piece| (*piece).to_owned());
        let more: String = pieces.filter_map(|piece| overlap.cut(piece)).collect();
        format!("{text}{more}")
    }

    #[test]
    fn white_space_at_the_seam_is_neither_doubled_nor_lost() {
        for (text, pieces, expected) in [
            ("One", &[" two"][..], "One two"),
            ("One ", &["two"], "One two"),
            ("One ", &[" two"], "One two"),
            ("One\n\n", &["\n", "\n", "Two"], "One\n\nTwo"),
            ("One\n", &["\n\nTwo"], "One\n\nTwo"),
            ("One\n\n", &["\nTwo"], "One\n\nTwo"),
            (
                "One\u{a0}\n",
                &["\u{a0}", "\n\n", "Two"],
                "One\u{a0}\n\nTwo",
            ),
            ("One ", &[" ", " two  ", " "], "One  two   "),
            ("  ", &["Two"], "  Two"),
        ] {
            assert_eq!(joined(text, pieces), expected, "{text:?} {pieces:?}");
        }
    }

    #[test]
    fn text_may_end_with_a_beginning_of_a_stop_sequence() {
        assert!(ends_with_part_of("so far EN", "END"));
        assert!(ends_with_part_of("so far é", "éa"));
        assert!(!ends_with_part_of("so far", "END"));
        assert!(
            !ends_with_part_of("so far END", "END"),
            "it would have ended"
        );
        assert!(!ends_with_part_of("so far", ""));
    }
}
