//! The stop sequences of a request.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use super::capped;

/// Maximum number of stop sequences, OpenAI's limit.
const MAX_STOPS: usize = 4;

/// Maximum length of a stop sequence, in bytes. Bounds the text that is held back while it may be the start of a sequence.
const MAX_BYTES: usize = 1024;

/// `stop`: a string, or a list of up to four strings.
#[derive(Clone, Debug)]
pub struct Stop(pub Vec<String>);

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Stop;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Stop, E> {
                checked(vec![text.to_owned()])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, sequences: A) -> Result<Stop, A::Error> {
                checked(capped::items(sequences, MAX_STOPS)?)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

fn checked<E: Error>(sequences: Vec<String>) -> Result<Stop, E> {
    match sequences.iter().all(|sequence| sequence.len() <= MAX_BYTES) {
        true => Ok(Stop(sequences)),
        false => Err(E::custom(format!(
            "{}sequences of at most {MAX_BYTES} bytes",
            capped::ERROR
        ))),
    }
}
