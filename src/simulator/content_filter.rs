//! Content filters of guardrails and of guardrail checks: words that stand for harmful content.

use serde_json::{Value, json};

/// A word, the category that it belongs to, and how severe it is from 0 to 1, in the steps of the service.
const WORDS: [(&str, &str, f64); 6] = [
    ("bloodshed", "VIOLENCE", 0.8),
    ("bigotry", "HATE", 0.6),
    ("lewdness", "SEXUAL", 1.0),
    ("burglary", "MISCONDUCT", 0.4),
    ("nitwit", "INSULTS", 0.2),
    ("scoundrel", "INSULTS", 0.6),
];

/// The severity of `category` in the texts.
pub fn severity(category: &str, texts: &[&str]) -> f64 {
    let found = WORDS
        .iter()
        .filter(|(word, own, _)| *own == category && texts.iter().any(|text| text.contains(word)));
    found.map(|(_, _, severity)| *severity).fold(0.0, f64::max)
}

/// The assessment of a guardrail with every content filter, and whether it blocks. `None` if nothing is found and the
/// request does not ask for the full trace.
pub fn policy(texts: &[&str], is_full: bool) -> (Option<Value>, bool) {
    let mut blocks = false;
    let mut filters = Vec::new();
    for category in ["VIOLENCE", "HATE", "SEXUAL", "MISCONDUCT", "INSULTS"] {
        let confidence = match severity(category, texts) {
            0.0..0.1 => "NONE",
            0.1..0.5 => "LOW",
            0.5..0.7 => "MEDIUM",
            _ => "HIGH",
        };
        // A filter of the strength MEDIUM.
        let is_blocked = matches!(confidence, "MEDIUM" | "HIGH");
        blocks |= is_blocked;
        if is_full || is_blocked {
            let action = if is_blocked { "BLOCKED" } else { "NONE" };
            filters.push(json!({
                "type": category, "confidence": confidence, "filterStrength": "MEDIUM", "action": action,
                "detected": is_blocked,
            }));
        }
    }
    let policy = (!filters.is_empty()).then(|| json!({"filters": filters}));
    (policy, blocks)
}
