//! Properties of translation and of the frame reader.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use lintel::{
    bedrock::{Frame, FrameReader},
    call::{Chunk, Notes},
    simulator::{encode_event, encode_exception},
    translate::{ReplyPlan, StreamTranslator},
};
use proptest::prelude::*;
use serde_json::json;

/// Everything that a reader makes of the bytes, cut at `cuts`.
fn frames(bytes: &Bytes, cuts: &[usize]) -> Vec<Result<Frame, lintel::bedrock::FrameError>> {
    let mut reader = FrameReader::default();
    let mut seen = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    cuts.sort_unstable();
    for cut in cuts {
        reader.push(bytes.slice(at..cut));
        at = cut;
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => seen.push(Ok(frame)),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Err(error));
                    return seen;
                }
            }
        }
    }
    seen
}

proptest! {
    /// Any chunking of a stream gives the same frames.
    #[test]
    fn frames_do_not_depend_on_the_cut(texts in prop::collection::vec(".{0,40}", 1..8), cuts in prop::collection::vec(any::<usize>(), 0..20)) {
        let mut bytes = Vec::new();
        for text in &texts {
            let payload = json!({"contentBlockIndex": 0, "delta": {"text": text}}).to_string();
            bytes.extend_from_slice(&encode_event("contentBlockDelta", &payload));
        }
        bytes.extend_from_slice(&encode_exception("throttlingException", "{}"));
        let bytes = Bytes::from(bytes);
        let expected = frames(&bytes, &[]);
        prop_assert_eq!(expected.len(), texts.len() + 1);
        prop_assert_eq!(frames(&bytes, &cuts), expected);
    }

    /// Damage is found, or changes nothing that is read: it never gives another text.
    #[test]
    fn a_damaged_byte_never_passes(text in "[a-z ]{1,40}", at in any::<usize>(), bit in 0u8..8) {
        let payload = json!({"contentBlockIndex": 0, "delta": {"text": text}}).to_string();
        let mut bytes = encode_event("contentBlockDelta", &payload).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let seen = frames(&Bytes::from(bytes), &[]);
        prop_assert!(seen.is_empty() || seen[0].is_err(), "{:?}", seen);
    }

    /// Fragments of arguments join to what the model wrote, and indexes are dense, however blocks interleave.
    #[test]
    fn arguments_join_again(calls in prop::collection::vec(prop::collection::vec("[a-z\"{}:, ]{0,6}", 0..5), 1..5), order in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let mut translator = StreamTranslator::new(Arc::new(ReplyPlan::default()), Notes::default());
        let mut out = VecDeque::new();
        let mut event = |kind: &str, payload: serde_json::Value| translator.event(kind, payload.to_string().as_bytes(), &mut out).unwrap();
        for index in 0..calls.len() {
            let id = format!("id{index}");
            // Blocks of text lie between, so that block indexes are not call indexes.
            event("contentBlockStart", json!({"contentBlockIndex": index * 3 + 1, "start": {"toolUse": {"toolUseId": id, "name": "f"}}}));
        }
        let mut left: Vec<VecDeque<&String>> = calls.iter().map(|fragments| fragments.iter().collect()).collect();
        let picks = order.iter().map(|pick| pick.index(calls.len())).chain((0..calls.len()).flat_map(|call| std::iter::repeat_n(call, 5)));
        for call in picks {
            if let Some(fragment) = left[call].pop_front() {
                event("contentBlockDelta", json!({"contentBlockIndex": call * 3 + 1, "delta": {"toolUse": {"input": fragment}}}));
            }
        }
        for index in 0..calls.len() {
            event("contentBlockStop", json!({"contentBlockIndex": index * 3 + 1}));
        }
        event("messageStop", json!({"stopReason": "tool_use"}));
        let mut joined = vec![String::new(); calls.len()];
        for chunk in &out {
            if let Chunk::ToolArguments { index, fragment } = chunk {
                joined[*index as usize].push_str(fragment);
            }
        }
        for (call, joined) in calls.iter().zip(joined) {
            let written = call.concat();
            prop_assert_eq!(joined, if written.is_empty() { "{}".to_owned() } else { written });
        }
    }
}

/// A prelude is believed only if its checksum is right, and never for more than the protocol's cap.
#[test]
fn absurd_lengths_are_refused_before_anything_is_buffered() {
    for total in [0u32, 15, (24 << 20) + 1, u32::MAX] {
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend(0u32.to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let mut reader = FrameReader::default();
        reader.push(Bytes::from(bytes));
        assert_eq!(reader.next_frame(), Err(lintel::bedrock::FrameError::Length), "{total}");
    }
}
