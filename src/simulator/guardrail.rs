//! Guardrails: what they find in Converse requests and in texts. A guardrail blocks text with the word [`BLOCKED`] and answers with [`BLOCKED_OUTPUT`], masks `secret-…`,
//! and finds that [`UNGROUNDED`] has no grounding.

use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::{Value, json};

/// A word that every guardrail blocks.
const BLOCKED: &str = "contraband";
/// A word that every guardrail blocks in answers only.
const BLOCKED_OUTPUT: &str = "smuggled";
/// A word that no source supports.
const UNGROUNDED: &str = "ungrounded";

/// The message that replaces what is blocked.
pub const MESSAGE: &str = "The guardrail blocked this.";

static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("secret-[a-z0-9]+").ok());

/// The action of a guardrail that blocks or masks.
pub const INTERVENED: &str = "GUARDRAIL_INTERVENED";

/// The characters of one billed unit.
pub const UNIT: usize = 1000;

/// The service's limits on the texts of a contextual grounding check, in characters.
const MAX_SOURCE: usize = 100_000;
const MAX_QUERY: usize = 1000;

/// Whether the guardrail of a Converse request intervenes.
pub fn intervenes(request: &Value) -> bool {
    evaluated(request).iter().any(|text| text.contains(BLOCKED))
}

/// The texts that the guardrail of a Converse request evaluates: all text of the messages or, if there are guarded blocks,
/// only theirs. A block that serves only the contextual grounding check is not evaluated.
fn evaluated(request: &Value) -> Vec<&str> {
    let guarded = guarded(request);
    if guarded.is_empty() {
        return blocks(request)
            .filter_map(|block| block["text"].as_str())
            .collect();
    }
    guarded
        .into_iter()
        .map(|block| &block["text"])
        .filter(|text| !serves_grounding(text) || has(text, "guard_content"))
        .filter_map(|text| text["text"].as_str())
        .collect()
}

/// Checks the sizes of what a contextual grounding check compares.
///
/// # Errors
/// The reason why the service rejects the request.
pub fn check(request: &Value) -> Result<(), String> {
    for (qualifier, most) in [("grounding_source", MAX_SOURCE), ("query", MAX_QUERY)] {
        let guarded = guarded(request);
        let texts = guarded.iter().map(|block| &block["text"]);
        let chars: usize = texts
            .filter(|text| has(text, qualifier))
            .filter_map(|text| text["text"].as_str())
            .map(|text| text.chars().count())
            .sum();
        if chars > most {
            return Err(format!(
                "The {qualifier} has {chars} characters, which exceeds the limit of {most}."
            ));
        }
    }
    Ok(())
}

fn blocks(request: &Value) -> impl Iterator<Item = &Value> {
    let messages = request["messages"].as_array().into_iter().flatten();
    messages
        .filter_map(|message| message["content"].as_array())
        .flatten()
}

fn guarded(request: &Value) -> Vec<&Value> {
    blocks(request)
        .map(|block| &block["guardContent"])
        .filter(|block| block.is_object())
        .collect()
}

fn serves_grounding(text: &Value) -> bool {
    has(text, "grounding_source") || has(text, "query")
}

fn has(text: &Value, qualifier: &str) -> bool {
    let all = text["qualifiers"].as_array().into_iter().flatten();
    all.into_iter().any(|one| one == qualifier)
}

