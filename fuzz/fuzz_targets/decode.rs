//! Decodes arbitrary bytes as the body of a chat request. It must return a request or an error with a message and a
//! code, and must not panic.
#![no_main]

use lintel::{call::Warnings, edge::chat_request};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(error) = chat_request(data, &Warnings::default()) {
        assert!(!error.message().is_empty() && error.code().is_some());
    }
});
