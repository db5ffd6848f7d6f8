//! Problems in `[models]`.

use lintel::config::{self, Environment};

#[test]
fn problems_of_models_are_reported() {
    let text = r#"
        [aws]
        region = "us-east-1"
        [models.a]
        target = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/xyz"
        base_model = "anthropic.claude-9"
        price = { input = 1.0 }
        [models.b]
        target = "amazon.nova-lite-v1:0"
        price = { input = 1.0000001 }
        facts = { tool_choices = ["auto"] }
        guardrail = { identifier = "abc" }
        cache = "always"
        [models.c]
        target = "amazon.titan-embed-text-v2:0"
        guardrail = { identifier = "abc", version = "1", apply = "output" }
        [models.d]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "abc", version = "1", apply = "first", stream_processing_mode = "sync" }
        [models.e]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "abc", version = "1", apply = "both", stream_processing_mode = "sync" }
        [models.f]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "", version = "x" }
        [models.g]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "arn:aws:bedrock:us-east-1:1:guardrail/abc", version = "0" }
        [keys.k]
        secret_env = "KEY"
        guardrail = { version = "1" }
    "#;
    let variables = vec![(
        "KEY".to_owned(),
        "sk-0123456789abcdef0123456789abcdef".to_owned(),
    )];
    let problems = config::parse(
        text,
        &Environment {
            variables,
            flags: Vec::new(),
        },
        None,
    )
    .unwrap_err();
    let reported: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for expected in [
        "models.a.base_model: the catalogue has no such model",
        "models.a.price: needs 'input' and 'output'",
        "models.b.price.input: '1.0000001' is not a price",
        "models.b.facts: unknown field `tool_choices`",
        "models.b.guardrail: needs 'identifier' and 'version'",
        "models.b.cache: 'always' is not \"marked\" or \"auto\"",
        "models.c.guardrail: 'apply' must be 'input'",
        "models.d.guardrail.apply: 'first' is not",
        "models.e.guardrail.stream_processing_mode: has no effect with 'apply'",
        // Before, these four were accepted.
        "models.f.guardrail.identifier: must be the id or the ARN",
        "models.f.guardrail.version: must be 'DRAFT' or a version number",
        "models.g.guardrail.identifier: must be the id or the ARN",
        "models.g.guardrail.version: must be 'DRAFT' or a version number",
        "keys.k.guardrail: needs 'identifier' and 'version'",
    ] {
        assert!(
            reported.iter().any(|text| text.contains(expected)),
            "{expected} is not in {reported:#?}"
        );
    }
    assert_eq!(reported.len(), 14, "{reported:#?}");
}

#[test]
fn old_name_of_structured_still_works_alone() {
    let parse = |settings: &str| {
        let text = format!(
            "[aws]\nregion = \"us-east-1\"\n[models.a]\ntarget = \"amazon.nova-lite-v1:0\"\n{settings}\n[keys.k]\nsecret_env = \"KEY\""
        );
        let environment = Environment {
            variables: vec![(
                "KEY".to_owned(),
                "sk-0123456789abcdef0123456789abcdef".to_owned(),
            )],
            flags: Vec::new(),
        };
        config::parse(&text, &environment, None)
    };
    for (settings, repairs) in [
        ("", false),
        ("structured = \"warn\"", false),
        ("structured = \"repair\"", true),
        ("repair_json = true", true),
        ("repair_json = false", false),
    ] {
        let (config, _) = parse(settings).unwrap_or_else(|problems| panic!("{problems:?}"));
        let model = config.models.named().next().unwrap();
        assert_eq!(model.options.repair_json, repairs, "{settings}");
    }
    assert!(parse("structured = \"warn\"\nrepair_json = true").is_err());
}
