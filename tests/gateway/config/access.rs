//! Checks that a configuration can serve requests, and that the admin port is not exposed by mistake.

use lintel::config::{self, Environment, Flag};

const REGION: (&str, &str) = ("AWS_REGION", "us-east-1");
const KEY: (&str, &str) = ("LINTEL_KEY", "sk-0123456789abcdef0123456789abcdef");
const TOKEN: (&str, &str) = ("LINTEL_ADMIN_TOKEN", "admin-token-of-the-gateway-tests");

/// One key, no model.
const KEY_WITH_GLOBS: &str =
    "[keys.app]\nsecret_env = \"LINTEL_KEY\"\nmodels = [\"us.amazon.*\"]\n";
const KEY_WITHOUT_GLOBS: &str = "[keys.app]\nsecret_env = \"LINTEL_KEY\"\n";

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Environment {
        variables: pairs.iter().map(owned).collect(),
        flags: Vec::new(),
    }
}

fn warnings(text: &str, environment: &Environment) -> Vec<String> {
    let (config, _) = config::parse(text, environment, None)
        .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    config::warnings(&config)
}

fn problems(text: &str, environment: &Environment) -> Vec<String> {
    let problems = config::parse(text, environment, None).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn key_with_globs_over_bedrock_ids_needs_no_models() {
    let environment = environment(&[REGION, KEY]);
    assert_eq!(warnings(KEY_WITH_GLOBS, &environment), [""; 0]);
    let (config, _) = config::parse(KEY_WITH_GLOBS, &environment, None).unwrap();
    let caller = &config.keys[0].caller;
    let micro = "us.amazon.nova-micro-v1:0";
    assert!(caller.may_use(micro, true));
    assert!(!caller.may_use("us.anthropic.claude-sonnet-5-5", true));
}

/// The secret of such a key was looked up among virtual keys only, and such a name led to the account of an end user.
#[test]
fn keys_that_could_never_be_found_are_problems() {
    let secret = ("LINTEL_KEY", "sk-lintel-0123456789abcdef0123456789abcdef");
    let found = problems(KEY_WITH_GLOBS, &environment(&[REGION, secret]));
    assert!(found[0].contains("begins with sk-lintel-"), "{found:?}");
    let named = KEY_WITH_GLOBS.replace("[keys.app]", "[keys.\"app/user:x\"]");
    let found = problems(&named, &environment(&[REGION, KEY]));
    assert!(found[0].contains("must not contain '/'"), "{found:?}");
}

#[test]
fn configuration_that_can_serve_no_model_is_a_problem_with_a_hint() {
    let found = problems(KEY_WITHOUT_GLOBS, &environment(&[REGION, KEY]));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("models: no model is configured, and no key may use Bedrock ids"));
    assert!(found[0].contains("models = [\"us.anthropic.*\"]"));

    let raw_off = format!("{KEY_WITH_GLOBS}[defaults]\nraw_model_ids = false\n");
    let found = problems(&raw_off, &environment(&[REGION, KEY]));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("defaults.raw_model_ids is false"));

    let found = problems("", &environment(&[REGION]));
    assert!(
        found[0].starts_with("keys: no key is configured"),
        "{found:#?}"
    );
}

#[test]
fn no_models_are_needed_if_virtual_keys_can_bring_globs() {
    let found = warnings("", &environment(&[REGION, TOKEN]));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("lintel keys create --models"));
    let found = warnings(KEY_WITHOUT_GLOBS, &environment(&[REGION, KEY, TOKEN]));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("keys.app: has no `models`"));
}

#[test]
fn globs_that_match_nothing_known_are_a_warning() {
    let warned = |globs: &str| {
        let text = format!("[keys.app]\nsecret_env = \"LINTEL_KEY\"\nmodels = [{globs}]\n");
        let found = warnings(&text, &environment(&[REGION, KEY]));
        found.iter().any(|text| {
            text == "keys.app: its globs match no configured model and no known Bedrock id"
        })
    };
    for known in [
        "\"global.anthropic.*\"",
        "\"*.amazon.nova-*\"",
        "\"amazon.nova-micro-v1:0\"",
        "\"arn:aws:bedrock:*\"",
    ] {
        assert!(!warned(known), "{known}");
    }
    assert!(!warned("\"*\"]\nraw = true\nallow_ips = ["));
    for unknown in ["\"claude-*\"", "\"us.antropic.*\""] {
        assert!(warned(unknown), "{unknown}");
    }
}

#[test]
fn exposed_admin_port_needs_allow_plaintext_and_is_a_warning() {
    let exposed = ("LINTEL__ADMIN__LISTEN", "0.0.0.0:9090");
    let found = problems(KEY_WITH_GLOBS, &environment(&[REGION, KEY, exposed]));
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in [
        "environment LINTEL__ADMIN__LISTEN: admin.listen: 0.0.0.0:9090 is reachable from other machines",
        "admin.allow_plaintext = true",
        "--admin-allow-plaintext",
    ] {
        assert!(found[0].contains(part), "{part:?} is not in {found:#?}");
    }

    let by_variable = environment(&[
        REGION,
        KEY,
        exposed,
        ("LINTEL__ADMIN__ALLOW_PLAINTEXT", "true"),
    ]);
    let mut by_flag = environment(&[REGION, KEY, ("LINTEL__ADMIN__LISTEN", "127.0.0.1:9090")]);
    by_flag.flags = [
        ("--admin-listen", "listen", "0.0.0.0:9090"),
        ("--admin-allow-plaintext", "allow_plaintext", "true"),
    ]
    .map(|(name, key, value)| Flag {
        name,
        setting: ["admin", key],
        value: value.to_owned(),
    })
    .to_vec();
    for environment in [by_variable, by_flag] {
        let found = warnings(KEY_WITH_GLOBS, &environment);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("admin.listen: other machines can reach 0.0.0.0:9090"));
    }
}

#[test]
fn guardrails_that_do_not_work_as_they_look_are_warnings() {
    let text = r#"
        [models.far]
        target = "amazon.nova-lite-v1:0"
        guardrail = { identifier = "arn:aws:bedrock:eu-west-1:123456789012:guardrail/abc", version = "1" }
        [models.silent]
        target = "us.amazon.nova-pro-v1:0"
        guardrail = { identifier = "abc", version = "1", show_trace = true }
        [keys.app]
        secret_env = "LINTEL_KEY"
        models = ["silent", "us.amazon.*"]
    "#;
    let found = warnings(text, &environment(&[REGION, KEY]));
    // Before, there were none.
    for expected in [
        "models.far: amazon.nova-lite-v1:0 is in us-east-1, and its guardrail in eu-west-1",
        "models.silent: us.amazon.nova-pro-v1:0 has no guardrail.trace",
    ] {
        let is_reported = found.iter().any(|text| text.starts_with(expected));
        assert!(is_reported, "{expected} is not in {found:#?}");
    }
    assert_eq!(found.len(), 2, "{found:#?}");
}
