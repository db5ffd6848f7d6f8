//! Every OpenAI request, for every model of the catalogue, is translated to a request that Bedrock's service model
//! allows, or rejected.

use lintel::{
    call::{Caller, Delivery, Route, Warnings},
    catalogue,
    error::Kind,
    model::{CachePolicy, Target},
    operation::Operation,
    upstream::converse::{self, Context},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;

const PNG: &str = "data:image/jpeg;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn cache_control() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(Value::Null),
        1 => Just(json!({"type": "ephemeral"})),
        1 => Just(json!({"type": "ephemeral", "ttl": "1h"})),
    ]
}

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => ("[ a-z]{0,8}", cache_control()).prop_map(|(text, mark)| json!({"type": "text", "text": text, "cache_control": mark})),
        1 => cache_control().prop_map(|mark| json!({"type": "image_url", "image_url": {"url": PNG}, "cache_control": mark})),
        1 => ("[a-z./ ]{0,12}", cache_control()).prop_map(|(name, mark)| {
            json!({"type": "file", "file": {"filename": name, "file_data": "data:text/plain;base64,SGk="}, "cache_control": mark})
        }),
        1 => Just(json!({"type": "file", "file": {"file_data": "JVBERi0xLjQK", "citations": {"enabled": true}}})),
        1 => Just(json!({"type": "search_result", "search_result": {"source": "s", "title": "t", "content": "c"}})),
        1 => Just(json!({"cachePoint": {"type": "default"}})),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    // Some characters become longer when a tokenizer normalizes them.
    let text = prop_oneof![4 => "[ a-z]{0,8}", 1 => "[\u{fb2c}\u{fdfa}\u{1d160}\u{a8}\u{e9}\u{ac00}]{0,9}"];
    prop_oneof![
        text.clone().prop_map(Value::from),
        prop::collection::vec((text, cache_control()), 0..3).prop_map(|parts| {
            parts
                .into_iter()
                .map(|(text, mark)| json!({"type": "text", "text": text, "cache_control": mark}))
                .collect()
        }),
    ]
}

fn media() -> impl Strategy<Value = Value> {
    prop_oneof![
        text(),
        prop::collection::vec(part(), 0..4).prop_map(Value::from)
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_-]{1,64}", "[a-c. ]{1,4}", Just("é".repeat(70))]
}

fn arguments() -> impl Strategy<Value = String> {
    let short = prop_oneof![
        Just("{}"),
        Just(""),
        Just("[1]"),
        Just("{broken"),
        Just("null"),
        Just("{\"b\":1,\"a\":2}"),
        Just("{\"a\":1}{\"b\":2}"),
    ]
    .prop_map(str::to_owned);
    // A key that is sent again if tools are rebuilt from the history.
    let long_key = (200..3000usize).prop_map(|length| format!("{{\"{}\":1}}", "k".repeat(length)));
    prop_oneof![7 => short, 1 => long_key]
}

fn message() -> impl Strategy<Value = Value> {
    let id = prop_oneof!["[ab]", "[^a-z]{1,3}", Just("x".repeat(80))];
    let call = (id.clone(), name(), arguments()).prop_map(|(id, name, arguments)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    });
    let custom = (id.clone(), name(), "[a-z\"]{0,5}")
        .prop_map(|(id, name, input)| json!({"id": id, "type": "custom", "custom": {"name": name, "input": input}}));
    let calls = prop::collection::vec(prop_oneof![3 => call, 1 => custom], 1..4);
    let thinking = prop_oneof![
        2 => Just(Value::Null),
        1 => Just(json!([{"type": "thinking", "thinking": "hm", "signature": "c2ln"}])),
        1 => Just(json!([{"type": "thinking", "thinking": "unsigned"}, {"type": "redacted_thinking", "data": "AAAA"}])),
    ];
    prop_oneof![
        (prop_oneof![Just("system"), Just("developer"), Just("assistant")], text())
            .prop_map(|(role, content)| json!({"role": role, "content": content})),
        media().prop_map(|content| json!({"role": "user", "content": content})),
        (text(), calls, thinking).prop_map(|(content, calls, thinking)| {
            json!({"role": "assistant", "content": content, "tool_calls": calls, "thinking_blocks": thinking,
                   "reasoning_content": "hm"})
        }),
        (id, media()).prop_map(|(id, content)| json!({"role": "tool", "tool_call_id": id, "content": content})),
        (name(), arguments()).prop_map(|(name, arguments)| {
            json!({"role": "assistant", "function_call": {"name": name, "arguments": arguments}})
        }),
        (name(), text()).prop_map(|(name, content)| json!({"role": "function", "name": name, "content": content})),
    ]
}

