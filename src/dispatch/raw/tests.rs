use super::*;

#[test]
fn only_bedrock_ids_and_arns_are_raw_model_ids() {
    for good in [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0",
    ] {
        assert!(looks_like_bedrock_id(good), "{good}");
    }
    for bad in [
        "gpt-4o",
        "../../etc",
        "a..b",
        "a.b/../c",
        "a%2e%2e.b",
        "a.b?x=1",
        "a.b\nc",
        "arn:aws:s3:::bucket/a.b",
        "",
        ".",
        "a.",
    ] {
        assert!(!looks_like_bedrock_id(bad), "{bad}");
    }
    assert!(!looks_like_bedrock_id(&format!("a.{}", "b".repeat(4096))));
}

#[test]
fn known_raw_id_has_the_settings_of_its_configured_model() {
    use crate::model::Api;

    let model = |id: &str| catalogue::model(id, Target::new(id, "us-east-1"));
    let mut named = model("qwen.qwen3-coder-next");
    named.options.api = Api::Mantle;
    let template = Arc::new(model("amazon.nova-lite-v1:0"));
    let models = [("coder".to_owned(), Arc::new(named))];
    let models = Models::new(models.into(), Default::default(), Some(template));
    let target = |id| Target::new(id, "us-east-1");
    let known = models.known_raw(&target("qwen.qwen3-coder-next")).unwrap();
    assert_eq!(known.options.api, Api::Mantle);
    let other = models.known_raw(&target("openai.gpt-oss-20b-1:0")).unwrap();
    assert_eq!(other.options.api, Api::Auto);
}
