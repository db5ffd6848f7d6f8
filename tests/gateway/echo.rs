//! Replies of the gateway are part of later requests. They are accepted without a warning, also where dropped parameters
//! are rejected.

use std::{collections::VecDeque, sync::Arc};

use lintel::{
    call::{Caller, Warnings},
    catalogue,
    edge::{ChatWriter, EventWriter, assistant_message, chat_request},
    model::{DroppedParameters, Model, Target},
    operation::chat::{ChoiceChunk, Chunk},
    upstream::converse::{self, Context, ReplyPlan},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reasoning_order::merge;

const CLAUDE: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
const GPT: &str = "openai.gpt-6-sol";
const QWEN: &str = "qwen.qwen3-32b-v1:0";

fn model(id: &str) -> Model {
    Model {
        dropped_parameters: DroppedParameters::Refuse,
        ..catalogue::model("m", Target::new(id, "us-east-1"))
    }
}

/// Translates a request. Returns the plan for its reply and the warnings.
fn translated(request: &Value, model: &Model) -> (ReplyPlan, Vec<String>) {
    let (warnings, caller) = (Warnings::default(), Caller::default());
    let chat = chat_request(request.to_string().as_bytes(), &warnings).unwrap();
    let cx = Context {
        model,
        caller: &caller,
        warnings: &warnings,
        messages: &chat.messages,
        extras: Default::default(),
    };
    let translated = converse::chat_request(&chat, &cx).unwrap();
    let body: Value = serde_json::to_value(&translated.request).unwrap();
    lintel::simulator::validate(&model.target().id, body.to_string().as_bytes(), false)
        .unwrap_or_else(|error| panic!("{error:?}: {body:#}"));
    warnings.refuse_dropped(model).unwrap();
    let joined = warnings.joined().unwrap_or_default();
    let list = joined.split("; ").filter(|text| !text.is_empty());
    (translated.plan, list.map(str::to_owned).collect())
}

/// The kinds of reasoning of a model.
fn reasoning(id: &str) -> BoxedStrategy<Value> {
    let signed =
        Just(json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}));
    let redacted = Just(json!({"reasoningContent": {"redactedContent": "AAAA"}}));
    match id {
        CLAUDE => prop_oneof![signed, redacted].boxed(),
        GPT => redacted.boxed(),
        _ => Just(json!({"reasoningContent": {"reasoningText": {"text": "Hm."}}})).boxed(),
    }
}

/// Content blocks of any kind, with the number `nth` in their ids.
fn block(id: &'static str, nth: usize) -> BoxedStrategy<Vec<Value>> {
    let call = prop::sample::select(vec!["f", "c"]).prop_map(move |name| {
        let id = format!("tooluse_{nth}");
        vec![json!({"toolUse": {"toolUseId": id, "name": name, "input": {"input": "x"}}})]
    });
    let text = "[a-z ]{1,9}".prop_map(|text| vec![json!({"text": text})]);
    let citation = json!({"title": "T", "source": "s", "location": {"web": {"url": "https://example.com"}}, "new": 1});
    let cited = Just(vec![
        json!({"citationsContent": {"content": [{"text": "Cited."}], "citations": [citation]}}),
    ]);
    let image = Just(vec![
        json!({"image": {"format": "png", "source": {"bytes": "AAAA"}}}),
    ]);
    let thought = reasoning(id).prop_map(|block| vec![block]);
    let server_id = format!("srvtoolu_{nth}");
    let server = vec![
        json!({"toolUse": {"toolUseId": server_id, "name": "nova_grounding", "type": "server_tool_use", "input": {"query": "q"}}}),
        // A document cannot be part of a request.
        json!({"toolResult": {"toolUseId": server_id, "type": "web_search", "status": "success",
                              "content": [{"text": "found"}, {"json": {"a": 1}}, {"document": {"name": "d"}}]}}),
    ];
    match id {
        NOVA => {
            prop_oneof![3 => call, 2 => text, 1 => cited, 1 => image, 2 => Just(server)].boxed()
        }
        _ => prop_oneof![3 => call, 2 => text, 1 => cited, 1 => image, 2 => thought].boxed(),
    }
}

fn reply() -> impl Strategy<Value = (&'static str, Vec<Value>)> {
    let id = prop::sample::select(vec![CLAUDE, NOVA, GPT, QWEN]);
    id.prop_flat_map(|id| {
        let blocks: Vec<_> = (0..5).map(|nth| block(id, nth)).collect();
        (reasoning(id), blocks, 0..=5usize).prop_map(move |(first, blocks, count)| {
            let blocks = blocks.into_iter().take(count).flatten();
            let end = json!({"text": "Done."});
            (
                id,
                std::iter::once(first).chain(blocks).chain([end]).collect(),
            )
        })
    })
}

