//! Whatever is accepted as a chat request becomes something that Bedrock's service model allows.
#![no_main]

use lintel::{
    call::{Model, Notes, Target},
    edge, simulator, translate,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let notes = Notes::default();
    let Ok(request) = edge::chat_request(data, &notes) else { return };
    let model = Model::new("m", Target::new("amazon.nova-lite-v1:0", "us-east-1"));
    let Ok(converse) = translate::chat_request(&request, &model, &notes) else { return };
    let bytes = serde_json::to_vec(&converse).unwrap();
    // Client JSON travels as raw text: what serde_json cannot hold as a value (lone surrogates), Bedrock refuses.
    let Ok(value) = serde_json::from_slice(&bytes) else { return };
    if let Err(error) = simulator::validate(&value, false) {
        panic!("{error:?}: {}", String::from_utf8_lossy(&bytes));
    }
});
