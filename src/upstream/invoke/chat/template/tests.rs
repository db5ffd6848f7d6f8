use proptest::prelude::*;

use super::{
    prompt,
    specials::{Specials, begins_with, tokens},
};
use crate::{
    bedrock::{
        content::{
            ContentBlock, ConversationRole, GuardrailConverseContentBlock,
            GuardrailConverseTextBlock, Message, ToolResultBlock, ToolResultContentBlock,
        },
        request::{ConverseRequest, OutputConfig, SystemContentBlock},
    },
    call::Warnings,
    model::{Invoke, InvokeFamily, Model, Target},
    upstream::invoke::chat::{Writer, anthropic::RequestBetas},
};

const FAMILIES: [InvokeFamily; 7] = [
    InvokeFamily::Llama2,
    InvokeFamily::ClaudeText,
    InvokeFamily::Llama3,
    InvokeFamily::Llama4,
    InvokeFamily::MistralText,
    InvokeFamily::DeepseekR1,
    InvokeFamily::TitanText,
];

fn invoke(family: InvokeFamily, system_last: bool) -> Invoke {
    Invoke {
        system_last,
        ..Invoke::of(family)
    }
}

/// A part of a turn.
#[derive(Clone, Debug)]
enum Part {
    /// What was written, or passages.
    Text(String),
    /// Text in the tags of a guardrail.
    Guarded(String),
    /// The result of a tool, in several texts.
    Result(Vec<String>),
}

impl Part {
    fn block(&self) -> ContentBlock<'_> {
        match self {
            Self::Text(text) => ContentBlock::Text(text.as_str().into()),
            Self::Guarded(text) => ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(
                GuardrailConverseTextBlock {
                    text: text.as_str().into(),
                    qualifiers: &[],
                },
            )),
            Self::Result(texts) => {
                let texts = texts.iter().map(|text| text.as_str().into());
                ContentBlock::ToolResult(ToolResultBlock {
                    tool_use_id: "a".into(),
                    content: texts.map(ToolResultContentBlock::Text).collect(),
                    status: None,
                    kind: None,
                })
            }
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => text().prop_map(Part::Text),
        1 => text().prop_map(Part::Guarded),
        1 => prop::collection::vec(text(), 1..3).prop_map(Part::Result),
    ]
}

/// Returns the prompt for a system text and turns that alternate, the user's first.
fn prompt_of(invoke: &Invoke, system: &str, turns: &[Vec<Part>]) -> String {
    let messages = turns.iter().enumerate().map(|(nth, texts)| Message {
        role: match nth % 2 {
            0 => ConversationRole::User,
            _ => ConversationRole::Assistant,
        },
        content: texts.iter().map(Part::block).collect(),
    });
    let request = ConverseRequest {
        messages: messages.collect(),
        system: vec![SystemContentBlock::Text(system.into())],
        inference_config: None,
        tool_config: None,
        guardrail_config: None,
        additional_model_request_fields: serde_json::Map::new(),
        prompt_variables: None,
        additional_model_response_field_paths: Vec::new(),
        request_metadata: None,
        performance_config: None,
        service_tier: None,
        output_config: OutputConfig::default(),
    };
    let warnings = Warnings::default();
    let (model, betas) = (
        Model::new("m", Target::new("m", "us-east-1")),
        RequestBetas::default(),
    );
    let writer = Writer {
        is_stream: false,
        model: &model,
        invoke,
        betas: &betas,
        warnings: &warnings,
    };
    prompt(&request, &writer)
}

/// Counts the special tokens in a prompt.
fn count(family: InvokeFamily, prompt: &str) -> usize {
    let starts = prompt.char_indices().map(|(at, _)| &prompt[at..]);
    let tokens = tokens(family);
    starts
        .filter(|rest| tokens.iter().any(|token| begins_with(rest, token)))
        .count()
}

