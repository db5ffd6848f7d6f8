//! No bill exceeds its reservation, for every request that the gateway can send.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "tests fail by panicking"
)]

mod bill;
mod native;
mod passthrough;
mod requests;

use std::{env, sync::Arc, thread};

use fastrand::Rng;
use lintel::{
    call::{Caller, Plan, Route, Warnings},
    catalogue,
    model::{Api, CachePolicy, Model, Target},
    money::{LongContext, NanoUsd, PicoUsd, Price},
    operation::{
        Operation,
        chat::Chat,
        embed::{Embed, Input},
    },
    upstream::{
        converse::{self, Context},
        invoke,
    },
};

use bill::Most;
use requests::Generator;

/// The number of requests. `LINTEL_PROPERTY_CASES` sets another.
const CASES: u64 = 200_000;

const THREADS: u64 = 2;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// `LINTEL_PROPERTY_SEED` runs a single request again.
#[test]
fn no_bill_exceeds_its_reservation() {
    let models = models();
    if let Some(seed) = number("LINTEL_PROPERTY_SEED") {
        check(&models, seed).unwrap();
        return;
    }
    let cases = number("LINTEL_PROPERTY_CASES").unwrap_or(CASES);
    let sent: u64 = thread::scope(|scope| {
        let run = |first: u64| {
            let models = &models;
            move || -> u64 {
                let seeds = (first..cases).step_by(THREADS as usize);
                let checked = seeds.map(|seed| {
                    let sent = check(models, seed);
                    u64::from(
                        sent.unwrap_or_else(|wrong| panic!("LINTEL_PROPERTY_SEED={seed}: {wrong}")),
                    )
                });
                checked.sum()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(run(first))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(
        sent > cases / 3,
        "only {sent} of {cases} requests were sent"
    );
}

/// All models of the catalog: those for chats, and those for embeddings.
fn models() -> (Vec<Model>, Vec<Model>) {
    let models = catalogue::ids().map(|id| {
        let mut model = catalogue::model("m", Target::new(id, "us-east-1"));
        model.options.max_n = 64;
        model
    });
    let (embed, other): (Vec<_>, Vec<_>) = models.partition(|model| model.facts.embed.is_some());
    (
        other
            .into_iter()
            .filter(|model| model.facts.modality == "chat")
            .collect(),
        embed,
    )
}

/// Checks one request, and returns whether it could be sent under a budget.
fn check((chat, embed): &(Vec<Model>, Vec<Model>), seed: u64) -> Result<bool, String> {
    let mut rng = Rng::with_seed(seed);
    let is_embedding = rng.u8(0..16) == 0;
    let models = if is_embedding { embed } else { chat };
    let mut model = models[rng.usize(0..models.len())].clone();
    if rng.bool() {
        model.price = Some(price(&mut rng).into());
    }
    match is_embedding {
        true => check_embedding(&model, &mut rng),
        false => check_chat(model, &mut rng),
    }
}

fn check_chat(mut model: Model, rng: &mut Rng) -> Result<bool, String> {
    let policies = [CachePolicy::Auto, CachePolicy::Marked, CachePolicy::Marked];
    let caller = Arc::new(Caller {
        cache: rng.choice(policies).unwrap(),
        ..Caller::default()
    });
    model.options.cache = rng.choice(policies).unwrap();
    model.options.repair_json = rng.bool();
    model.options.name_prefix = rng.bool();
    let apis = [
        Api::Auto,
        Api::Converse,
        Api::Invoke,
        Api::Chat,
        Api::Responses,
        Api::Messages,
        Api::Mantle,
    ];
    model.options.api = rng.choice(apis).unwrap();
    let body = Generator::new(rng).chat();
    let warnings = Warnings::default();
    let chat = lintel::edge::chat_request(body.as_bytes(), &warnings)
        .map_err(|error| format!("{error:?}: {body}"))?;
    if chat.unbounded_member(&model, &caller).is_some() {
        return Ok(false);
    }
    let Ok(plan) = chat.plan(&model, &caller) else {
        return Ok(false);
    };
    let is_sent = check_sent(&chat, &model, &caller, &plan, rng)
        .map_err(|wrong| format!("{wrong}: {body}"))?;
    if !is_sent || rng.bool() {
        return Ok(is_sent);
    }
    // A budget with little left lowers the output.
    let price = model.price.clone().unwrap();
    let money = NanoUsd(rng.u64(0..=plan.worst.cost(&price).unwrap_or_default().0));
    if let Some(tokens) = plan.worst.output_for(&price, money)
        && let Some(limited) = u32::try_from(tokens)
            .ok()
            .and_then(|tokens| chat.limited(&model, tokens))
        && tokens < plan.worst.output_tokens
        && let Ok(plan) = limited.plan(&model, &caller)
    {
        check_sent(&limited, &model, &caller, &plan, rng)?;
    }
    Ok(is_sent)
}

/// Checks the requests that `chat` becomes. Returns whether there are any.
fn check_sent(
    chat: &Chat,
    model: &Model,
    caller: &Arc<Caller>,
    plan: &Plan,
    rng: &mut Rng,
) -> Result<bool, String> {
    let worst = plan.worst;
    let price = model.price.as_deref().unwrap();
    let Some(each) = worst.cost_of_one(price, worst.output_tokens) else {
        return Ok(false);
    };
    let is_native = [Route::Chat, Route::MantleChat].contains(&plan.route);
    if is_native || plan.route.is_responses() {
        let Some(bodies) = native::sent(chat, model, caller, plan) else {
            return Ok(false);
        };
        for sent in &bodies {
            let most = native::most(sent, &model.facts);
            within(&most, price, each, rng)
                .map_err(|wrong| format!("{}: {wrong}: {worst:?}: {sent}", model.target().id))?;
        }
        return Ok(u32::try_from(bodies.len()).unwrap() <= worst.requests);
    }
    let warnings = Warnings::default();
    let mut requests = 0;
    let is_invoke = plan.route == Route::Invoke;
    let own = model.facts.invoke.as_ref().filter(|_| is_invoke);
    let model = match own {
        Some(own) => &invoke::chat::route_model(model, own, false),
        None => model,
    };
    let is_messages = matches!(plan.route, Route::Messages | Route::MantleMessages);
    let bodies = match is_messages {
        true => native::sent(chat, model, caller, plan),
        false => Some(Vec::new()),
    };
    let Some(mut bodies) = bodies.map(Vec::into_iter) else {
        return Ok(false);
    };
    for messages in chat.conversations() {
        let cx = Context {
            model,
            caller,
            warnings: &warnings,
            messages,
            extras: Default::default(),
        };
        let Ok(mut translated) = converse::chat_request(chat, &cx) else {
            return Ok(false);
        };
        let mut sent = serde_json::to_value(&translated.request).unwrap();
        let mut most = bill::of_converse(&sent, &model.facts);
        if let Some(own) = own {
            let writer = invoke::chat::Writer {
                model,
                invoke: own,
                betas: &invoke::chat::RequestBetas::default(),
                is_stream: false,
                warnings: &warnings,
            };
            let body = invoke::chat::write_body(&mut translated.request, &writer);
            let Ok(body) = body else {
                return Ok(false);
            };
            sent = serde_json::from_slice(&body).unwrap();
            most = bill::of_invoke(&sent, &model.facts, most);
        }
        if is_messages {
            // Messages has the body of InvokeModel.
            sent = bodies.nth(chat.n.unwrap_or(1) as usize - 1).unwrap();
            most = bill::of_invoke(&sent, &model.facts, most);
        }
        match plan.route {
            Route::Converse => passthrough::check_converse(&sent, model, caller, rng)?,
            Route::Invoke => passthrough::check_invoke(&sent, most, model, caller, rng)?,
            _ => {}
        }
        within(&most, price, each, rng)
            .map_err(|wrong| format!("{}: {wrong}: {worst:?}: {sent}", model.target().id))?;
        requests += chat.n.unwrap_or(1);
    }
    let all = worst.cost(price).unwrap_or_default();
    match requests <= worst.requests && all.0 >= each.0 * u64::from(requests) {
        true => Ok(true),
        false => Err(format!("{requests} requests: {worst:?}")),
    }
}

/// Checks that no usage within `most` costs more than `reserved`.
fn within(most: &Most, price: &Price, reserved: NanoUsd, rng: &mut Rng) -> Result<(), String> {
    let bill = most.bill(price).ok_or("a price is missing")?;
    if bill > u128::from(reserved.0) * 1000 {
        return Err(format!(
            "{bill} pico-dollars are billed, and {reserved:?} reserved: {most:?}"
        ));
    }
    let usage = most.usage(rng);
    let settled = price.cost(&usage, most.tier).map(|cost| cost.total());
    match settled.is_some_and(|settled| settled <= reserved) {
        true => Ok(()),
        false => Err(format!(
            "{settled:?} are settled, and {reserved:?} reserved: {usage:?}"
        )),
    }
}

fn check_embedding(model: &Model, rng: &mut Rng) -> Result<bool, String> {
    let facts = model.facts.embed.clone().unwrap();
    let texts = rng.usize(1..100);
    let inputs: Vec<String> = (0..texts).map(|_| Generator::new(rng).text()).collect();
    let embed = Embed {
        inputs: inputs.iter().cloned().map(Input::Text).collect(),
        is_list: true,
        ..Embed::default()
    };
    let (Ok(plan), Some(price)) = (
        embed.plan(model, &Caller::default()),
        model.price.as_deref(),
    ) else {
        return Ok(false);
    };
    passthrough::check_batch(&inputs, model)?;
    let batches = embed.batches(facts.family);
    let mut bill = 0;
    for batch in &batches {
        let tokens = batch.iter().map(|input| match input {
            Input::Text(text) => (bill::longest_form(text) + 2).min(facts.max_tokens),
            Input::Image(_) => 0,
        });
        // Each request is settled in whole nano-dollars.
        let most = Most {
            prompt: tokens.sum(),
            ..Most::default()
        };
        bill += most.bill(price).ok_or("a price is missing")?.div_ceil(1000);
    }
    let Some(reserved) = plan.worst.cost(price) else {
        return Ok(false);
    };
    match bill <= u128::from(reserved.0) {
        true => Ok(true),
        false => Err(format!(
            "{}: {bill} > {reserved:?}: {inputs:?}",
            model.target().id
        )),
    }
}

/// Returns a price that an operator could set.
fn price(rng: &mut Rng) -> Price {
    let mut one = || PicoUsd(rng.u64(0..60_000_000));
    let mut price = Price::new(one(), one());
    let mut some = || rng.bool().then(|| PicoUsd(rng.u64(0..90_000_000)));
    price.cache_read = some();
    price.cache_write = some();
    price.cache_write_1h = some();
    price.flex_input = some();
    price.flex_output = some();
    price.priority_input = some();
    price.priority_output = some();
    price.optimized_input = some();
    price.optimized_output = some();
    let mut above = 0;
    for _ in 0..rng.usize(0..3) {
        above += rng.u64(1..1500);
        let mut some = || rng.bool().then(|| PicoUsd(rng.u64(0..90_000_000)));
        price.long_context.push(LongContext {
            above_input_tokens: above,
            input: some(),
            output: some(),
            cache_read: some(),
            cache_write: some(),
            cache_write_1h: some(),
        });
    }
    price.server_tool_use = rng.bool().then(|| NanoUsd(rng.u64(0..40_000_000)));
    price.input_image = rng.bool().then(|| NanoUsd(rng.u64(0..1_000_000)));
    price
}
