//! What a model or a key may say beyond its limits: facts, prices, guardrail, caching.

use std::sync::Arc;

use super::reader::Section;
use crate::{
    call::{CachePolicy, Guardrail, ModelOptions, NanoUsd, PicoUsd, Price, RetryPolicy, Target},
    catalogue::{self, Known},
};

const PRICE: &str = "a price: US dollars per million tokens, with six decimal places at most";

/// What the catalogue knows of `target`, with what the operator says in its place. `base_model` names the model behind
/// an ARN that tells nothing.
pub fn known(section: &mut Section<'_>, target: &Target) -> (Option<String>, Known) {
    let base_model = section.string("base_model");
    let described = match &base_model {
        Some(base) => Target {
            id: base.clone(),
            region: target.region.clone(),
        },
        None => target.clone(),
    };
    let mut known = catalogue::lookup(&described);
    if base_model.is_some() && known.base.is_none() {
        section.problem_at("base_model", "the catalogue knows no such model");
    }
    if let Some(overrides) = section.json("facts") {
        let base = known
            .base
            .map_or_else(|| described.id.clone(), str::to_owned);
        match catalogue::overridden(&known, &base, overrides) {
            Ok(facts) => known.facts = facts,
            Err(error) => section.problem_at("facts", error),
        }
    }
    if let Some(price) = section
        .has("price")
        .then(|| price(section.section("price"), known.price.as_deref()))
        .flatten()
    {
        known.price = Some(Arc::new(price));
    }
    (known.base.map(str::to_owned), known)
}

/// A price of the operator holds for every bucket that it names; the rest stays the catalogue's. With a price of its own
/// for input or output, the model has no tiers and no long contexts any more.
fn price(mut section: Section<'_>, listed: Option<&Price>) -> Option<Price> {
    let mut read =
        |key: &'static str| section.decimal(key, PRICE, |text| text.parse::<PicoUsd>().ok());
    let (input, output) = (read("input"), read("output"));
    let (cache_read, cache_write) = (read("cache_read"), read("cache_write"));
    let cache_write_1h = read("cache_write_1h");
    let (optimized_input, optimized_output) = (read("optimized_input"), read("optimized_output"));
    let server_tool_use = section.decimal(
        "server_tool_use",
        "US dollars for one use, with nine decimal places at most",
        NanoUsd::parse,
    );
    let price = match (
        input.or(listed.map(|p| p.input)),
        output.or(listed.map(|p| p.output)),
    ) {
        (Some(new_input), Some(new_output)) => {
            let mut price = listed
                .cloned()
                .unwrap_or_else(|| Price::new(new_input, new_output));
            if input.is_some() || output.is_some() {
                // Tiers and long contexts of another price mean nothing.
                let Price {
                    cache_read,
                    cache_write,
                    cache_write_1h,
                    ..
                } = price;
                price = Price {
                    cache_read,
                    cache_write,
                    cache_write_1h,
                    ..Price::new(new_input, new_output)
                };
            }
            price.cache_read = cache_read.or(price.cache_read);
            price.cache_write = cache_write.or(price.cache_write);
            price.cache_write_1h = cache_write_1h.or(price.cache_write_1h);
            price.optimized_input = optimized_input.or(price.optimized_input);
            price.optimized_output = optimized_output.or(price.optimized_output);
            price.server_tool_use = server_tool_use;
            Some(price)
        }
        _ => {
            section.problem(
                "needs 'input' and 'output', because the catalogue has no price for this model",
            );
            None
        }
    };
    section.finish();
    price
}

pub fn options(section: &mut Section<'_>) -> ModelOptions {
    let max_n = section
        .count("max_n", 128)
        .and_then(|n| u32::try_from(n).ok());
    ModelOptions {
        max_n: section.or_default("max_n", max_n, ModelOptions::default().max_n),
        cache: cache(section),
        guardrail: guardrail(section),
        repair_json: section.boolean("repair_json", false),
        name_prefix: section.choice("message_names", &[("drop", false), ("prefix", true)], false),
        hash_users: section.choice("user_ids", &[("plain", false), ("hash", true)], false),
        keep_file_names: section.choice("file_names", &[("hash", false), ("keep", true)], false),
    }
}

/// `retry = { attempts, base, cap }`; what is not named is `default`'s.
pub fn retry(section: &mut Section<'_>, default: RetryPolicy) -> RetryPolicy {
    let mut section = section.section("retry");
    let attempts = section
        .count("attempts", 10)
        .and_then(|n| u32::try_from(n).ok());
    let policy = RetryPolicy {
        attempts: section.or_default("attempts", attempts, default.attempts),
        base: section.duration_or("base", default.base),
        cap: section.duration_or("cap", default.cap),
    };
    section.finish();
    policy
}

pub fn cache(section: &mut Section<'_>) -> CachePolicy {
    let choices = [("marked", CachePolicy::Marked), ("auto", CachePolicy::Auto)];
    section.choice("cache", &choices, CachePolicy::Marked)
}

/// A guardrail that clients cannot replace.
pub fn guardrail(section: &mut Section<'_>) -> Option<Guardrail> {
    let mut section = section
        .has("guardrail")
        .then(|| section.section("guardrail"))?;
    let (identifier, version) = (section.string("identifier"), section.string("version"));
    let word = |section: &mut Section<'_>, key: &'static str, words: &[&'static str]| {
        let choices: Vec<_> = words.iter().map(|word| (*word, Some(*word))).collect();
        section.choice(key, &choices, None).map(str::to_owned)
    };
    let guardrail = match (identifier, version) {
        (Some(identifier), Some(version)) => Some(Guardrail {
            identifier,
            version,
            trace: word(
                &mut section,
                "trace",
                &["enabled", "disabled", "enabled_full"],
            ),
            stream_processing_mode: word(
                &mut section,
                "stream_processing_mode",
                &["sync", "async"],
            ),
            show_trace: section.boolean("show_trace", false),
        }),
        _ => {
            section.problem("needs 'identifier' and 'version'");
            None
        }
    };
    section.finish();
    guardrail
}
