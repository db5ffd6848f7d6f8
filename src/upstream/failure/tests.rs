use super::*;

#[test]
fn answers_about_another_api_are_recognized() {
    for (message, expected) in [
        ("the model 'x' isn't supported on this route", true),
        (
            "this model does not support the 'chat completions' api",
            true,
        ),
        (
            "this action doesn't support the model that you provided. try again with a supported text or chat model.",
            true,
        ),
        ("this model does not support the 'n' parameter", false),
    ] {
        assert_eq!(is_wrong_route(message), expected, "{message}");
    }
}

#[test]
fn short_name_strips_namespace_url_and_suffix() {
    for name in [
        "ThrottlingException",
        "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        "com.amazon.bedrock#ThrottlingException",
    ] {
        assert_eq!(short_name(name), "Throttling");
    }
}
