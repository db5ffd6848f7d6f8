//! Translates `reasoning_effort` to the parameters of the model's family.

use serde_json::{Map, Value, json};

use super::{Context, messages, tools};
use crate::{
    bedrock::content::ContentBlock,
    call::Warnings,
    error::Error,
    model::{Model, ReasoningStyle},
    operation::chat::{Chat, MAX_BUDGET, MIN_BUDGET, Message, Part, Role, SCALE, VISIBLE, effort},
};

/// The reasoning parameters of a request.
#[derive(Debug, Default, PartialEq)]
pub struct Reasoning {
    /// Whether the model will reason.
    pub enabled: bool,
    /// Members of `additionalModelRequestFields`.
    pub fields: Map<String, Value>,
    /// `outputConfig.effort`.
    pub effort: Option<&'static str>,
    /// Number of output tokens for thinking, in families with a thinking budget.
    pub budget: Option<u32>,
    /// Whether `maxTokens` and sampling parameters must be absent.
    pub unlimited: bool,
}

/// Returns the reasoning parameters for `request`.
///
/// # Errors
/// See [`effort`].
pub fn plan(request: &Chat, cx: &Context<'_>) -> Result<Reasoning, Error> {
    let (model, warnings) = (cx.model, cx.warnings);
    let facts = &model.facts.reasoning;
    let has_lost_reasoning = || lacks_required_reasoning(request, cx);
    let Some(requested) = effort(request)? else {
        if facts.default_on && has_lost_reasoning() {
            warnings.add(
                "reasoning: turned off (the last tool calls came back without their reasoning)",
            );
            return Ok(disabled(model, warnings));
        }
        return Ok(Reasoning {
            enabled: facts.default_on,
            ..Reasoning::default()
        });
    };
    if facts.style == ReasoningStyle::None {
        if requested != "none" || facts.default_on {
            warnings.dropped(
                "reasoning_effort",
                "the model does not support this parameter",
            );
        }
        return Ok(Reasoning {
            enabled: facts.default_on,
            ..Reasoning::default()
        });
    }
    if requested == "none" && !facts.efforts.iter().any(|effort| effort == "none") {
        return Ok(disabled(model, warnings));
    }
    if has_lost_reasoning() {
        warnings.dropped(
            "reasoning_effort",
            "the last tool calls came back without their reasoning",
        );
        return Ok(disabled(model, warnings));
    }
    let effort = nearest_effort(requested, &facts.efforts);
    if effort != requested && !(requested == "minimal" && effort == "low") {
        warnings.add(format!(
            "reasoning_effort: '{requested}' was sent as '{effort}' (the nearest that the model supports)"
        ));
    }
    Ok(enabled(effort, request, model, warnings))
}

/// Returns the highest supported effort that is not above `requested`, else the lowest supported.
fn nearest_effort(requested: &'static str, efforts: &[String]) -> &'static str {
    let at = |effort: &str| SCALE.iter().position(|known| *known == effort);
    let known: Vec<usize> = efforts.iter().filter_map(|effort| at(effort)).collect();
    let requested_at = at(requested).unwrap_or_default();
    // `minimal` means little thinking, not none.
    let low = known.iter().copied().filter(|rank| *rank > 0);
    let below = low.clone().filter(|rank| *rank <= requested_at).max();
    let found = if requested == "none" && known.contains(&0) {
        Some(0)
    } else {
        below.or(low.min())
    };
    found.map_or(requested, |rank| SCALE[rank])
}

fn disabled(model: &Model, warnings: &Warnings) -> Reasoning {
    let facts = &model.facts.reasoning;
    let mut fields = Map::new();
    if let Some(kind) = &facts.off {
        fields.insert("thinking".to_owned(), json!({"type": kind}));
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
        warnings.add(
            "reasoning_effort: set to the least (reasoning of this model cannot be turned off)",
        );
    }
    Reasoning {
        enabled: facts.cannot_disable,
        fields,
        ..Reasoning::default()
    }
}

fn enabled(effort: &'static str, request: &Chat, model: &Model, warnings: &Warnings) -> Reasoning {
    let facts = &model.facts.reasoning;
    let mut reasoning = Reasoning {
        enabled: effort != "none",
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
            let budget = budget_within_limit(wanted, request, model, warnings);
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

/// Returns `wanted`, reduced so that it leaves room for the answer within the client's and the model's token limits.
fn budget_within_limit(wanted: u32, request: &Chat, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let room = match request.max_completion_tokens.or(request.max_tokens) {
        Some(limit) => limit.min(most) / 2,
        None => most.saturating_sub(VISIBLE),
    };
    let budget = wanted.min(room).max(MIN_BUDGET);
    if budget < wanted {
        warnings.add(format!(
            "reasoning_effort: the thinking budget was reduced to {budget} tokens (limited by max_tokens)"
        ));
    }
    budget
}

/// Returns `maxTokens` for a request with a thinking budget, which counts toward it.
pub fn max_tokens(requested: Option<u32>, budget: u32, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    match requested {
        None => budget.saturating_add(VISIBLE).min(most),
        Some(requested) if requested > budget => requested,
        Some(requested) => {
            let raised = budget.saturating_add(requested).min(most);
            warnings.add(format!(
                "max_tokens: raised to {raised} (it must exceed the thinking budget)"
            ));
            raised
        }
    }
}

fn has_content(message: &Message) -> bool {
    let says = |part: &Part| match part {
        Part::Text(text) => !text.trim().is_empty(),
        part => !part.is_thinking(),
    };
    message.role == Role::Assistant && message.parts.iter().any(says)
}

/// Returns whether the last tool calls lack their reasoning, in which case Claude rejects requests with
/// reasoning. Checks the translated turns, because the translation merges and reorders messages.
fn lacks_required_reasoning(request: &Chat, cx: &Context<'_>) -> bool {
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
    // Translates only from the last question on: earlier messages do not matter and may have media
    // that are expensive to decode. Empty assistant messages do not count, because the translation
    // drops them.
    let assistant = cx
        .messages
        .iter()
        .rposition(has_content)
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
    let silent = Context {
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
        &silent,
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
