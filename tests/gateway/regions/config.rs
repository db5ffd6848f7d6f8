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
