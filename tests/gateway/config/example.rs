//! The documented example.

use std::time::Duration;

use lintel::{config, model::LifecycleStatus, money::Per};

use super::{KEY, environment};

#[test]
fn example_is_a_valid_configuration() {
    let (config, _) = config::parse(config::EXAMPLE, &environment(&[KEY]), None).unwrap();
    for (name, target) in [
        ("claude-3-5-sonnet", "us.anthropic.claude-sonnet-5-5"),
        ("claude-3-haiku", "us.anthropic.claude-haiku-5-5"),
        ("llama-3-1", "openai.gpt-oss-120b-1:0"),
        ("amazon-titan", "us.amazon.nova-2-lite-v1:0"),
        ("complex_reasoning", "us.anthropic.claude-opus-5-5"),
        ("fast_responses", "us.anthropic.claude-haiku-5-5"),
        ("code_generation", "us.anthropic.claude-sonnet-5-5"),
        ("cost_optimization", "amazon.nova-micro-v1:0"),
        ("open_source", "openai.gpt-oss-120b-1:0"),
        ("aws_native", "us.amazon.nova-2-lite-v1:0"),
    ] {
        assert_eq!(config.models.resolve(name).unwrap().target().id, target);
    }
    for (name, requests, seconds) in [
        ("claude-3-5-sonnet", 8, 60),
        ("claude-3-haiku", 15, 15),
        ("llama-3-1", 10, 30),
        ("amazon-titan", 20, 30),
    ] {
        let model = config.models.resolve(name).unwrap();
        assert_eq!(model.limits.requests_per_minute, Some(requests), "{name}");
        assert_eq!(model.timeouts.whole, Duration::from_secs(seconds), "{name}");
        let lifecycle = &model.facts.lifecycle;
        assert_eq!(lifecycle.status, LifecycleStatus::Active, "{name}");
    }
    let [budget] = &config.budget.budgets[..] else {
        panic!("one budget of the gateway");
    };
    assert_eq!(
        (budget.limit.to_string(), budget.per),
        ("100".into(), Per::Day)
    );
    assert_eq!(config.budget.alert_request.unwrap().to_string(), "0.1");
    assert_eq!(config::warnings(&config), Vec::<String>::new());
}

#[test]
fn settings_that_the_example_comments_out_are_defaults() {
    let commented: String = config::EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_setting(rest))
                .unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n");
    assert_ne!(commented, config::EXAMPLE);
    let without = |text: &str, keys: &[&str]| {
        let kept = text
            .lines()
            .filter(|line| !keys.iter().any(|key| line.starts_with(key)));
        kept.fold(String::new(), |text, line| text + line + "\n")
    };
    // These settings need files or variables of the machine.
    let of_machine = [
        "profile",
        "ca_bundle",
        "assume_role",
        "secret_env = \"LINTEL_WEBHOOK_SECRET",
        "prompt_file",
        "tls",
    ];
    config::parse(
        &without(&commented, &of_machine),
        &environment(&[KEY]),
        None,
    )
    .unwrap_or_else(|problems| panic!("{problems:?}"));
    // These settings are examples, not defaults.
    let examples = [
        "endpoint_url",
        "endpoints",
        "cors_origins",
        "models = ",
        "expires",
        "hosts",
        "s3",
        "trusted_proxies",
        "commit_after",
        "client_certificates",
        "base_model",
        "price",
        "facts",
    ];
    let more = [
        "guardrail",
        "[teams",
        "[budget",
        "[alerts",
        "limits",
        "budget",
        "usd",
        "per",
        "timezone",
        "fit",
        "wait",
        "alert_request_usd",
        "webhook_url",
        "team = ",
        "model_limits",
        "end_users",
        "allow_ips",
        "knowledge_bases",
        "knowledge_base_",
        "raw_fields",
        "max_context_tokens",
        "caps",
        "rerank",
        "filter",
        "implicit_filter",
        "condense_with",
    ];
    let all = [&of_machine[..], &examples, &more].concat();
    let values = |text: &str| {
        let (_, resolved) = config::parse(text, &environment(&[KEY]), None).unwrap();
        resolved
            .into_iter()
            .map(|row| (row.path, row.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        values(&without(&commented, &all)),
        values(&without(config::EXAMPLE, &all))
    );
}

/// The line is a table header or `key = value`, not prose.
fn is_setting(line: &str) -> bool {
    let section = line.starts_with('[')
        && line
            .split('#')
            .next()
            .is_some_and(|head| head.trim_end().ends_with(']'));
    section
        || line
            .split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}
