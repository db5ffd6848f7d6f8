//! How much the model is to think, in the words of its family.

use serde_json::{Map, Value, json};

use super::{Context, messages, tools};
use crate::{
    call::{Model, Notes, ReasoningStyle},
    converse::content::ContentBlock,
    error::Error,
    openai::{
        chat::ChatRequest,
        message::{Content, Message, Role},
    },
};

/// Every effort that OpenAI and the families know, weakest first.
const SCALE: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The least that Claude takes as a budget, in tokens.
const MIN_BUDGET: u32 = 1024;

/// The most that is asked for, in tokens.
const MAX_BUDGET: u32 = 16_384;

/// What is left for the answer beside a budget where the client has set no limit, in tokens.
const VISIBLE: u32 = 4096;

/// What follows from the effort that was asked for.
#[derive(Debug, Default, PartialEq)]
pub struct Reasoning {
    /// The model will reason.
    pub on: bool,
    /// Members of `additionalModelRequestFields`.
    pub fields: Map<String, Value>,
    /// `outputConfig.effort`.
    pub effort: Option<&'static str>,
    /// Tokens of the output that are for thinking.
    pub budget: Option<u32>,
    /// The service wants `maxTokens` and sampling left out.
    pub unlimited: bool,
}

/// The effort that the request asks for.
///
/// # Errors
/// A 400 for a word that nobody knows.
pub fn effort(request: &ChatRequest) -> Result<Option<&'static str>, Error> {
    let of_object = request
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.effort.as_deref());
    let Some(asked) = request.reasoning_effort.as_deref().or(of_object) else {
        return Ok(None);
    };
    match SCALE.iter().find(|effort| **effort == asked) {
        Some(effort) => Ok(Some(effort)),
        None => Err(Error::invalid(
            "reasoning_effort",
            format!("'reasoning_effort' must be one of {}.", SCALE.join(", ")),
        )),
    }
}

/// # Errors
/// See [`effort`].
pub fn plan(request: &ChatRequest, cx: &Context<'_>) -> Result<Reasoning, Error> {
    let (model, notes) = (cx.model, cx.notes);
    let facts = &model.facts.reasoning;
    let lost = || has_lost_thinking(request, cx);
    let Some(asked) = effort(request)? else {
        if facts.default_on && lost() {
            notes.add("reasoning: turned off, the last tool calls came back without the reasoning that they followed");
            return Ok(off(model, notes));
        }
        return Ok(Reasoning {
            on: facts.default_on,
            ..Reasoning::default()
        });
    };
    if facts.style == ReasoningStyle::None {
        if asked != "none" || facts.default_on {
            notes.dropped(
                "reasoning_effort",
                "the reasoning of this model cannot be steered",
            );
        }
        return Ok(Reasoning {
            on: facts.default_on,
            ..Reasoning::default()
        });
    }
    if asked == "none" && !facts.efforts.iter().any(|effort| effort == "none") {
        return Ok(off(model, notes));
    }
    if lost() {
        notes.dropped(
            "reasoning_effort",
            "the last tool calls came back without the reasoning that they followed",
        );
        return Ok(off(model, notes));
    }
    let effort = clamped(asked, &facts.efforts);
    if effort != asked && !(asked == "minimal" && effort == "low") {
        notes.add(format!(
            "reasoning_effort: '{asked}' was sent as '{effort}', the nearest that the model takes"
        ));
    }
    Ok(on(effort, request, model, notes))
}

