//! Requests of AWS SDKs with bodies like those that the gateway writes.

use std::sync::Arc;

use fastrand::Rng;
use http::{HeaderMap, HeaderValue};
use lintel::{
    call::{Caller, Warnings},
    edge::{sdk_converse_request, sdk_invoke_request},
    model::Model,
    money::Tier,
    operation::{Operation, passthrough::Passthrough},
};
use serde_json::{Value, json};

use crate::{
    bill::{self, Most},
    native, within,
};

/// Checks a request of Converse, whose limit of the output a client may have set to any number.
pub fn check_converse(
    body: &Value,
    model: &Model,
    caller: &Arc<Caller>,
    rng: &mut Rng,
) -> Result<(), String> {
    let mut body = body.clone();
    if rng.bool() {
        body["inferenceConfig"]["maxTokens"] = rng.u32(1..300_000).into();
    }
    let warnings = Warnings::default();
    match sdk_converse_request(body.to_string().as_bytes(), &warnings, false) {
        Ok(request) => check(
            &request,
            model,
            caller,
            |sent| bill::of_converse(sent, &model.facts),
            rng,
        ),
        Err(_) => Ok(()),
    }
}

/// Checks a request of InvokeModel, whose limit of the output may have any name and number. `other` has the terms of the
/// price.
pub fn check_invoke(
    body: &Value,
    other: Most,
    model: &Model,
    caller: &Arc<Caller>,
    rng: &mut Rng,
) -> Result<(), String> {
    let mut body = body.clone();
    let limit = rng.u32(1..300_000);
    let name = rng.choice([
        "max_tokens",
        "max_completion_tokens",
        "max_gen_len",
        "maxTokens",
        "maxTokenCount",
    ]);
    match name {
        Some("maxTokens") => body["inferenceConfig"]["maxTokens"] = limit.into(),
        Some("maxTokenCount") => body["textGenerationConfig"]["maxTokenCount"] = limit.into(),
        Some(name) if rng.bool() => body[name] = limit.into(),
        Some(name) => body[name] = f64::from(limit).into(),
        None => {}
    }
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    match other.tier {
        Tier::Standard => {}
        Tier::Flex => set("x-amzn-bedrock-service-tier", "flex"),
        Tier::Priority => set("x-amzn-bedrock-service-tier", "priority"),
        Tier::Optimized => set("x-amzn-bedrock-performanceconfig-latency", "optimized"),
    }
    match sdk_invoke_request(body.to_string().as_bytes(), &headers, false) {
        Ok(request) => check(
            &request,
            model,
            caller,
            |sent| bill::of_invoke(sent, &model.facts, other),
            rng,
        ),
        Err(_) => Ok(()),
    }
}

/// Checks a batch of texts, each of which has up to the most tokens of the model.
pub fn check_batch(texts: &[String], model: &Model) -> Result<(), String> {
    let body = match texts {
        [text] => json!({"inputText": text}),
        texts => json!({"texts": texts}),
    };
    let request = sdk_invoke_request(body.to_string().as_bytes(), &HeaderMap::new(), false);
    let request = request.map_err(|error| error.to_string())?;
    let (Ok(plan), Some(price), Some(facts)) = (
        request.plan(model, &Caller::default()),
        model.price.as_deref(),
        &model.facts.embed,
    ) else {
        return Ok(());
    };
    let tokens = texts
        .iter()
        .map(|text| (bill::longest_form(text) + 2).min(facts.max_tokens));
    let most = Most {
        prompt: tokens.sum(),
        ..Most::default()
    };
    let bill = most.bill(price).ok_or("a price is missing")?;
    match plan.worst.cost(price) {
        Some(reserved) if bill > u128::from(reserved.0) * 1000 => Err(format!(
            "{}: AWS SDK: {bill} > {reserved:?}: {body}",
            model.target().id
        )),
        _ => Ok(()),
    }
}

fn check(
    request: &Passthrough,
    model: &Model,
    caller: &Arc<Caller>,
    most: impl Fn(&Value) -> Most,
    rng: &mut Rng,
) -> Result<(), String> {
    let (Ok(plan), Some(price)) = (request.plan(model, caller), model.price.as_deref()) else {
        return Ok(());
    };
    if request.unbounded_member(model, caller).is_some() {
        return Ok(());
    }
    let worst = plan.worst;
    let Some(each) = worst.cost_of_one(price, worst.output_tokens) else {
        return Ok(());
    };
    let sent = native::sent(request, model, caller, &plan).ok_or("not encoded")?;
    within(&most(&sent[0]), price, each, rng).map_err(|wrong| {
        format!(
            "{}: AWS SDK: {wrong}: {worst:?}: {}",
            model.target().id,
            sent[0]
        )
    })
}
