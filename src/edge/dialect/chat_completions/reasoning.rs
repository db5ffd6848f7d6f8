//! Joins the members by which clients request reasoning. Each comes from the API of another vendor.

use crate::{
    error::Error,
    openai::chat::ChatRequest,
    operation::chat::{Amount, ReasoningRequest, SCALE, effort_for},
};

/// Returns the reasoning that the client requests, or `None` if it requests none.
///
/// # Errors
/// 400 if a value is unknown, or if two members contradict each other.
pub fn requested(request: &ChatRequest) -> Result<Option<ReasoningRequest>, Error> {
    let mut joined: Option<ReasoningRequest> = None;
    for (param, amount) in members(request)? {
        let Some(known) = joined else {
            joined = Some(ReasoningRequest { param, amount });
            continue;
        };
        let Some(amount) = join(known.amount, amount) else {
            let text = match param == known.param {
                true => {
                    format!("The members of '{param}' contradict each other. Send one of them.")
                }
                false => format!("'{param}' contradicts '{}'. Send one of them.", known.param),
            };
            return Err(Error::invalid(param, text));
        };
        if amount != known.amount {
            joined = Some(ReasoningRequest { param, amount });
        }
    }
    Ok(joined)
}

/// Reports whether the reply leaves out the reasoning.
pub fn is_hidden(request: &ChatRequest) -> bool {
    let reasoning = request.reasoning.as_ref();
    let thinking = request.thinking.as_ref();
    request.include_reasoning == Some(false)
        || reasoning.is_some_and(|reasoning| reasoning.exclude == Some(true))
        || thinking.is_some_and(|thinking| thinking.display.as_deref() == Some("omitted"))
}

/// Returns what each member requests, in the order of their precedence for warnings.
fn members(request: &ChatRequest) -> Result<Vec<(&'static str, Amount)>, Error> {
    let mut members = Vec::new();
    let mut add = |param, amount: Option<Amount>| members.extend(amount.map(|one| (param, one)));
    let switch = |on: bool| {
        if on {
            Amount::Default
        } else {
            Amount::Effort("none")
        }
    };
    let effort_at = |param, value: Option<&str>| value.map(|one| effort(param, one)).transpose();
    add(
        "reasoning_effort",
        effort_at("reasoning_effort", request.reasoning_effort.as_deref())?,
    );
    if let Some(reasoning) = &request.reasoning {
        add(
            "reasoning",
            effort_at("reasoning.effort", reasoning.effort.as_deref())?,
        );
        add("reasoning", reasoning.max_tokens.map(budget));
        add("reasoning", reasoning.enabled.map(switch));
    }
    if let Some(thinking) = &request.thinking {
        let amount = match thinking.kind.as_str() {
            // The latter is the least of models that cannot turn thinking off.
            "disabled" | "between_tools" => Some(Amount::Effort("none")),
            "enabled" => Some(thinking.budget_tokens.map_or(Amount::Default, budget)),
            "adaptive" => Some(Amount::Default),
            // The default of models whose API has this value.
            "auto" => None,
            _ => {
                return Err(Error::invalid(
                    "thinking.type",
                    "'type' must be 'enabled', 'adaptive' or 'disabled'.",
                ));
            }
        };
        add("thinking", amount);
    }
    if let Some(output) = &request.output_config {
        add(
            "output_config",
            effort_at("output_config.effort", output.effort.as_deref())?,
        );
    }
    add("enable_thinking", request.enable_thinking.map(switch));
    if request.enable_thinking != Some(false) {
        add("thinking_budget", request.thinking_budget.map(budget));
    }
    if let Some(template) = &request.chat_template_kwargs {
        let param = "chat_template_kwargs";
        add(
            param,
            template.enable_thinking.or(template.thinking).map(switch),
        );
        let path = "chat_template_kwargs.reasoning_effort";
        add(
            param,
            effort_at(path, template.reasoning_effort.as_deref())?,
        );
    }
    Ok(members)
}

