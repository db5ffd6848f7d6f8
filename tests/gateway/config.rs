//! Configuration: precedence of its sources, and the problems and warnings that it reports.

mod access;
mod example;
mod models;

use std::time::Duration;

use lintel::config::{self, Environment, Flag};

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let variables = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Environment {
        variables,
        flags: Vec::new(),
    }
}

fn flag(name: &'static str, setting: [&'static str; 2], value: &str) -> Flag {
    Flag {
        name,
        setting,
        value: value.to_owned(),
    }
}

const KEY: (&str, &str) = ("LINTEL_KEY_CI", "sk-0123456789abcdef0123456789abcdef");

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let mut environment = environment(&[
        KEY,
        ("LINTEL__SERVER__LISTEN", "127.0.0.1:1111"),
        ("LINTEL__SERVER__MAX_IN_FLIGHT", "7"),
        ("LINTEL__MODELS__CLAUDE_3_HAIKU__TIMEOUT", "9s"),
        ("LINTEL__MODELS__CLAUDE_3_HAIKU__USE_CASES", r#"["a", "b"]"#),
        ("LINTEL__AWS__PROFILE", "123456789012"),
    ]);
    let (config, resolved) = config::parse(config::EXAMPLE, &environment, None).unwrap();
    assert_eq!(config.server.listen.port(), 1111);
    assert_eq!(config.server.max_in_flight, 7);
    assert_eq!(
        config
            .models
            .resolve("claude-3-haiku")
            .unwrap()
            .timeouts
            .whole,
        Duration::from_secs(9)
    );
    assert_eq!(
        config.models.resolve("claude-3-haiku").unwrap().use_cases,
        ["a", "b"]
    );
    assert_eq!(
        config.aws.settings.profile.as_deref(),
        Some("123456789012"),
        "text that looks like a number stays text"
    );
    let origin = |path: &str| {
        resolved
            .iter()
            .find(|row| row.path == path)
            .unwrap()
            .origin
            .to_string()
    };
    assert_eq!(
        origin("server.max_in_flight"),
        "environment LINTEL__SERVER__MAX_IN_FLIGHT"
    );
    assert_eq!(origin("server.keep_alive"), "default");
    assert!(origin("aws.region").starts_with("line "));
    environment
        .flags
        .push(flag("--listen", ["server", "listen"], "127.0.0.1:2222"));
    let (config, _) = config::parse(config::EXAMPLE, &environment, None).unwrap();
    assert_eq!(config.server.listen.port(), 2222);
}

