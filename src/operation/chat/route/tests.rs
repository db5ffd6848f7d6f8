use super::*;
use crate::{
    catalogue,
    model::{Api, Apply, Guardrail, Target},
    openai::chat::Tool,
};

/// A gateway that can use all routes of chats.
const ALL: &[Route] = &[
    Route::Converse,
    Route::Invoke,
    Route::Chat,
    Route::MantleChat,
    Route::Responses,
    Route::MantleResponses,
];

fn model(id: &str) -> Model {
    catalogue::model("m", Target::new(id, "us-east-1"))
}

fn configured(id: &str, api: Api) -> Model {
    let mut model = model(id);
    model.options.api = api;
    model
}

fn need(feature: Feature, param: &'static str) -> Need {
    Need {
        feature,
        param: param.into(),
    }
}

fn chosen(model: &Model, features: &[Feature]) -> Result<(Route, Option<&'static str>), String> {
    let needs: Vec<Need> = features.iter().map(|one| need(*one, "x")).collect();
    choose(model, &needs, ALL)
        .map(|choice| (choice.route, choice.reason))
        .map_err(|error| error.to_string())
}

/// Was sent as text in the description, which nothing enforces, unless the client used Responses.
#[test]
fn grammar_of_a_custom_tool_is_needed_in_every_dialect() {
    let format = r#"{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}"#;
    let chat = |format: &str| {
        let custom = format!(r#"{{"name":"patch","format":{format}}}"#);
        let tool: Tool =
            serde_json::from_str(&format!(r#"{{"type":"custom","custom":{custom}}}"#)).unwrap();
        Chat {
            tools: Some(vec![tool]),
            ..Chat::default()
        }
    };
    let items = |chat: &Chat, id: &str| {
        let needs = needs_of(chat, &model(id), &Caller::default());
        let items = needs.into_iter().find(|one| one.feature == Feature::Items);
        items.map(|one| one.param.into_owned())
    };
    let found = items(&chat(format), "us.openai.gpt-5.6-sol");
    assert_eq!(found.as_deref(), Some("tools[0].custom.format"));
    let text = chat(r#"{"type":"text"}"#);
    assert_eq!(items(&text, "us.openai.gpt-5.6-sol"), None);
    assert_eq!(items(&chat(format), "amazon.nova-lite-v1:0"), None);
}

#[test]
fn arn_is_called_by_converse() {
    let gpt = "arn:aws:bedrock:us-east-1::foundation-model/openai.gpt-5.6-sol";
    assert_eq!(chosen(&model(gpt), &[]), Ok((Route::Converse, Some("arn"))));
    let claude = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5";
    assert_eq!(chosen(&model(claude), &[]), Ok((Route::Converse, None)));
    let mantle = "arn:aws:bedrock:us-east-1::foundation-model/xai.grok-4.3";
    let error = chosen(&model(mantle), &[]).unwrap_err();
    assert!(error.contains("do not accept ARNs"), "{error}");
}

#[test]
fn configured_route_is_used_or_the_request_fails() {
    let grok = configured("us.xai.grok-4.6", Api::Mantle);
    assert_eq!(
        chosen(&grok, &[]),
        Ok((Route::MantleChat, Some("configured")))
    );
    let error = choose(&grok, &[need(Feature::Guardrail, "bedrock.guardrail")], ALL).unwrap_err();
    assert_eq!(error.code(), Some("unsupported_parameter"));
    assert_eq!(error.param(), Some("bedrock.guardrail"));
    // The codec emulates what is not essential.
    assert_eq!(
        chosen(&grok, &[Feature::Stop]),
        Ok((Route::MantleChat, Some("configured")))
    );
    // No proof is needed for a route that the operator chooses.
    let kimi = configured("moonshotai.kimi-k3", Api::Chat);
    assert_eq!(chosen(&kimi, &[]), Ok((Route::Chat, Some("configured"))));
    let nova = configured("amazon.nova-lite-v1:0", Api::Mantle);
    assert!(chosen(&nova, &[]).is_err());
}

#[test]
fn mantle_is_not_called_where_it_is_off_or_does_not_exist() {
    let mut off = model("google.gemma-4-31b");
    assert_eq!(chosen(&off, &[]), Ok((Route::MantleChat, None)));
    off.options.mantle = false;
    let error = chosen(&off, &[]).unwrap_err();
    assert!(error.contains("aws.mantle"), "{error}");
    let china = catalogue::model("m", Target::new("google.gemma-4-31b", "cn-north-1"));
    let error = chosen(&china, &[]).unwrap_err();
    assert!(error.contains("region"), "{error}");
}

#[test]
fn essential_need_is_never_dropped() {
    let gemma = model("google.gemma-4-31b");
    // The answer is poorer without it, and the codec says so.
    assert_eq!(
        chosen(&gemma, &[Feature::TopK]),
        Ok((Route::MantleChat, None))
    );
    let error = choose(
        &gemma,
        &[need(Feature::Guardrail, "bedrock.guardrail")],
        ALL,
    )
    .unwrap_err();
    assert_eq!(error.param(), Some("bedrock.guardrail"));
    assert_eq!(error.code(), Some("unsupported_parameter"));
}

#[test]
fn stop_sequences_that_every_route_emulates_do_not_move_a_chat() {
    for id in ["us.xai.grok-4.6", "us.openai.gpt-5.6-sol"] {
        let first = chosen(&model(id), &[]).unwrap();
        assert_eq!(chosen(&model(id), &[Feature::Stop]), Ok(first), "{id}");
    }
    let mut grok = model("us.xai.grok-4.6");
    std::sync::Arc::make_mut(&mut grok.facts).stop = true;
    let (route, reason) = chosen(&grok, &[Feature::Stop]).unwrap();
    assert_eq!((route == Route::Chat, reason), (false, Some("stop")));
}

#[test]
fn learned_refusal_moves_to_the_next_route_but_not_to_mantle() {
    let mut claude = model("us.anthropic.claude-opus-5");
    claude.refused = vec![Route::Converse];
    assert_eq!(chosen(&claude, &[]), Ok((Route::Invoke, Some("learned"))));
    let mut gpt = model("us.openai.gpt-5.6-sol");
    gpt.refused = vec![Route::Chat];
    assert_eq!(chosen(&gpt, &[]), Ok((Route::Converse, Some("learned"))));
    gpt.refused.push(Route::Converse);
    assert_eq!(chosen(&gpt, &[]), Ok((Route::Responses, Some("learned"))));
    gpt.refused.push(Route::Responses);
    let error = chosen(&gpt, &[]).unwrap_err();
    assert!(error.contains("chat, converse, responses"), "{error}");
}

#[test]
fn choice_of_an_operator_is_checked() {
    for (id, api, problem) in [
        ("amazon.nova-lite-v1:0", Api::Auto, None),
        ("amazon.nova-lite-v1:0", Api::Converse, None),
        (
            "xai.grok-4.3",
            Api::Converse,
            Some("does not serve this model"),
        ),
        ("us.xai.grok-4.6", Api::Mantle, None),
        ("somebody.new-v1:0", Api::Chat, None),
        ("somebody.new-v1:0", Api::Invoke, Some("set facts.invoke")),
        ("ai21.j2-mid-v1", Api::Invoke, None),
        ("amazon.titan-embed-text-v2:0", Api::Invoke, None),
        (
            "amazon.titan-embed-text-v2:0",
            Api::Chat,
            Some("\"invoke\""),
        ),
        ("cohere.rerank-v3-5:0", Api::Invoke, None),
        (
            "cohere.rerank-v3-5:0",
            Api::Converse,
            Some("ranks documents (POST /v1/rerank)"),
        ),
        (
            "stability.stable-outpaint-v1:0",
            Api::Mantle,
            Some("edits images (POST /v1/images/edits)"),
        ),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x",
            Api::Chat,
            Some("ARN"),
        ),
    ] {
        let found = check::check_against(&configured(id, api), ALL);
        match problem {
            None => assert_eq!(found, None, "{id} {api:?}"),
            Some(text) => assert!(
                found.as_ref().is_some_and(|found| found.contains(text)),
                "{id} {api:?}: {found:?}"
            ),
        }
    }
    let mut guarded = configured("us.xai.grok-4.6", Api::Mantle);
    guarded.options.guardrail = Some(Guardrail {
        identifier: "abc".to_owned(),
        version: "1".to_owned(),
        trace: None,
        stream_processing_mode: None,
        show_trace: false,
        apply: None,
    });
    assert!(check::check_against(&guarded, ALL).is_some());
    guarded.options.guardrail.as_mut().unwrap().apply = Some(Apply::Both);
    assert_eq!(check::check_against(&guarded, ALL), None);
}
