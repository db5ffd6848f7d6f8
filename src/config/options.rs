//! Settings of models and keys other than limits: facts, prices, guardrails, caching, retries.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{Places, reader::Section};
use crate::{
    catalogue::{self, CatalogEntry},
    model::{Api, Apply, CachePolicy, Guardrail, ModelOptions, RetryPolicy, Target, guardrail},
    money::{NanoUsd, PicoUsd, Price},
};

const PRICE: &str = "a price in US dollars per million tokens, with at most six decimal places";

/// The facts and price of `target` from the catalogue, with the operator's overrides. `base_model` names the model behind
/// an ARN that does not reveal it.
pub fn known(section: &mut Section<'_>, target: &Target) -> (Option<String>, CatalogEntry) {
    let base_model = section.string("base_model");
    let described = match &base_model {
        Some(base) => Target {
            id: base.clone(),
            ..target.clone()
        },
        None => target.clone(),
    };
    let mut known = catalogue::lookup(&described);
    if base_model.is_some() && known.base.is_none() {
        section.problem_at("base_model", "the catalogue has no such model");
    }
    if let Some(overrides) = section.json("facts") {
        let base = known
            .base
            .map_or_else(|| described.id.clone(), str::to_owned);
        match catalogue::override_facts(&known, &base, overrides) {
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

/// The operator's price replaces the catalogue's for every kind of token that it names. Tiers and long contexts that it does
/// not name keep the catalogue's ratio to input and output.
fn price(mut section: Section<'_>, listed: Option<&Price>) -> Option<Price> {
    let mut read =
        |key: &'static str| section.decimal(key, PRICE, |text| text.parse::<PicoUsd>().ok());
    let (input, output) = (read("input"), read("output"));
    let (cache_read, cache_write) = (read("cache_read"), read("cache_write"));
    let cache_write_1h = read("cache_write_1h");
    let [flex, priority, optimized] = [
        ("flex_input", "flex_output"),
        ("priority_input", "priority_output"),
        ("optimized_input", "optimized_output"),
    ]
    .map(|(input, output)| (read(input), read(output)));
    let mut unit =
        |key: &'static str, what: &'static str| section.decimal(key, what, NanoUsd::parse);
    let server_tool_use = unit(
        "server_tool_use",
        "an amount of US dollars for one use, with at most nine decimal places",
    );
    let query = unit(
        "query",
        "an amount of US dollars for one query, with at most nine decimal places",
    );
    let output_image = unit(
        "output_image",
        "an amount of US dollars for one image, with at most nine decimal places",
    );
    let input_image = unit(
        "input_image",
        "an amount of US dollars for one image, with at most nine decimal places",
    );
    let video_second = unit(
        "video_second",
        "an amount of US dollars for one second, with at most nine decimal places",
    );
    // Queries and images are the whole price of a model that bills them.
    let tokens = query.or(output_image).map(|_| PicoUsd(0));
    let price = match (
        input.or(listed.map(|p| p.input)).or(tokens),
        output.or(listed.map(|p| p.output)).or(tokens),
    ) {
        (Some(new_input), Some(new_output)) => {
            let mut price = match listed {
                Some(listed) => listed.scaled(new_input, new_output),
                None => Price::new(new_input, new_output),
            };
            price.cache_read = cache_read.or(price.cache_read);
            price.cache_write = cache_write.or(price.cache_write);
            price.cache_write_1h = cache_write_1h.or(price.cache_write_1h);
            price.flex_input = flex.0.or(price.flex_input);
            price.flex_output = flex.1.or(price.flex_output);
            price.priority_input = priority.0.or(price.priority_input);
            price.priority_output = priority.1.or(price.priority_output);
            price.optimized_input = optimized.0.or(price.optimized_input);
            price.optimized_output = optimized.1.or(price.optimized_output);
            price.server_tool_use = server_tool_use;
            price.query = query.or(price.query);
            price.output_image = output_image.or(price.output_image);
            price.input_image = input_image.or(price.input_image);
            price.video_second = video_second.or(price.video_second);
            let tiers = [
                ("flex", price.flex_input, price.flex_output),
                ("priority", price.priority_input, price.priority_output),
                ("optimized", price.optimized_input, price.optimized_output),
            ];
            for (tier, input, output) in tiers {
                if input.is_some() != output.is_some() {
                    section.problem(format!("needs both '{tier}_input' and '{tier}_output'"));
                }
            }
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

/// Reads the options of a model. `places` are settings of all models.
pub fn options(section: &mut Section<'_>, places: Places) -> ModelOptions {
    let api = section.choice(
        "api",
        &[
            ("auto", Api::Auto),
            ("converse", Api::Converse),
            ("invoke", Api::Invoke),
            ("chat", Api::Chat),
            ("responses", Api::Responses),
            ("messages", Api::Messages),
            ("mantle", Api::Mantle),
        ],
        Api::Auto,
    );
    let max_n = section
        .count("max_n", 128)
        .and_then(|n| u32::try_from(n).ok());
    ModelOptions {
        api,
        mantle: places.mantle,
        residency: places.residency,
        max_n: section.or_default("max_n", max_n, ModelOptions::default().max_n),
        cache: cache(section),
        guardrail: guardrail(section),
        repair_json: repairs_json(section),
        name_prefix: section.choice("message_names", &[("drop", false), ("prefix", true)], false),
        has_api_key: false,
        hash_users: section.choice("user_ids", &[("plain", false), ("hash", true)], false),
        keep_file_names: section.choice("file_names", &[("hash", false), ("keep", true)], false),
        ..ModelOptions::default()
    }
}

/// `structured`, or `repair_json`, its name in earlier versions.
fn repairs_json(section: &mut Section<'_>) -> bool {
    let mut default = false;
    if section.contains("repair_json") {
        default = section.boolean("repair_json", false);
        if section.contains("structured") {
            section.problem_at("repair_json", "is the old name of 'structured'; remove it");
        }
    }
    section.choice("structured", &[("warn", false), ("repair", true)], default)
}

/// `retry = { attempts, base, cap }`; missing members are those of `default`.
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

/// The guardrail, which clients cannot replace.
pub fn guardrail(section: &mut Section<'_>) -> Option<Guardrail> {
    let mut section = section
        .has("guardrail")
        .then(|| section.section("guardrail"))?;
    let both = guardrail_id(&mut section);
    let word = |section: &mut Section<'_>, key: &'static str, words: &[&'static str]| {
        let choices: Vec<_> = words.iter().map(|word| (*word, Some(*word))).collect();
        section.choice(key, &choices, None).map(str::to_owned)
    };
    let choices = [
        ("input", Some(Apply::Input)),
        ("output", Some(Apply::Output)),
        ("both", Some(Apply::Both)),
    ];
    let apply = section.choice("apply", &choices, None);
    if apply.is_some() && section.has("stream_processing_mode") {
        section.problem_at(
            "stream_processing_mode",
            "has no effect with 'apply': the gateway evaluates a stream before the client receives it",
        );
    }
    let guardrail = both.map(|(identifier, version)| Guardrail {
        apply,
        identifier,
        version,
        trace: word(
            &mut section,
            "trace",
            &["enabled", "disabled", "enabled_full"],
        ),
        stream_processing_mode: word(&mut section, "stream_processing_mode", &["sync", "async"]),
        show_trace: section.boolean("show_trace", false),
    });
    section.finish();
    guardrail
}

/// The identifier and the version of a guardrail.
pub fn guardrail_id(section: &mut Section<'_>) -> Option<(String, String)> {
    let both = section.string("identifier").zip(section.string("version"));
    let Some((identifier, version)) = &both else {
        section.problem("needs 'identifier' and 'version'");
        return None;
    };
    if !guardrail::is_identifier(identifier) {
        section.problem_at("identifier", guardrail::IDENTIFIER);
    }
    if !guardrail::is_version(version) {
        section.problem_at("version", guardrail::VERSION);
    }
    both
}

/// Reads a list of addresses and ranges of addresses.
pub fn networks(section: &mut Section<'_>, key: &'static str) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in section.strings(key).unwrap_or_default() {
        let text = text.trim();
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or_else(|_| address()) {
            Ok(network) => networks.push(network),
            Err(_) => section.problem_at(
                key,
                format!("'{text}' is not an address or a range such as 10.0.0.0/8"),
            ),
        }
    }
    networks
}