/// A highest effort below the one that was asked for, else the lowest.
fn clamped(asked: &'static str, efforts: &[String]) -> &'static str {
    let at = |effort: &str| SCALE.iter().position(|known| *known == effort);
    let known: Vec<usize> = efforts.iter().filter_map(|effort| at(effort)).collect();
    let asked_at = at(asked).unwrap_or_default();
    // `minimal` means little thinking, not none.
    let low = known.iter().copied().filter(|rank| *rank > 0);
    let below = low.clone().filter(|rank| *rank <= asked_at).max();
    let found = if asked == "none" && known.contains(&0) {
        Some(0)
    } else {
        below.or(low.min())
    };
    found.map_or(asked, |rank| SCALE[rank])
}

fn off(model: &Model, notes: &Notes) -> Reasoning {
    let facts = &model.facts.reasoning;
    let mut fields = Map::new();
    if let Some(off) = &facts.off {
        fields.insert("thinking".to_owned(), json!({"type": off}));
    }
    let least = facts
        .efforts
        .iter()
        .find_map(|effort| SCALE.iter().find(|known| *known == effort))
        .copied();
    match (facts.style, least) {
        (ReasoningStyle::ReasoningEffort, Some(least)) if facts.cannot_disable => {
            fields.insert("reasoning_effort".to_owned(), least.into());
        }
        (ReasoningStyle::ReasoningObject, Some(least)) if facts.cannot_disable => {
            fields.insert("reasoning".to_owned(), json!({"effort": least}));
        }
        _ => {}
    }
    if facts.cannot_disable {
        notes.add("reasoning_effort: the model always reasons; it was told to as little as it can");
    }
    Reasoning {
        on: facts.cannot_disable,
        fields,
        ..Reasoning::default()
    }
}

fn on(effort: &'static str, request: &ChatRequest, model: &Model, notes: &Notes) -> Reasoning {
    let facts = &model.facts.reasoning;
    let mut reasoning = Reasoning {
        on: effort != "none",
        ..Reasoning::default()
    };
    let mut field = |name: &str, value: Value| {
        reasoning.fields.insert(name.to_owned(), value);
    };
    match facts.style {
        ReasoningStyle::None => {}
        ReasoningStyle::Budget => {
            let wanted = match effort {
                "medium" => 2048,
                "high" => 4096,
                "xhigh" => 8192,
                "max" => MAX_BUDGET,
                _ => MIN_BUDGET,
            };
            let budget = fitting(wanted, request, model, notes);
            field(
                "thinking",
                json!({"type": "enabled", "budget_tokens": budget}),
            );
            reasoning.budget = Some(budget);
        }
        ReasoningStyle::Adaptive => {
            let thinking = match facts.display {
                true => json!({"type": "adaptive", "display": "summarized"}),
                false => json!({"type": "adaptive"}),
            };
            field("thinking", thinking);
            reasoning.effort = Some(effort);
        }
        ReasoningStyle::ReasoningConfig => {
            field(
                "reasoningConfig",
                json!({"type": "enabled", "maxReasoningEffort": effort}),
            );
            reasoning.unlimited = effort == "high";
        }
        ReasoningStyle::ReasoningEffort => field("reasoning_effort", effort.into()),
        ReasoningStyle::ReasoningObject => field("reasoning", json!({"effort": effort})),
    }
    reasoning
}

/// A budget must leave room for the answer within what the client allows, or the model can write.
fn fitting(wanted: u32, request: &ChatRequest, model: &Model, notes: &Notes) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let room = match request.max_completion_tokens.or(request.max_tokens) {
        Some(limit) => limit.min(most) / 2,
        None => most.saturating_sub(VISIBLE),
    };
    let budget = wanted.min(room).max(MIN_BUDGET);
    if budget < wanted {
        notes.add(format!(
            "reasoning_effort: {budget} tokens for thinking are what max_tokens leaves room for"
        ));
    }
    budget
}

/// `maxTokens` beside a budget, which counts within it.
pub fn max_tokens(asked: Option<u32>, budget: u32, model: &Model, notes: &Notes) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    match asked {
        None => budget.saturating_add(VISIBLE).min(most),
        Some(asked) if asked > budget => asked,
        Some(asked) => {
            let raised = budget.saturating_add(asked).min(most);
            notes.add(format!(
                "max_tokens: raised to {raised}, the least that the model takes while it reasons"
            ));
            raised
        }
    }
}

/// The most that `maxTokens` can become beside a budget, in tokens.
pub fn most_with_budget(asked: Option<u32>) -> u32 {
    asked.unwrap_or(VISIBLE).saturating_add(MAX_BUDGET)
}

fn says_something(message: &Message) -> bool {
    let calls = message
        .tool_calls
        .as_ref()
        .is_some_and(|calls| !calls.is_empty())
        || message.function_call.is_some();
    let text = match &message.content {
        Some(Content::Text(text)) => !text.trim().is_empty(),
        Some(Content::Parts(parts)) => !parts.is_empty(),
        None => message.refusal.is_some(),
    };
    message.role == Role::Assistant && (calls || text)
}

/// Claude refuses to think on after a tool call whose thinking is missing. Seen on the turns as they would be sent,
/// because merging and mending decide what stands where.
fn has_lost_thinking(request: &ChatRequest, cx: &Context<'_>) -> bool {
    let facts = &cx.model.facts.reasoning;
    let style = matches!(
        facts.style,
        ReasoningStyle::Budget | ReasoningStyle::Adaptive
    );
    let calls = request
        .messages
        .iter()
        .any(|message| message.tool_calls.is_some() || message.function_call.is_some());
    if !style || !facts.signed || facts.cannot_disable || !calls {
        return false;
    }
    // What was said before the last question does not matter, and may hold media that are costly to look at.
    // An assistant message that says nothing is left out.
    let assistant = request
        .messages
        .iter()
        .rposition(says_something)
        .unwrap_or_default();
    let from = request.messages[..assistant]
        .iter()
        .rposition(|message| message.role == Role::User)
        .unwrap_or_default();
    let unheard = Context {
        notes: &Notes::default(),
        ..*cx
    };
    let mut names = tools::names(request);
    let Ok(conversation) =
        messages::conversation(&request.messages[from..], None, true, &mut names, &unheard)
    else {
        return false;
    };
    let [.., assistant, user] = conversation.messages.as_slice() else {
        return false;
    };
    let answers = user
        .content
        .iter()
        .any(|block| matches!(block, ContentBlock::ToolResult(_)));
    let calls = assistant
        .content
        .iter()
        .any(|block| matches!(block, ContentBlock::ToolUse(_)));
    answers
        && calls
        && !matches!(
            assistant.content.first(),
            Some(ContentBlock::ReasoningContent(_))
        )
}