#[test]
fn every_problem_is_reported_at_once_with_its_path_and_line() {
    let text = r#"
[server]
lisen = "127.0.0.1:1"
max_body = "32 parsecs"
max_in_flight = 0
[admin]
listen = "0.0.0.0:9090"
[aws]
region = 7
[defaults]
timeout = 30
[models.a]
target = "amazon.nova-micro-v1:0"
temperature = 3
limits = { in_flite = 1 }
[models.b]
[models.c]
target = "d"
[models.d]
target = "c"
[keys.one]
secret_env = "NOT_SET"
[keys.two]
[budgets]
[teams.x]
[keys.three]
secret = "sk-0123456789abcdef0123456789abcdef"
[models.typo]
target = "asistant"
[models.slow]
timeout = "500years"
target = "amazon.nova-micro-v1:0"
[teams.y]
budget = [{ per = "day" }, { usd = 1, per = "year" }]
limits = { burst = 3 }
[keys.four]
team = "nobody"
budget = { usd = 0.5, per = "month", timezone = "Mars" }
allow_ips = ["10.0.0.0/40"]
[store]
url = "redis://host:6379"
retention = "7d"
"#;
    let problems = config::parse(text, &environment(&[]), None).unwrap_err();
    let reported: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for expected in [
        "line 3: server.lisen: unknown key; did you mean 'listen'?",
        "line 4: server.max_body: '32 parsecs' is not a size",
        "line 5: server.max_in_flight: must be between 1 and",
        "line 9: aws.region: expected a string, found an integer",
        "line 11: defaults.timeout: expected a duration such as \"30s\", found an integer",
        "line 14: models.a.temperature: must be between 0 and 2",
        "line 15: models.a.limits.in_flite: unknown key; did you mean 'in_flight'?",
        "line 34: teams.y.budget[0]: needs 'usd'",
        "line 34: teams.y.budget[1].per: 'year' is not \"hour\"",
        "line 35: teams.y.limits.burst: has no effect without requests_per_minute",
        "line 37: keys.four.team: there is no [teams.nobody]",
        "line 38: keys.four.budget.timezone: 'Mars' is not a time zone",
        "line 39: keys.four.allow_ips: '10.0.0.0/40' is not an address or a range",
        "line 41: store.url: this version of lintel has no store for several machines",
        "line 42: store.retention: must be at least 32 days",
        "line 16: models.b: 'target' is missing",
        "models.c.target: 'd' leads to no model",
        "keys.one.secret_env: the environment variable NOT_SET is not set",
        "line 23: keys.two: needs exactly one of secret_env",
        "line 24: budgets: unknown key; did you mean 'budget'?",
        "line 7: admin.listen: 0.0.0.0:9090 is reachable from other machines, and the admin port has no TLS",
        "line 22: keys.one.secret_env",
        "line 27: keys.three.secret: the file must not contain secrets",
        "line 29: models.typo.target: 'asistant' is neither",
        "line 31: models.slow.timeout: must be longer than zero and at most 30 days",
    ] {
        assert!(
            reported.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not in {reported:#?}"
        );
    }
}

#[test]
fn problems_and_warnings_of_knowledge_bases_are_reported() {
    let text = r#"
[knowledge_bases.a]
[knowledge_bases.b]
id = "../KB12345"
max_results = 101
min_score = 1.5
on_error = "ignore"
filter = { equals = { key = "", value = 1 } }
condense_with = "nobody"
prompt_file = "/does/not/exist"
rerank = "best"
[knowledge_bases.c]
id = "KB12345678"
type = "managed"
search = "hybrid"
max_images = 1.5
guardrail = { identifier = "abc123", version = "1", show_trace = true }
implicit_filter = { model = "anthropic.claude-3-5-sonnet-20240620-v1:0" }
rerank = { candidates = 5, include_metadata = ["a"], exclude_metadata = ["b"] }
[keys.one]
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
knowledge_base_filter = { type = "and", filters = [] }
"#;
    let problems = config::parse(text, &environment(&[]), None).unwrap_err();
    let reported: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for expected in [
        "line 2: knowledge_bases.a: 'id' is missing",
        "line 4: knowledge_bases.b.id: '../KB12345' is neither",
        "line 5: knowledge_bases.b.max_results: must be between 1 and 100",
        "line 6: knowledge_bases.b.min_score: must be between 0 and 1",
        "line 7: knowledge_bases.b.on_error: 'ignore' is not \"fail\"",
        "line 8: knowledge_bases.b.filter: equals.key: 'key' must be a string",
        "line 9: knowledge_bases.b.condense_with: there is no [models.nobody]",
        "line 10: knowledge_bases.b.prompt_file: cannot read",
        "line 11: knowledge_bases.b.rerank: 'best' is not the id",
        "line 15: knowledge_bases.c.search: a managed Knowledge Base chooses the kind of search itself",
        "line 16: knowledge_bases.c.max_images: must be a whole number",
        "line 17: knowledge_bases.c.guardrail.show_trace: unknown key",
        "line 18: knowledge_bases.c.implicit_filter: a managed Knowledge Base does not support implicit filters",
        "line 18: knowledge_bases.c.implicit_filter: needs 'model' and 1 to 25 'attributes'",
        "line 19: knowledge_bases.c.rerank: needs 'model'",
        "line 19: knowledge_bases.c.rerank.exclude_metadata: cannot be combined with include_metadata",
        "line 22: keys.one.knowledge_base_filter: filters: This list must hold",
    ] {
        assert!(
            reported.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not in {reported:#?}"
        );
    }
    let text = r#"
[aws]
region = "us-east-1"
[models.a]
target = "amazon.nova-micro-v1:0"
[knowledge_bases.docs]
id = "KB12345678"
rerank = "somebody.rerank-v1:0"
implicit_filter = { model = "m.n", attributes = [{ key = "a", type = "STRING", description = "b" }] }
[keys.one]
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
knowledge_bases = ["docs", "other"]
"#;
    let (config, _) = config::parse(
        text,
        &environment(&[("AWS_BEARER_TOKEN_BEDROCK", "x")]),
        None,
    )
    .unwrap();
    let warnings = config::warnings(&config);
    for expected in [
        "Bedrock API key",
        "with implicit_filter, AWS calls a model",
        "somebody.rerank-v1:0 has no known price",
        "no knowledge base 'other'",
    ] {
        assert!(
            warnings.iter().any(|warning| warning.contains(expected)),
            "{expected:?} is not in {warnings:#?}"
        );
    }
}

#[test]
fn invalid_toml_is_a_problem_with_its_line() {
    let problems = config::parse("[server\nlisten = ", &environment(&[]), None).unwrap_err();
    assert!(
        problems[0].to_string().starts_with("line 1: "),
        "{problems:?}"
    );
}

#[test]
fn secrets_are_never_printed() {
    let (config, resolved) = config::parse(
        config::EXAMPLE,
        &environment(&[
            KEY,
            (
                "LINTEL_ADMIN_TOKEN",
                "hush-hush-hush-hush-0123456789-abcdef",
            ),
        ]),
        None,
    )
    .unwrap();
    let printed = format!("{config:?} {resolved:?}");
    assert!(!printed.contains(KEY.1) && !printed.contains("hush-hush"));
}
