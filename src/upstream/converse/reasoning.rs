//! Translates requests for reasoning to the parameters of the model's family.

use serde_json::{Map, Value, json};

use super::{Context, messages, tools};
use crate::{
    bedrock::content::ContentBlock,
    call::Warnings,
    model::{Model, ReasoningStyle},
    operation::chat::{
        Amount, Chat, MIN_BUDGET, Message, Part, ReasoningRequest, Role, SCALE, VISIBLE, budget_of,
        nearest_effort,
    },
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
pub fn plan(request: &Chat, cx: &Context<'_>) -> Reasoning {
    let (model, warnings) = (cx.model, cx.warnings);
    let facts = &model.facts.reasoning;
    let by_default = || Reasoning {
        enabled: facts.default_on,
        ..Reasoning::default()
    };
    let has_lost_reasoning = || lacks_required_reasoning(request, cx);
    let Some(ReasoningRequest { param, amount }) = request.reasoning else {
        if facts.default_on && has_lost_reasoning() {
            warnings.add(
                "reasoning: turned off (the last tool calls came back without their reasoning)",
            );
            return disabled("reasoning", model, warnings);
        }
        return by_default();
    };
    let is_default = amount == Amount::Default && facts.default_on;
    if facts.style == ReasoningStyle::None {
        let is_honored = match amount {
            Amount::Default => facts.default_on,
            Amount::Effort("none") => !facts.default_on,
            Amount::Effort(_) | Amount::Budget(_) => false,
        };
        if !is_honored {
            warnings.dropped(param, "the model does not support this parameter");
        }
        return by_default();
    }
    if amount.is_none() && !facts.efforts.iter().any(|effort| effort == "none") {
        return disabled(param, model, warnings);
    }
    if has_lost_reasoning() {
        // Rejects no request, because the client cannot send what it does not have.
        warnings.add(format!(
            "{param}: ignored, the last tool calls came back without their reasoning"
        ));
        return disabled(param, model, warnings);
    }
    // Claude's adaptive thinking is more than its default: it shows the reasoning.
    if is_default && facts.style != ReasoningStyle::Adaptive {
        return by_default();
    }
    if let Amount::Budget(tokens) = amount
        && facts.style == ReasoningStyle::Budget
    {
        let wanted = exact_budget(tokens, param, model, warnings);
        let limit = limit(request, model);
        return match limit.is_none_or(|limit| limit > wanted) {
            true => with_budget(wanted),
            false => within_limit(wanted, param, request, model, warnings),
        };
    }
    if amount == Amount::Default && facts.style == ReasoningStyle::Adaptive {
        return adaptive(None, request, model);
    }
    let requested = amount.as_effort();
    let effort = nearest_effort(requested, &facts.efforts);
    if let Amount::Budget(tokens) = amount {
        warnings.add(format!(
            "{param}: a budget of {tokens} tokens was sent as the effort '{effort}' (the model accepts no budget)"
        ));
    } else if effort != requested && !(requested == "minimal" && effort == "low") {
        warnings.add(format!(
            "{param}: '{requested}' was sent as '{effort}' (the nearest that the model supports)"
        ));
    }
    enabled(effort, param, request, model, warnings)
}

fn disabled(param: &'static str, model: &Model, warnings: &Warnings) -> Reasoning {
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
        warnings.add(format!(
            "{param}: set to the least (reasoning of this model cannot be turned off)"
        ));
    }
    Reasoning {
        enabled: facts.cannot_disable,
        fields,
        ..Reasoning::default()
    }
}

fn enabled(
    effort: &'static str,
    param: &'static str,
    request: &Chat,
    model: &Model,
    warnings: &Warnings,
) -> Reasoning {
    let mut reasoning = Reasoning {
        enabled: effort != "none",
        ..Reasoning::default()
    };
    let mut field = |name: &str, value: Value| {
        reasoning.fields.insert(name.to_owned(), value);
    };
    match model.facts.reasoning.style {
        ReasoningStyle::None => {}
        ReasoningStyle::Budget => {
            let wanted = budget_of(effort);
            return within_limit(wanted, param, request, model, warnings);
        }
        ReasoningStyle::Adaptive => return adaptive(Some(effort), request, model),
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

fn with_budget(budget: u32) -> Reasoning {
    let thinking = json!({"type": "enabled", "budget_tokens": budget});
    Reasoning {
        enabled: true,
        fields: Map::from_iter([("thinking".to_owned(), thinking)]),
        budget: Some(budget),
        ..Reasoning::default()
    }
}

/// Returns adaptive thinking. Without an effort, the model's default applies.
fn adaptive(effort: Option<&'static str>, request: &Chat, model: &Model) -> Reasoning {
    let thinking = match model.facts.reasoning.display && !request.hide_reasoning {
        true => json!({"type": "adaptive", "display": "summarized"}),
        false => json!({"type": "adaptive"}),
    };
    Reasoning {
        enabled: true,
        fields: Map::from_iter([("thinking".to_owned(), thinking)]),
        effort,
        ..Reasoning::default()
    }
}

/// Returns the client's budget, unless it is below the least of Claude or leaves no room within the most output of the
/// model.
fn exact_budget(tokens: u32, param: &'static str, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let budget = tokens.min(most.saturating_sub(VISIBLE)).max(MIN_BUDGET);
    if budget != tokens {
        warnings.add(format!(
            "{param}: a budget of {tokens} tokens was sent as {budget} (the nearest that the model supports)"
        ));
    }
    budget
}

/// Returns the client's limit on the output, as far as the model goes along.
fn limit(request: &Chat, model: &Model) -> Option<u32> {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let limit = request.requested_tokens();
    limit.map(|limit| limit.min(most))
}

/// Returns reasoning with the budget `wanted`, reduced so that it leaves room for the answer within the client's and the
/// model's token limits, or no reasoning if it leaves none. What the client allows is never raised, because it bounds what
/// the client pays for.
fn within_limit(
    wanted: u32,
    param: &'static str,
    request: &Chat,
    model: &Model,
    warnings: &Warnings,
) -> Reasoning {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let room = match limit(request, model) {
        Some(limit) if limit <= MIN_BUDGET => {
            warnings.add(format!(
                "{param}: ignored (max_tokens is {limit}, and thinking alone takes at least {MIN_BUDGET} tokens)"
            ));
            return disabled(param, model, warnings);
        }
        Some(limit) => limit / 2,
        None => most.saturating_sub(VISIBLE),
    };
    let budget = wanted.min(room).max(MIN_BUDGET);
    if budget < wanted {
        warnings.add(format!(
            "{param}: the thinking budget was reduced to {budget} tokens (limited by max_tokens)"
        ));
    }
    with_budget(budget)
}

/// Returns the least `maxTokens` for a request with a thinking budget, which counts toward it.
pub fn max_tokens(budget: u32, model: &Model) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    budget.saturating_add(VISIBLE).min(most)
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
    let mut names = tools::names(request, cx);
    let fetched = &request.fetched;
    let Ok(conversation) = messages::conversation(
        &cx.messages[from..],
        fetched,
        None,
        messages::Reasons {
            enabled: true,
            keeps_history: cx.keeps_thinking(request),
        },
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
