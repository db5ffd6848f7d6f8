//! What endpoints receive that name the model in the body, and what the OpenAI-compatible ones could bill for it.

use std::sync::Arc;

use lintel::{
    call::{Call, Caller, Plan, Trace},
    model::{Facts, Model},
    money::Tier,
    upstream::Exchange,
};
use serde_json::Value;

use crate::bill::{MESSAGE, Most, TEMPLATE, TOOL, TOOLS, longest_form};

/// Returns the bodies that `body` becomes, or `None` if it is rejected.
pub fn sent<T: Exchange>(
    body: &T,
    model: &Model,
    caller: &Arc<Caller>,
    plan: &Plan,
) -> Option<Vec<Value>> {
    let call = Call {
        request_id: "req_0".into(),
        caller: caller.clone(),
        model: Arc::new(model.clone()),
        body: Arc::new(body.clone()),
        plan: plan.clone(),
        end_user: String::new(),
        trace: Trace::default(),
    };
    let requests = T::codec(plan.route)?.encode(&call).ok()?;
    let bodies = requests
        .iter()
        .map(|(request, _)| serde_json::from_slice(&request.body));
    Some(bodies.collect::<Result<_, _>>().unwrap())
}

/// Returns the most that the service can report for a request.
pub fn most(sent: &Value, facts: &Facts) -> Most {
    let (mut text, mut images) = (0, 0);
    for (name, member) in sent.as_object().unwrap() {
        match name.as_str() {
            "model" | "stream" | "stream_options" | "store" | "service_tier" | "include" => {}
            // The service renders these as JSON.
            "tools" | "response_format" | "text" => text += longest_form(&member.to_string()),
            _ => walk(member, &mut text, &mut images),
        }
    }
    let length = |name: &str| sent[name].as_array().map_or(0, Vec::len) as u64;
    let template = TEMPLATE
        + MESSAGE * (length("messages") + items(sent))
        + TOOLS * u64::from(length("tools") > 0)
        + TOOL * length("tools");
    let window = facts.context_window.unwrap();
    let caps = [
        &sent["max_tokens"],
        &sent["max_completion_tokens"],
        &sent["max_output_tokens"],
    ];
    Most {
        prompt: (text + template + images * facts.image_tokens).min(window),
        output: caps.iter().find_map(|cap| cap.as_u64()).unwrap(),
        writes: facts.cache.is_none(),
        writes_1h: facts.cache.is_none(),
        tier: match sent["service_tier"].as_str() {
            Some("flex") => Tier::Flex,
            Some("priority") => Tier::Priority,
            _ => Tier::Standard,
        },
        ..Most::default()
    }
}

/// The messages among the items of a Responses request. The client's form of a call is longer than its template.
fn items(sent: &Value) -> u64 {
    let items = sent["input"].as_array().into_iter().flatten();
    items.filter(|item| item["type"] == "message").count() as u64
}

fn walk(value: &Value, text: &mut u64, images: &mut u64) {
    match value {
        Value::String(said) => *text += longest_form(said),
        Value::Array(items) => items.iter().for_each(|item| walk(item, text, images)),
        Value::Object(members) if members.contains_key("image_url") => *images += 1,
        Value::Object(members) => members.values().for_each(|one| walk(one, text, images)),
        _ => {}
    }
}