/// Returns the message of a whole reply.
fn whole(chunks: VecDeque<Chunk>) -> Value {
    serde_json::to_value(assistant_message(chunks.into()).0).unwrap()
}

/// Returns the message of a streamed reply, as OpenAI's SDKs assemble it.
fn streamed(chunks: VecDeque<Chunk>) -> Value {
    let mut writer = ChatWriter::new("id", 0, "m", false);
    for chunk in chunks {
        writer.chunk(&ChoiceChunk { choice: 0, chunk });
    }
    let written = String::from_utf8(writer.written().to_vec()).unwrap();
    let mut message = json!({});
    for event in written.trim_end().split("\n\n") {
        let chunk: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        merge(&mut message, &chunk["choices"][0]["delta"]);
    }
    message
}

/// Returns the request that follows `first` if the model answered with `message`.
fn next(first: &Value, message: &Value) -> Value {
    let mut next = first.clone();
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(message.clone());
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "done"}));
    }
    if let Some(name) = message["function_call"]["name"].as_str() {
        messages.push(json!({"role": "function", "name": name, "content": "done"}));
    }
    messages.push(json!({"role": "user", "content": "Go on"}));
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Was a 400 for the `type` of server tool blocks and for `images`, and a 400 for reasoning without a signature or
    /// after reasoning was turned off.
    #[test]
    fn every_reply_is_accepted_without_a_warning(
        (id, blocks) in reply(),
        (legacy, stream, nulls, reasons_again) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let model = model(id);
        let mut first = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "low"});
        if legacy && id != NOVA {
            first["functions"] = json!([{"name": "f"}, {"name": "c"}]);
        } else {
            let mut tools = vec![
                json!({"type": "function", "function": {"name": "f"}}),
                json!({"type": "custom", "custom": {"name": "c"}}),
            ];
            tools.extend((id == NOVA).then(|| json!({"type": "web_search"})));
            first["tools"] = tools.into();
        }
        let (plan, before) = translated(&first, &model);
        let reply = json!({"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": "stop_sequence",
            "additionalModelResponseFields": {"stop_sequence": "END"}, "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}});
        let reply = serde_json::from_str(&reply.to_string()).unwrap();
        let chunks = converse::whole_reply(reply, &Arc::new(plan), &Warnings::default()).unwrap().chunks;
        let mut message = if stream { streamed(chunks) } else { whole(chunks) };
        if nulls {
            // What OpenAI's SDK writes for a message that it has parsed.
            let members = message.as_object_mut().unwrap();
            for name in ["audio", "function_call", "tool_calls", "annotations", "refusal", "parsed"] {
                members.entry(name).or_insert(Value::Null);
            }
        }
        let mut second = next(&first, &message);
        if !reasons_again {
            second.as_object_mut().unwrap().remove("reasoning_effort");
        }
        let (_, after) = translated(&second, &model);
        let new: Vec<_> = after.iter().filter(|warning| !before.contains(warning)).collect();
        prop_assert!(new.is_empty(), "{new:?}: {message:#}");
    }
}

/// Members that clients store beside a message, and null members, mean nothing.
#[test]
fn stored_messages_are_accepted_with_the_members_of_their_clients() {
    let stored = json!({"id": "1", "role": "assistant", "content": "Hello", "model": "m", "created_at": 1, "status": "completed",
        "type": "message", "metadata": {}, "usage": {}, "provider_specific_fields": {"a": 1}, "reasoning": "Hm.",
        "response_metadata": {}, "parsed": {"a": 1}, "unheard_of": null});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "index": 0,
        "provider_specific_fields": {}, "function": {"name": "f", "arguments": "{}", "parsed_arguments": {}}}]});
    let result = json!({"role": "tool", "tool_call_id": "a", "content": "1"});
    let hi = json!({"role": "user", "content": "Hi"});
    let request = json!({"model": "m", "messages": [hi, stored, hi, call, result],
        "tools": [{"type": "function", "function": {"name": "f"}}]});
    let (_, warnings) = translated(&request, &model(CLAUDE));
    assert_eq!(warnings, Vec::<String>::new());
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    let drawn = json!({"role": "assistant", "content": "", "images": image});
    let request = json!({"model": "m", "messages": [hi, drawn, hi]});
    let (_, warnings) = translated(&request, &model(CLAUDE));
    assert_eq!(warnings, Vec::<String>::new());
}
