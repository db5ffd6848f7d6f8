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
