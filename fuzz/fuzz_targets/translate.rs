//! Translates arbitrary chat requests. Every request that the gateway accepts must become a Converse request that the
//! service model allows.
#![no_main]

use lintel::{
    call::{Caller, Warnings},
    catalogue, edge,
    model::Target,
    simulator,
    upstream::converse::{self, Context},
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let warnings = Warnings::default();
    let Ok(request) = edge::chat_request(data, &warnings) else {
        return;
    };
    // The length of the input selects the model, so that the fuzzer covers all families.
    let id = catalogue::ids()
        .nth(data.len() % catalogue::ids().count())
        .unwrap();
    let model = catalogue::model("m", Target::new(id, "us-east-1"));
    let caller = Caller::default();
    let cx = Context {
        model: &model,
        caller: &caller,
        warnings: &warnings,
        messages: &request.messages,
        extras: Default::default(),
    };
    let Ok(converse) = converse::chat_request(&request, &cx) else {
        return;
    };
    let bytes = serde_json::to_vec(&converse.request).unwrap();
    // The client's JSON is passed on as raw text. It may be valid but not representable as a `Value` (lone surrogates);
    // Bedrock rejects such requests itself.
    if serde_json::from_slice::<serde_json::Value>(&bytes).is_err() {
        return;
    }
    if let Err(error) = simulator::validate(id, &bytes, false) {
        panic!("{error:?}: {}", String::from_utf8_lossy(&bytes));
    }
});