/// Schemas with members beside unions and `allOf`.
fn combined_schema() -> impl Strategy<Value = Value> {
    (1usize..9, 0usize..60, any::<bool>(), prop::sample::select(vec!["anyOf", "oneOf", "allOf"])).prop_map(
        |(branches, length, nested, keyword)| {
            let long = "d".repeat(length);
            let branches: Vec<Value> = (0..branches)
                .map(|n| json!({"properties": {format!("b{n}"): {"type": ["string", "null"]}}, "required": [format!("b{n}")]}))
                .collect();
            let schema = json!({"type": "object", "properties": {"p": {"type": "string", "description": long}}, keyword: branches});
            if nested { json!({"type": "object", "properties": {"n": schema}, "required": ["n"]}) } else { schema }
        },
    )
}

fn tools() -> impl Strategy<Value = Value> {
    let schema = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"type": "array", "items": {"type": "string"}})),
        Just(
            json!({"type": "object", "properties": {"p": {"$ref": "#/$defs/node"}},
                    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}})
        ),
        Just(
            json!({"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)b"}}})
        ),
        combined_schema(),
    ];
    let function = (name(), schema, any::<Option<bool>>(), cache_control()).prop_map(|(name, schema, strict, mark)| {
        json!({"type": "function", "function": {"name": name, "parameters": schema, "strict": strict}, "cache_control": mark})
    });
    let custom = name().prop_map(|name| json!({"type": "custom", "custom": {"name": name}}));
    prop::collection::vec(prop_oneof![3 => function, 1 => custom], 0..4).prop_map(Value::from)
}

fn response_format() -> impl Strategy<Value = Value> {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]});
    prop_oneof![
        3 => Just(Value::Null),
        1 => Just(json!({"type": "json_object"})),
        1 => Just(json!({"type": "json_schema", "json_schema": {"name": "a b", "schema": schema, "strict": true}})),
        1 => Just(json!({"type": "json_schema", "json_schema": {"name": "x"}})),
        1 => (combined_schema(), any::<bool>()).prop_map(|(schema, strict)| {
            json!({"type": "json_schema", "json_schema": {"name": "c", "schema": schema, "strict": strict}})
        }),
    ]
}

/// Members that request reasoning.
fn reasoning() -> impl Strategy<Value = Value> {
    let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let effort = || prop::sample::select(efforts.to_vec());
    let budget = || prop_oneof![-1..3000i64, 1000..70_000i64];
    prop_oneof![
        2 => Just(json!({})),
        3 => effort().prop_map(|effort| json!({"reasoning_effort": effort})),
        1 => effort().prop_map(|effort| json!({"reasoning": {"effort": effort, "exclude": true}})),
        2 => budget().prop_map(|budget| json!({"reasoning": {"max_tokens": budget}})),
        3 => budget().prop_map(|budget| json!({"thinking": {"type": "enabled", "budget_tokens": budget}})),
        1 => Just(json!({"thinking": {"type": "adaptive"}})),
        1 => Just(json!({"thinking": {"type": "disabled"}})),
        1 => any::<bool>().prop_map(|on| json!({"chat_template_kwargs": {"enable_thinking": on}})),
    ]
}

