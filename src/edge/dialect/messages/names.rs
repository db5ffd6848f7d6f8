//! Anthropic's own names of models. Clients send `claude-sonnet-4-5`, with a date or without, where Bedrock has
//! `anthropic.claude-sonnet-4-5-20250929-v1:0`, and the operator another name.

use crate::{call::Caller, catalogue, dispatch::Models, model::Model};

/// The suffix by which Claude Code asks for a context window of a million tokens.
const LONG: &str = "[1m]";

/// The words that stand for the newest model of a family.
const FAMILIES: [&str; 4] = ["fable", "opus", "sonnet", "haiku"];

/// Returns the name by which the gateway knows the model: a configured one if there is any, else a Bedrock id. A name that
/// is not Anthropic's is returned unchanged.
pub fn resolve(name: String, models: &Models, caller: &Caller) -> String {
    if models.resolve(&name).is_ok() {
        return name;
    }
    let plain = name.strip_suffix(LONG).unwrap_or(&name);
    if models.resolve(plain).is_ok() {
        return plain.to_owned();
    }
    if FAMILIES.contains(&plain) {
        return newest(plain, models, caller).unwrap_or(name);
    }
    let Some(base) = catalogue::ids().find(|id| is_named(id, plain)) else {
        return name;
    };
    let has_base = |model: &&std::sync::Arc<Model>| model.base.as_deref() == Some(base);
    let mut same = models.named().filter(has_base);
    let usable = same.find(|model| caller.may_use(&model.name, false));
    usable.map_or_else(|| base.to_owned(), |model| model.name.clone())
}

/// Returns the configured model with the highest version of a family that the caller may use.
fn newest(family: &str, models: &Models, caller: &Caller) -> Option<String> {
    let version = |model: &Model| {
        let (claude, version) = split(model.base.as_deref()?)?;
        claude.contains(&family).then_some(version)
    };
    let usable = models
        .named()
        .filter(|model| caller.may_use(&model.name, false));
    let versions = usable.filter_map(|model| Some((version(model)?, model)));
    let newest = versions.max_by(|(one, _), (other, _)| one.cmp(other))?;
    Some(newest.1.name.clone())
}

/// Reports whether Anthropic calls the model with the Bedrock id `id` by this name, with a date or without.
fn is_named(id: &str, name: &str) -> bool {
    let Some(own) = stem(id) else { return false };
    let undated = |name: &str| -> Option<String> {
        let (bare, date) = name.rsplit_once('-')?;
        is_date(date).then(|| bare.to_owned())
    };
    let wanted = name.strip_suffix("-latest").unwrap_or(name);
    own == wanted
        || undated(own).as_deref() == Some(wanted)
        // The catalog has no dates of the newer models.
        || undated(wanted).as_deref() == Some(own)
}

/// Returns Anthropic's name in a Bedrock id: without the vendor and Bedrock's version.
fn stem(id: &str) -> Option<&str> {
    let bare = id.strip_prefix("anthropic.")?;
    let bare = bare.split(':').next()?;
    let version = |text: &str| text.strip_prefix('v').is_some_and(is_digits);
    Some(match bare.rsplit_once('-') {
        Some((stem, last)) if version(last) => stem,
        _ => bare,
    })
}

/// Returns the words and the version numbers of an id.
fn split(id: &str) -> Option<(Vec<&str>, Vec<u32>)> {
    let stem = stem(id)?;
    let (numbers, words): (Vec<_>, Vec<_>) = stem.split('-').partition(|part| is_digits(part));
    let numbers = numbers.into_iter().filter(|part| !is_date(part));
    Some((
        words,
        numbers.filter_map(|part| part.parse().ok()).collect(),
    ))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    text.len() == 8 && is_digits(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<&'static str> {
        catalogue::ids().find(|id| is_named(id, name))
    }

    #[test]
    fn names_of_anthropic_find_the_ids_of_bedrock() {
        for (name, id) in [
            ("claude-sonnet-5-5", "anthropic.claude-sonnet-5-5"),
            ("claude-sonnet-5-5-20260901", "anthropic.claude-sonnet-5-5"),
            (
                "claude-haiku-4-5",
                "anthropic.claude-haiku-4-5-20251001-v1:0",
            ),
            (
                "claude-sonnet-4-5-20250929",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            ("claude-opus-4-6", "anthropic.claude-opus-4-6-v1"),
            (
                "claude-3-7-sonnet-latest",
                "anthropic.claude-3-7-sonnet-20250219-v1:0",
            ),
        ] {
            assert_eq!(found(name), Some(id), "{name}");
        }
        assert_eq!(found("claude-sonnet-4-5-20990101"), None);
        assert_eq!(found("gpt-5"), None);
    }
}
