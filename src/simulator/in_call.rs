//! The guardrail of a Converse request: what it bills, and what it reports.

use serde_json::{Value, json};

use super::{
    answer::Block,
    guardrail::{self, UNIT},
};

/// What the guardrail of a request did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The billed units of the input, then of the answer.
    pub usages: Vec<Value>,
    /// `trace.guardrail`.
    pub trace: Option<Value>,
}

/// Evaluates the request and its answer. If the guardrail intervenes in the input, it evaluates no answer.
pub fn evaluate(request: &Value, blocks: &[Block], intervenes: bool) -> Evaluation {
    let config = &request["guardrailConfig"];
    if !config.is_object() {
        return Evaluation::default();
    }
    let input = guardrail::input_usage(request);
    let mut usages = vec![input.clone()];
    let mut assessment = json!({"invocationMetrics": {"usage": input}});
    if intervenes {
        let topic = json!({"name": "simulated", "type": "DENY", "action": "BLOCKED"});
        assessment["topicPolicy"] = json!({"topics": [topic]});
    }
    let mut trace = json!({"inputAssessment": {"simulated": assessment}});
    if !intervenes {
        let answer = blocks.iter().map(|block| match block {
            Block::Text(text) | Block::Cited { text, .. } => text.chars().count().div_ceil(UNIT),
            _ => 0,
        });
        let output = guardrail::output_usage(request, answer.sum());
        trace["outputAssessments"] =
            json!({"simulated": [{"invocationMetrics": {"usage": output}}]});
        usages.push(output);
    }
    let traced = config["trace"]
        .as_str()
        .is_some_and(|trace| trace != "disabled");
    Evaluation {
        usages,
        trace: traced.then_some(trace),
    }
}
