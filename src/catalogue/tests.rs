use super::*;
use crate::model::{LifecycleStatus, ReasoningStyle, Route, Sampling};

fn facts_of(id: &str) -> Arc<Facts> {
    let entry = lookup(&Target::new(id, "us-east-1"));
    assert!(entry.base.is_some(), "{id}");
    entry.facts
}

const IMPORTED: &str = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc";

#[test]
fn every_entry_parses_and_every_rule_matches_a_model() {
    assert!(CATALOG.entries.len() > 150 && CATALOG.rules.len() > 20);
    for entry in &CATALOG.entries {
        let mut value = entry.facts();
        apply_rules(entry.id, &mut value);
        serde_json::from_value::<Facts>(value)
            .unwrap_or_else(|error| panic!("{}: {error}", entry.id));
        let places = entry
            .price_by_profile
            .keys()
            .map(|prefix| (Some(*prefix), ""));
        let regions = entry.price_by_region.keys().map(|region| (None, *region));
        for (prefix, region) in places.chain(regions).chain([(None, "")]) {
            assert_eq!(
                entry.price(prefix, region).is_some(),
                entry.price.is_some(),
                "{}",
                entry.id
            );
        }
    }
    for rule in &CATALOG.rules {
        serde_json::from_value::<Facts>(rule.facts.clone())
            .unwrap_or_else(|error| panic!("{error}"));
        let mut all = ids().chain([IMPORTED]);
        let used = all.any(|id| rule.r#match.iter().any(|glob| glob.matches(id)));
        assert!(used, "a rule matches no model: {:?}", rule.r#match);
    }
}

#[test]
fn rules_distinguish_generations_of_a_family() {
    let style = |id: &str| facts_of(id).reasoning.style;
    assert_eq!(
        style("anthropic.claude-3-haiku-20240307-v1:0"),
        ReasoningStyle::None
    );
    assert_eq!(
        style("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ReasoningStyle::Budget
    );
    assert_eq!(
        style("anthropic.claude-opus-4-5-20251101-v1:0"),
        ReasoningStyle::Budget
    );
    for fifth in [
        "sonnet-4-6",
        "opus-4-6-v1",
        "opus-4-7",
        "opus-5",
        "opus-5-5",
        "haiku-5-5",
        "fable-5-1",
    ] {
        let facts = facts_of(&format!("anthropic.claude-{fifth}"));
        assert_eq!(facts.reasoning.style, ReasoningStyle::Adaptive, "{fifth}");
        assert!(!facts.prefill, "{fifth}");
    }
    assert_eq!(
        facts_of("anthropic.claude-opus-5-5").sampling,
        Sampling::None
    );
    assert_eq!(
        facts_of("anthropic.claude-sonnet-4-6").sampling,
        Sampling::OneOf
    );
    assert!(
        facts_of("openai.gpt-5.6-sol").cache.is_none(),
        "Converse rejects cache points for this model"
    );
    assert!(
        facts_of("amazon.nova-lite-v1:0")
            .cache
            .as_ref()
            .is_some_and(|cache| !cache.in_tools)
    );
    let old = facts_of("anthropic.claude-3-haiku-20240307-v1:0");
    assert_eq!(old.lifecycle.status, LifecycleStatus::Eol);
    assert!(
        old.lifecycle
            .warning()
            .is_some_and(|text| text.contains("claude-haiku-5-5"))
    );
}

#[test]
fn prices_depend_on_the_profile_or_the_region() {
    let input = |id: &str, region: &str| {
        lookup(&Target::new(id, region))
            .price
            .map(|price| price.input.0)
    };
    assert_eq!(
        input("us.anthropic.claude-sonnet-5-5", "us-east-1"),
        Some(2_200_000)
    );
    assert_eq!(
        input("global.anthropic.claude-sonnet-5-5", "us-east-1"),
        Some(2_000_000)
    );
    assert_eq!(input("eu.amazon.nova-lite-v1:0", "eu-west-1"), Some(78_000));
    assert_eq!(input("somebody.new-model-v1:0", "us-east-1"), None);
}

#[test]
fn an_unknown_model_gets_the_facts_of_its_family() {
    let entry = lookup(&Target::new("us.anthropic.claude-opus-9-5", "us-east-1"));
    assert!(entry.base.is_none() && entry.price.is_none());
    assert_eq!(entry.facts.top_k.as_deref(), Some("top_k"));
    let entry = lookup(&Target::new(
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
        "us-east-1",
    ));
    assert_eq!(*entry.facts, Facts::default());
    let imported = lookup(&Target::new(IMPORTED, "us-east-1"));
    assert!(imported.base.is_none() && imported.facts.invoke.is_some());
    assert_eq!(imported.facts.routes, [Route::Converse, Route::Invoke]);
}

#[test]
fn every_fact_and_price_has_a_source_with_a_date() {
    let dated = |origin: &Origin| {
        let date = origin.date.as_deref().unwrap_or_default();
        date.len() == 10 && date.starts_with("20") && !origin.name.is_empty()
    };
    for entry in &CATALOG.entries {
        let mut known = entry.facts();
        apply_rules(entry.id, &mut known);
        for (member, _) in known.as_object().into_iter().flatten() {
            let origins = fact_origins(entry.id, member);
            let sourced = !origins.is_empty() && origins.iter().all(dated);
            assert!(sourced, "{} {member}: {origins:?}", entry.id);
        }
        let target = Target::new(entry.id, "us-east-1");
        assert_eq!(
            price_origins(&target).is_empty(),
            entry.price.is_none(),
            "{}",
            entry.id
        );
        for (name, members) in &entry.sources {
            assert!(CATALOG.sources.contains_key(*name), "{} {name}", entry.id);
            assert!(!members.is_empty(), "{} {name}", entry.id);
        }
    }
}

#[test]
fn a_price_of_a_profile_names_the_sources_of_both_tables() {
    let origins = |id: &str| price_origins(&Target::new(id, "us-east-1"));
    let names = |origins: Vec<Origin>| {
        origins
            .into_iter()
            .map(|origin| origin.name)
            .collect::<String>()
    };
    assert!(names(origins("global.anthropic.claude-sonnet-5-5")).contains("LiteLLM"));
    assert!(origins("somebody.new-model-v1:0").is_empty());
}

#[test]
fn a_rule_that_replaces_a_fact_is_its_only_source() {
    let origins = fact_origins("anthropic.claude-sonnet-4-6", "sampling");
    assert_eq!(origins.len(), 1);
    assert!(origins[0].name.contains("temperature or top_p"));
    // The catalog says how long a prefix must be, and a rule where cache points may be.
    assert!(fact_origins("amazon.nova-lite-v1:0", "cache").len() > 1);
}

#[test]
fn guardrails_have_prices() {
    let price = guardrail_price();
    assert_eq!(
        (price.content, price.topic),
        (NanoUsd(150_000), NanoUsd(150_000))
    );
    assert_eq!(
        (price.grounding, price.word),
        (NanoUsd(100_000), NanoUsd(0))
    );
}

#[test]
fn every_model_has_routes_with_a_source() {
    let mut counts = std::collections::BTreeMap::new();
    for id in ids() {
        let facts = facts_of(id);
        assert!(
            !fact_origins(id, "routes").is_empty(),
            "{id} has no row in routes.json"
        );
        let is_listed = |route| facts.routes.contains(&route);
        assert!(facts.unproven.iter().all(|route| is_listed(*route)), "{id}");
        assert!(facts.invoke.is_none() || is_listed(Route::Invoke), "{id}");
        let is_native = |route: &Route| OPENAI.contains(route) || ANTHROPIC.contains(route);
        assert!(
            facts.native.is_none() || facts.routes.iter().any(is_native),
            "{id}"
        );
        assert_eq!(
            facts.modality == "chat",
            facts
                .routes
                .iter()
                .any(|route| *route == Route::Converse || OPENAI.contains(route))
                || is_listed(Route::MantleMessages)
                || facts.invoke.is_some(),
            "{id}"
        );
        for route in &facts.routes {
            *counts.entry(route.as_str()).or_insert(0) += 1;
        }
    }
    let expected = [
        ("async", 6),
        ("bidi", 3),
        ("chat", 49),
        ("converse", 122),
        ("invoke", 155),
        ("mantle_chat", 54),
        ("mantle_messages", 13),
        ("mantle_responses", 20),
        ("messages", 10),
        ("rerank", 2),
        ("responses", 14),
    ];
    assert_eq!(counts, expected.into());
}

/// The routes whose bodies are OpenAI's.
const OPENAI: [Route; 4] = [
    Route::Chat,
    Route::Responses,
    Route::MantleChat,
    Route::MantleResponses,
];

/// The routes whose bodies are Anthropic's.
const ANTHROPIC: [Route; 2] = [Route::Messages, Route::MantleMessages];
