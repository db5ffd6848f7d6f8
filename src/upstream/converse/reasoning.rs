//! How much the model is to think, in the words of its family.

use serde_json::{Map, Value, json};

use super::{Context, messages, tools};
use crate::{
    bedrock::content::ContentBlock,
    call::Warnings,
    error::Error,
    model::{Model, ReasoningStyle},
    operation::chat::{Chat, MAX_BUDGET, MIN_BUDGET, Message, Part, Role, SCALE, VISIBLE, effort},
};

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

/// # Errors
/// See [`effort`].
pub fn plan(request: &Chat, cx: &Context<'_>) -> Result<Reasoning, Error> {
    let (model, warnings) = (cx.model, cx.warnings);
    let facts = &model.facts.reasoning;
    let lost = || has_lost_thinking(request, cx);
    let Some(asked) = effort(request)? else {
        if facts.default_on && lost() {
            warnings.add("reasoning: turned off, the last tool calls came back without the reasoning that they followed");
            return Ok(off(model, warnings));
        }
        return Ok(Reasoning {
            on: facts.default_on,
            ..Reasoning::default()
        });
    };
    if facts.style == ReasoningStyle::None {
        if asked != "none" || facts.default_on {
            warnings.dropped(
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
        return Ok(off(model, warnings));
    }
    if lost() {
        warnings.dropped(
            "reasoning_effort",
            "the last tool calls came back without the reasoning that they followed",
        );
        return Ok(off(model, warnings));
    }
    let effort = clamped(asked, &facts.efforts);
    if effort != asked && !(asked == "minimal" && effort == "low") {
        warnings.add(format!(
            "reasoning_effort: '{asked}' was sent as '{effort}', the nearest that the model takes"
        ));
    }
    Ok(on(effort, request, model, warnings))
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

fn off(model: &Model, warnings: &Warnings) -> Reasoning {
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
        warnings
            .add("reasoning_effort: the model always reasons; it was told to as little as it can");
    }
    Reasoning {
        on: facts.cannot_disable,
        fields,
        ..Reasoning::default()
    }
}

fn on(effort: &'static str, request: &Chat, model: &Model, warnings: &Warnings) -> Reasoning {
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
            let budget = fitting(wanted, request, model, warnings);
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
fn fitting(wanted: u32, request: &Chat, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let room = match request.max_completion_tokens.or(request.max_tokens) {
        Some(limit) => limit.min(most) / 2,
        None => most.saturating_sub(VISIBLE),
    };
    let budget = wanted.min(room).max(MIN_BUDGET);
    if budget < wanted {
        warnings.add(format!(
            "reasoning_effort: {budget} tokens for thinking are what max_tokens leaves room for"
        ));
    }
    budget
}

/// `maxTokens` beside a budget, which counts within it.
pub fn max_tokens(asked: Option<u32>, budget: u32, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    match asked {
        None => budget.saturating_add(VISIBLE).min(most),
        Some(asked) if asked > budget => asked,
        Some(asked) => {
            let raised = budget.saturating_add(asked).min(most);
            warnings.add(format!(
                "max_tokens: raised to {raised}, the least that the model takes while it reasons"
            ));
            raised
        }
    }
}

fn says_something(message: &Message) -> bool {
    let says = |part: &Part| match part {
        Part::Text(text) => !text.trim().is_empty(),
        part => !part.is_thinking(),
    };
    message.role == Role::Assistant && message.parts.iter().any(says)
}

/// Claude refuses to think on after a tool call whose thinking is missing. Checked on the turns as
/// they would be sent, because merging and repairing decide their order.
fn has_lost_thinking(request: &Chat, cx: &Context<'_>) -> bool {
    let facts = &cx.model.facts.reasoning;
    let style = matches!(
        facts.style,
        ReasoningStyle::Budget | ReasoningStyle::Adaptive
    );
    let calls = cx
        .messages
        .iter()
        .any(|message| message.tool_uses().next().is_some());
    if !style || !facts.signed || facts.cannot_disable || !calls {
        return false;
    }
    // What was said before the last question does not matter, and may hold media that are costly to
    // read. An assistant message that says nothing is left out.
    let assistant = cx
        .messages
        .iter()
        .rposition(says_something)
        .unwrap_or_default();
    let asks = |message: &Message| {
        message.role == Role::User
            && !message
                .parts
                .iter()
                .any(|part| matches!(part, Part::ToolResult(_)))
    };
    let from = cx.messages[..assistant]
        .iter()
        .rposition(asks)
        .unwrap_or_default();
    let unheard = Context {
        warnings: &Warnings::default(),
        ..*cx
    };
    let mut names = tools::names(request, cx.messages);
    let fetched = &request.fetched;
    let Ok(conversation) = messages::conversation(
        &cx.messages[from..],
        fetched,
        None,
        true,
        &mut names,
        &unheard,
    ) else {
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
    let first = assistant.content.first();
    answers && calls && !matches!(first, Some(ContentBlock::ReasoningContent(_)))
}