/// The action, the outputs and the assessment.
pub fn judge(request: &Value, texts: &[&Value]) -> (&'static str, Vec<String>, Value) {
    let is_output = request["source"] == "OUTPUT";
    let judged: Vec<&str> = texts
        .iter()
        .filter(|text| !serves_grounding(text) || has(text, "guard_content"))
        .map(|text| text_of(text))
        .collect();
    let contains = |word: &str| judged.iter().any(|text| text.contains(word));
    let word = match () {
        () if contains(BLOCKED) => Some(BLOCKED),
        () if is_output && contains(BLOCKED_OUTPUT) => Some(BLOCKED_OUTPUT),
        () => None,
    };
    let blocked = |assessment| (INTERVENED, vec![MESSAGE.to_owned()], assessment);
    if let Some(word) = word {
        let words = json!([{"match": word, "action": "BLOCKED"}]);
        return blocked(json!({"wordPolicy": {"customWords": words, "managedWordLists": []}}));
    }
    if compares(request, texts) {
        let grounded = !contains(UNGROUNDED);
        let (score, action) = if grounded {
            (0.9, "NONE")
        } else {
            (0.1, "BLOCKED")
        };
        let filters =
            json!([{"type": "GROUNDING", "threshold": 0.5, "score": score, "action": action}]);
        if !grounded {
            return blocked(json!({"contextualGroundingPolicy": {"filters": filters}}));
        }
    }
    let mask = |text: &&str| match &*SECRET {
        Some(secret) => secret.replace_all(text, "{SECRET}").into_owned(),
        None => (*text).to_owned(),
    };
    let masked: Vec<String> = judged.iter().map(mask).collect();
    if masked != judged {
        let regexes = json!([{"name": "secret", "action": "ANONYMIZED"}]);
        let policy = json!({"piiEntities": [], "regexes": regexes});
        return (
            INTERVENED,
            masked,
            json!({"sensitiveInformationPolicy": policy}),
        );
    }
    ("NONE", Vec::new(), json!({}))
}

/// The units of a guardrail with every policy: each text is rounded up.
pub fn usage(request: &Value, texts: &[&Value]) -> Value {
    let units = |text: &Value| text_of(text).chars().count().div_ceil(UNIT);
    let judged = texts
        .iter()
        .filter(|text| !serves_grounding(text) || has(text, "guard_content"));
    let judged: usize = judged.map(|text| units(text)).sum();
    let all: usize = texts.iter().map(|text| units(text)).sum();
    let grounding = if compares(request, texts) { all } else { 0 };
    units_of(judged, grounding)
}

fn units_of(judged: usize, grounding: usize) -> Value {
    json!({
        "topicPolicyUnits": judged, "contentPolicyUnits": judged, "wordPolicyUnits": judged,
        "sensitiveInformationPolicyUnits": judged, "sensitiveInformationPolicyFreeUnits": judged,
        "contextualGroundingPolicyUnits": grounding, "automatedReasoningPolicyUnits": 2 * judged,
        "automatedReasoningPolicies": 2,
    })
}

/// The units of the input of a Converse request, with its images.
pub fn input_usage(request: &Value) -> Value {
    let texts = evaluated(request).into_iter();
    let units = texts.map(|text| text.chars().count().div_ceil(UNIT)).sum();
    let mut usage = units_of(units, 0);
    let image = |block: &&Value| block["image"].is_object();
    usage["contentPolicyImageUnits"] = match guarded(request) {
        guarded if guarded.is_empty() => blocks(request).filter(image).count(),
        guarded => guarded.into_iter().filter(image).count(),
    }
    .into();
    usage
}

/// The units of an answer of so many units to a Converse request, which is compared with the passages and the question if
/// the request marks both.
pub fn output_usage(request: &Value, answer: usize) -> Value {
    let texts: Vec<&Value> = guarded(request)
        .iter()
        .map(|block| &block["text"])
        .collect();
    let serving = |qualifier: &'static str| texts.iter().filter(move |text| has(text, qualifier));
    let units = |text: &&Value| text_of(text).chars().count().div_ceil(UNIT);
    let is_compared = ["grounding_source", "query"].map(|one| serving(one).count() > 0);
    let grounding = match is_compared {
        [true, true] => {
            let compared = texts.iter().filter(|text| serves_grounding(text));
            answer + compared.map(units).sum::<usize>()
        }
        _ => 0,
    };
    units_of(answer, grounding)
}

/// Whether an answer can be compared with its source and its question.
fn compares(request: &Value, texts: &[&Value]) -> bool {
    let any = |qualifier| texts.iter().any(|text| has(text, qualifier));
    request["source"] == "OUTPUT" && any("grounding_source") && any("query")
}

pub fn text_of(text: &Value) -> &str {
    text["text"].as_str().unwrap_or_default()
}