fn effort(param: &'static str, value: &str) -> Result<Amount, Error> {
    match SCALE.iter().find(|effort| **effort == value) {
        Some(effort) => Ok(Amount::Effort(effort)),
        None => Err(Error::invalid(
            param,
            format!("'{param}' must be one of {}.", SCALE.join(", ")),
        )),
    }
}

/// Negative budgets mean that the model decides.
fn budget(tokens: i64) -> Amount {
    match tokens {
        0 => Amount::Effort("none"),
        ..0 => Amount::Default,
        tokens => Amount::Budget(u32::try_from(tokens).unwrap_or(u32::MAX)),
    }
}

/// Returns the more exact of two amounts, or `None` if they contradict each other.
fn join(one: Amount, other: Amount) -> Option<Amount> {
    match (one, other) {
        (one, other) if one == other => Some(one),
        (one, other) if one.is_none() || other.is_none() => None,
        (Amount::Default, more) | (more, Amount::Default) => Some(more),
        (Amount::Effort(effort), budget @ Amount::Budget(tokens))
        | (budget @ Amount::Budget(tokens), Amount::Effort(effort)) => {
            (effort_for(tokens) == effort).then_some(budget)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn requested_by(members: Value) -> Result<Option<ReasoningRequest>, Error> {
        let mut request = json!({"model": "m", "messages": []});
        let members = members.as_object().cloned().unwrap_or_default();
        request.as_object_mut().unwrap().extend(members);
        requested(&serde_json::from_value(request).unwrap())
    }

    #[test]
    fn members_of_all_vendors_have_one_meaning() {
        for (members, amount) in [
            (json!({}), None),
            (json!({"reasoning": {}}), None),
            (json!({"thinking": {"type": "auto"}}), None),
            (
                json!({"reasoning_effort": "none"}),
                Some(Amount::Effort("none")),
            ),
            (
                json!({"reasoning": {"enabled": false}}),
                Some(Amount::Effort("none")),
            ),
            (
                json!({"thinking": {"type": "disabled"}}),
                Some(Amount::Effort("none")),
            ),
            (
                json!({"enable_thinking": false, "thinking_budget": 9}),
                Some(Amount::Effort("none")),
            ),
            (json!({"thinking_budget": 0}), Some(Amount::Effort("none"))),
            (json!({"thinking_budget": -1}), Some(Amount::Default)),
            (
                json!({"thinking": {"type": "adaptive"}}),
                Some(Amount::Default),
            ),
            (
                json!({"chat_template_kwargs": {"thinking": true}}),
                Some(Amount::Default),
            ),
            (
                json!({"reasoning": {"enabled": true, "effort": "low"}}),
                Some(Amount::Effort("low")),
            ),
            (
                json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
                Some(Amount::Effort("high")),
            ),
            (
                json!({"reasoning_effort": "high", "reasoning": {"effort": "high"}}),
                Some(Amount::Effort("high")),
            ),
            (
                json!({"reasoning_effort": "high", "thinking": {"type": "enabled", "budget_tokens": 4000}}),
                Some(Amount::Budget(4000)),
            ),
            (
                json!({"reasoning": {"max_tokens": 2000}}),
                Some(Amount::Budget(2000)),
            ),
        ] {
            let requested = requested_by(members.clone()).unwrap();
            assert_eq!(requested.map(|one| one.amount), amount, "{members}");
        }
    }

    #[test]
    fn contradicting_members_are_rejected() {
        for (members, param) in [
            (
                json!({"reasoning_effort": "low", "reasoning": {"effort": "high"}}),
                "reasoning",
            ),
            (
                json!({"reasoning_effort": "none", "thinking": {"type": "adaptive"}}),
                "thinking",
            ),
            (
                json!({"reasoning_effort": "low", "thinking": {"type": "enabled", "budget_tokens": 9000}}),
                "thinking",
            ),
            (
                json!({"reasoning": {"max_tokens": 2000}, "thinking_budget": 3000}),
                "thinking_budget",
            ),
            (json!({"thinking": {"type": "sometimes"}}), "thinking.type"),
            (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        ] {
            let error = requested_by(members.clone()).unwrap_err();
            assert_eq!(error.param(), Some(param), "{members}");
        }
    }
}
