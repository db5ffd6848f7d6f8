//! Settings of regions and fallbacks that cannot work are problems.

use lintel::config::{self, Environment};

fn problems(settings: &str) -> Vec<String> {
    let text = format!("[aws]\nregion = \"us-east-1\"\n{settings}");
    let found = config::parse(&text, &Environment::default(), None);
    let found = found.err().unwrap_or_default();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn regions_and_fallbacks_that_cannot_work_are_problems() {
    const TARGET: &str = "[models.m]\ntarget = \"us.anthropic.claude-haiku-5-5\"\n";
    const ARN: &str = "[models.m]\ntarget = \"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc\"\n";
    for (settings, expected) in [
        (
            format!("residency = \"us\"\n{TARGET}regions = [\"us-east-1\", \"eu-west-1\"]"),
            "eu-west-1 is outside of aws.residency",
        ),
        (
            format!("residency = \"geo\"\n{TARGET}regions = [\"us-east-1\", \"eu-west-1\"]"),
            "us-east-1 and eu-west-1 are not in one geography",
        ),
        (
            format!("{ARN}regions = [\"us-east-1\", \"us-west-2\"]"),
            "can be called only in its own region",
        ),
        (
            format!("{TARGET}regions = []"),
            "must name between 1 and 16 regions",
        ),
        (
            format!("{TARGET}regions = [\"us-east-1\", \"us-east-1\"]"),
            "names us-east-1 more than once",
        ),
        (
            format!("{TARGET}regions = [\"us-east-1\"]\nweights = {{ us-west-2 = 2 }}"),
            "'us-west-2' is not one of the model's regions",
        ),
        (format!("{TARGET}strategy = \"fastest\""), "ordered"),
        (
            format!("{TARGET}queue = \"2s\""),
            "needs strategy = \"headroom\"",
        ),
        (
            format!("{TARGET}strategy = \"headroom\"\nqueue = \"2m\""),
            "must be at most 1m",
        ),
        (
            format!("{TARGET}resume = true"),
            "cannot continue an answer that was cut off",
        ),
        (
            format!("{TARGET}fallbacks = [\"n\"]"),
            "no model has the name 'n'",
        ),
        (
            format!("{TARGET}fallbacks = [\"m\"]"),
            "'m' is the model itself",
        ),
        (
            format!(
                "{TARGET}[models.e]\ntarget = \"amazon.titan-embed-text-v2:0\"\nfallbacks = [\"m\"]"
            ),
            "vectors of two models cannot be compared",
        ),
        (
            format!("{TARGET}accounts = [\"other\"]"),
            "'other' is neither 'own' nor one of aws.accounts",
        ),
        (
            format!(
                "accounts.other = {{ role_arn = \"arn:aws:iam::210987654321:role/b\", regions = [\"us-west-2\"] }}\n{TARGET}accounts = [\"other\"]"
            ),
            "none of them is called in the model's regions",
        ),
        (
            format!("accounts.other = {{ session_name = \"x\" }}\n{TARGET}"),
            "'role_arn' is missing",
        ),
        (
            format!("accounts.other = {{ role_arn = \"banana\" }}\n{TARGET}"),
            "'banana' is not the ARN of a role",
        ),
        (
            format!("assume_role = {{ arn = \"arn:aws:iam::123456789012:user/x\" }}\n{TARGET}"),
            "is not the ARN of a role",
        ),
        (
            format!("{TARGET}strategy = \"round_robin\""),
            "models.m.strategy: has no effect, because the model has one target",
        ),
        (
            format!("{TARGET}strategy = \"headroom\"\nweights = {{ us-east-1 = 2 }}"),
            "models.m.weights: has no effect",
        ),
        (
            format!("{TARGET}fallbacks = [\"same\"]\n[models.same]\ntarget = \"m\""),
            "'same' is an alias of the model itself",
        ),
        (
            format!("{ARN}regions = [\"us-west-2\"]"),
            "can be called only in its own region, us-east-1",
        ),
        (
            format!("{TARGET}connect_timeout = \"5s\"\nfirst_token_timeout = \"3s\""),
            "must not be longer than first_token_timeout, which is 3 s",
        ),
        (
            format!("attribution = \"session_tags\"\n{TARGET}"),
            "needs aws.assume_role or aws.accounts",
        ),
    ] {
        let found = problems(&settings);
        assert!(
            found.iter().any(|text| text.contains(expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn default_regions_apply_where_a_model_can_be_called() {
    let settings = r#"
        [defaults]
        regions = ["us-east-1", "us-west-2"]
        strategy = "round_robin"
        [models.m]
        target = "us.anthropic.claude-haiku-5-5"
        [models.pinned]
        target = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
        base_model = "amazon.nova-lite-v1:0"
        [keys.k]
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    "#;
    let text = format!("[aws]\nregion = \"us-east-1\"\n{settings}");
    let (config, _) = config::parse(&text, &Environment::default(), None).unwrap();
    let regions = |name: &str| {
        let model = config.models.resolve(name).unwrap();
        let targets = model.targets.iter();
        targets
            .map(|target| target.region.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(regions("m"), ["us-east-1", "us-west-2"]);
    assert_eq!(regions("pinned"), ["eu-west-1"]);
}

#[test]
fn settings_without_an_effect_are_warnings() {
    let warnings = |settings: &str| {
        let text = format!(
            "[aws]\nregion = \"us-east-1\"\n{settings}\n[keys.k]\nraw = true\nsha256 = \"{}\"",
            "0".repeat(64)
        );
        let (config, _) = config::parse(&text, &Environment::default(), None).unwrap();
        config::warnings(&config)
    };
    for (settings, expected) in [
        (
            "residency = \"us\"\n[models.m]\ntarget = \"global.anthropic.claude-haiku-5-5\"",
            "its profile 'global.' may be answered outside of aws.residency",
        ),
        (
            "[aws.regions.eu-west-1]\nendpoint_url = \"http://example.com\"",
            "aws.regions.eu-west-1: has no effect",
        ),
        (
            "attribution = \"session_tags\"\naccounts.other = { role_arn = \"arn:aws:iam::210987654321:role/a/b\" }",
            "own account carry no session tags without aws.assume_role",
        ),
    ] {
        let found = warnings(settings);
        let is_expected = |text: &String| text.contains(expected);
        assert_eq!(
            found.iter().filter(|text| is_expected(text)).count(),
            1,
            "{found:?}"
        );
    }
    let used = "[defaults]\nregions = [\"eu-west-1\"]\n[aws.regions.eu-west-1]\nendpoint_url = \"http://example.com\"";
    assert_eq!(
        warnings(used)
            .iter()
            .filter(|text| text.contains("aws.regions"))
            .count(),
        0
    );
}