/// Returns the bytes of text that a model reads: all strings except media, and the JSON of schemas and tool inputs.
pub fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len().max(text.nfkc().map(char::len_utf8).sum()),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match name.as_str() {
                "bytes" => 0,
                "inputSchema" | "input" | "jsonSchema" => member.to_string().len(),
                _ => bytes(member),
            })
            .sum(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_request_satisfies_the_service_model(
        messages in prop::collection::vec(message(), 1..10),
        (tools, format, reasoning) in (tools(), response_format(), reasoning()),
        choice in prop_oneof![Just(json!(null)), Just(json!("auto")), Just(json!("none")), Just(json!("required"))],
        (temperature, top_p) in (prop::option::of(0.0..=2.0f64), prop::option::of(0.0..=1.0f64)),
        (max_tokens, top_k, parallel) in (prop::option::of(1u32..5000), prop::option::of(1u32..500), any::<Option<bool>>()),
        stop in prop::option::of(prop::collection::vec(".{0,3}", 0..4)),
        metadata in prop::option::of(prop::collection::btree_map(".{1,64}", ".{0,300}", 0..16)),
        (model, automatic, stream, long_cache) in (any::<prop::sample::Index>(), any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let mut request = json!({
            "model": "m", "messages": messages, "tools": tools, "tool_choice": choice, "response_format": format,
            "temperature": temperature, "top_p": top_p, "top_k": top_k, "stop": stop,
            "max_tokens": max_tokens, "parallel_tool_calls": parallel, "metadata": metadata, "user": "a b", "seed": 1,
            "frequency_penalty": 1, "stream": stream,
        });
        for (name, value) in reasoning.as_object().unwrap() {
            request[name] = value.clone();
        }
        if long_cache {
            request["prompt_cache_retention"] = "24h".into();
        }
        let ids: Vec<&str> = catalogue::ids().chain(["somebody.unknown-v1:0"]).collect();
        let id = ids[model.index(ids.len())];
        let model = catalogue::model("m", Target::new(id, "us-east-1"));
        let caller = Caller { cache: if automatic { CachePolicy::Auto } else { CachePolicy::Marked }, ..Caller::default() };
        let warnings = Warnings::default();
        let body = request.to_string();
        let request = lintel::edge::chat_request(body.as_bytes(), &warnings).unwrap();
        let planned = request.plan(&model, &caller);
        let cx = Context { model: &model, caller: &caller, warnings: &warnings, messages: &request.messages, extras: Default::default() };
        // The other routes have tests of their own.
        prop_assume!(!planned.as_ref().is_ok_and(|plan| plan.route != Route::Converse));
        match planned.and_then(|plan| Ok((plan, converse::chat_request(&request, &cx)?))) {
            Ok((plan, translated)) => {
                let (worst, streams) = (&plan.worst, plan.delivery == Delivery::Stream);
                let converse = serde_json::to_string(&translated.request).unwrap();
                let checked = lintel::simulator::validate(id, converse.as_bytes(), streams);
                prop_assert!(checked.is_ok(), "{id}: {checked:?}: {converse}");
                prop_assert!(stream || !streams);
                let converse: Value = serde_json::from_str(&converse).unwrap();
                // The delivery is planned before the translation, and must match it.
                prop_assert!(!streams || converse["toolConfig"].is_null() || model.facts.stream_with_tools, "{id}: {converse}");
                // The reservation of budgets must cover the request.
                let most = u64::from(model.facts.max_output_tokens.unwrap_or(u32::MAX));
                let limit = converse["inferenceConfig"]["maxTokens"].as_u64().unwrap_or(most);
                prop_assert!(limit <= worst.output_tokens, "{id}: {limit} tokens of output: {worst:?}");
                let text: usize = ["system", "messages", "toolConfig", "outputConfig"].map(|part| bytes(&converse[part])).iter().sum();
                let window = model.facts.context_window.unwrap_or(u64::MAX);
                prop_assert!(text as u64 <= worst.input_tokens || worst.input_tokens >= window, "{id}: {text} bytes: {worst:?}: {converse}");
            }
            Err(error) => {
                prop_assert!(matches!(error.kind(), Kind::InvalidRequest | Kind::NotFound), "{error}");
                prop_assert!(error.param().is_some(), "{error}");
            }
        }
    }
}
