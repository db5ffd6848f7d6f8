use serde_json::{Value, json, value::RawValue};

use super::{
    tools,
    turns::{self, Conversation},
};
use crate::{
    bedrock::{
        content::{
            ContentBlock, ConversationRole, Message, ToolResultBlock, ToolResultContentBlock,
            ToolUseBlock,
        },
        request::{Tool, ToolConfig, ToolInputSchema, ToolSpecification},
    },
    call::Warnings,
};

fn said(role: ConversationRole, text: &str) -> Message<'static> {
    Message {
        role,
        content: vec![ContentBlock::Text(text.to_owned().into())],
    }
}

fn calls(id: &str, text: Option<&str>) -> Message<'static> {
    let input = RawValue::from_string(format!(r#"{{"of":"{id}"}}"#)).unwrap();
    let call = ContentBlock::ToolUse(ToolUseBlock {
        tool_use_id: id.to_owned().into(),
        name: "look".into(),
        input: std::borrow::Cow::Owned(input),
        kind: None,
    });
    let text = text.map(|text| ContentBlock::Text(text.to_owned().into()));
    Message {
        role: ConversationRole::Assistant,
        content: text.into_iter().chain([call]).collect(),
    }
}

fn results(id: &str, text: Option<&str>) -> Message<'static> {
    let result = ContentBlock::ToolResult(ToolResultBlock {
        tool_use_id: id.to_owned().into(),
        content: vec![ToolResultContentBlock::Text(format!("result {id}").into())],
        status: None,
        kind: None,
    });
    let text = text.map(|text| ContentBlock::Text(text.to_owned().into()));
    Message {
        role: ConversationRole::User,
        content: [result].into_iter().chain(text).collect(),
    }
}

fn written(messages: &[Message<'_>]) -> (Value, String) {
    let warnings = Warnings::default();
    let Conversation {
        message,
        history,
        results,
    } = turns::conversation(messages, &warnings).unwrap();
    let results: Vec<Value> = serde_json::to_value(&results)
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["call"]["parameters"]["of"], one["outputs"][0]["text"]]))
        .collect();
    let history: Vec<Value> = serde_json::to_value(&history)
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| {
            format!(
                "{}: {}",
                turn["role"].as_str().unwrap(),
                turn["message"].as_str().unwrap()
            )
            .into()
        })
        .collect();
    (
        json!([message, history, results]),
        warnings.joined().unwrap_or_default(),
    )
}

#[test]
fn results_of_all_steps_since_the_question_are_sent_beside_it() {
    use ConversationRole::{Assistant, User};
    let (body, warnings) = written(&[
        said(User, "Hi"),
        said(Assistant, "Hello"),
        said(User, "Look"),
        calls("a", Some("I look.")),
        results("a", None),
        calls("b", None),
        results("b", None),
    ]);
    let expected = json!([
        "Look",
        ["USER: Hi", "CHATBOT: Hello"],
        [["a", "result a"], ["b", "result b"]]
    ]);
    assert_eq!(body, expected);
    assert!(warnings.contains("the text beside the last tool calls was dropped"));
}

#[test]
fn earlier_calls_are_text_and_what_the_user_adds_to_results_is_the_message() {
    use ConversationRole::{Assistant, User};
    let (body, warnings) = written(&[
        said(User, "Look"),
        calls("a", None),
        results("a", None),
        said(Assistant, "Seen"),
        said(User, "Again"),
        calls("b", None),
        results("b", Some("and be brief")),
    ]);
    let history = [
        "USER: Look",
        r#"CHATBOT: Called the tool look with {"of":"a"}"#,
        "USER: Result of the tool: result a",
        "CHATBOT: Seen",
        "USER: Again",
    ];
    assert_eq!(body, json!(["and be brief", history, [["b", "result b"]]]));
    assert!(warnings.contains("were sent as text"), "{warnings}");
    // The question came with results of its own.
    let (body, _) = written(&[
        said(User, "Look"),
        calls("a", None),
        results("a", Some("and there")),
        calls("b", None),
        results("b", None),
    ]);
    let history = [
        "USER: Look",
        r#"CHATBOT: Called the tool look with {"of":"a"}"#,
        "USER: Result of the tool: result a",
    ];
    assert_eq!(body, json!(["and there", history, [["b", "result b"]]]));
}

/// The message was the text of the gateway.
#[test]
fn text_that_is_no_question_of_the_user_does_not_replace_the_question() {
    use ConversationRole::User;
    let look = || [said(User, "Look"), calls("a", None)];
    let beside = |text| look().into_iter().chain([results("a", Some(text))]);
    let (body, _) = written(&beside(".").collect::<Vec<_>>());
    assert_eq!(body, json!(["Look", [], [["a", "result a"]]]));
    let system = "<system>\nBe brief\n</system>";
    let (body, _) = written(&beside(system).collect::<Vec<_>>());
    let message = "Look\n\n<system>\nBe brief\n</system>";
    assert_eq!(body, json!([message, [], [["a", "result a"]]]));
    let more = beside(system).chain([calls("b", None), results("b", None)]);
    let (body, _) = written(&more.collect::<Vec<_>>());
    let results = [["a", "result a"], ["b", "result b"]];
    assert_eq!(body, json!([message, [], results]));
}

#[test]
fn definitions_keep_what_they_cannot_express_as_text() {
    let of = |schema: Value| {
        let json = RawValue::from_string(schema.to_string()).unwrap();
        let spec = ToolSpecification {
            name: "look".into(),
            description: "Looks.".into(),
            input_schema: ToolInputSchema {
                json: std::borrow::Cow::Owned(json),
            },
            strict: None,
            is_deferred: false,
        };
        let config = ToolConfig {
            tools: vec![Tool::ToolSpec(spec)],
            tool_choice: None,
        };
        serde_json::to_value(tools::of(&config).unwrap()).unwrap()[0].take()
    };
    let tool = of(json!({"type": "object", "required": ["b"], "properties": {
        "b": {"type": "string", "description": "A city"}, "a": {"type": "integer"}}}));
    assert_eq!(tool["description"], "Looks.");
    let parameters = json!({"b": {"description": "A city", "type": "str", "required": true},
        "a": {"type": "int", "required": false}});
    assert_eq!(tool["parameter_definitions"], parameters);
    for more in [
        json!({"type": "string", "enum": ["x"]}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": ["string", "null"]}),
        json!(true),
    ] {
        let tool = of(json!({"type": "object", "properties": {"p": more}}));
        let description = tool["description"].as_str().unwrap();
        assert!(description.contains(&more.to_string()), "{description}");
        assert!(tool["parameter_definitions"]["p"]["type"].is_string());
    }
}