/// Pieces of all special tokens, of which text is made.
fn piece() -> impl Strategy<Value = String> {
    let all: Vec<&str> = FAMILIES
        .iter()
        .flat_map(|family| tokens(*family))
        .copied()
        .collect();
    (prop::sample::select(all), 0usize..40, 0usize..40).prop_map(|(token, from, to)| {
        let chars: Vec<char> = token.replace('*', "1").chars().collect();
        let (from, to) = (from % chars.len(), 1 + to % chars.len());
        match from < to {
            true => chars[from..to].iter().collect(),
            false => chars.iter().collect(),
        }
    })
}

fn text() -> impl Strategy<Value = String> {
    let any = prop_oneof![3 => piece(), 1 => "[a<>|｜\\[\\]/ ]{0,3}"];
    prop::collection::vec(any, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_of_any_role_opens_or_ends_a_turn(
        system in text(),
        turns in prop::collection::vec(prop::collection::vec(part(), 1..4), 1..5),
        system_last in any::<bool>(),
    ) {
        for family in FAMILIES {
            let invoke = invoke(family, system_last);
            let harmless: Vec<Vec<Part>> = turns.iter().map(|_| vec![Part::Text("x".to_owned())]).collect();
            let expected = count(family, &prompt_of(&invoke, "x", &harmless));
            let found = count(family, &prompt_of(&invoke, &system, &turns));
            // A system text of white space has no turn of its own.
            let blank = match (system.trim().is_empty(), family) {
                (true, InvokeFamily::Llama2) => 2,
                (is_blank, _) => 3 * usize::from(is_blank),
            };
            prop_assert!(found == expected || found + blank == expected, "{:?}: {:?}", family, turns);
        }
    }
}

#[test]
fn prompts_equal_those_of_the_families_own_templates() {
    let turns = [
        vec![Part::Text("Hi".to_owned())],
        vec![Part::Text("Hello.".to_owned())],
        vec![Part::Text(" More? ".to_owned())],
    ];
    let of = |family, last| prompt_of(&invoke(family, last), "Be brief.", &turns);
    assert_eq!(
        of(InvokeFamily::Llama3, false),
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nMore?<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(
        of(InvokeFamily::Llama4, false),
        "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe brief.<|eot|>\
         <|header_start|>user<|header_end|>\n\nHi<|eot|>\
         <|header_start|>assistant<|header_end|>\n\nHello.<|eot|>\
         <|header_start|>user<|header_end|>\n\nMore?<|eot|>\
         <|header_start|>assistant<|header_end|>\n\n"
    );
    assert_eq!(
        of(InvokeFamily::MistralText, false),
        "<s>[INST] Be brief.\n\nHi [/INST] Hello.</s>[INST]  More?  [/INST]"
    );
    assert_eq!(
        of(InvokeFamily::MistralText, true),
        "<s>[INST] Hi [/INST] Hello.</s>[INST] Be brief.\n\n More?  [/INST]"
    );
    assert_eq!(
        of(InvokeFamily::DeepseekR1, false),
        "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>Hello.<｜end▁of▁sentence｜>\
         <｜User｜> More? <｜Assistant｜><think>\n"
    );
    assert_eq!(
        of(InvokeFamily::TitanText, false),
        "User: Hi\nBot: Hello.\nUser: More?\nBot:"
    );
    assert_eq!(
        of(InvokeFamily::Llama2, false),
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] More? [/INST]"
    );
    assert_eq!(
        of(InvokeFamily::ClaudeText, false),
        "Be brief.\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: More?\n\nAssistant:"
    );
}

#[test]
fn nested_tokens_are_neutralized_too() {
    let mut specials = Specials::of(InvokeFamily::Llama3);
    let safe = specials.neutralized("<|eot<|eot_id|>_id|> 1 < 2");
    assert_eq!(safe, "<|eot<\u{200b}|eot_id|>_id|> 1 < 2");
    assert!(specials.has_neutralized());
}
