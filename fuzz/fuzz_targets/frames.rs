//! Decodes arbitrary bytes as a Bedrock event stream. The result must not depend on how the bytes are split, and nothing
//! may panic.
#![no_main]

use std::{collections::VecDeque, sync::Arc};

use lintel::{
    call::Warnings,
    upstream::{Frame, FrameReader, converse::StreamTranslator},
};

fn read(data: &[u8], piece_len: usize) -> String {
    let mut reader = FrameReader::default();
    let mut translator = StreamTranslator::new(Arc::default(), Warnings::default());
    let mut chunks = VecDeque::new();
    let mut results = String::new();
    for part in data.chunks(piece_len) {
        reader.push(part.to_vec().into());
        loop {
            match reader.next_frame() {
                Ok(Some(Frame::Event {
                    event_type,
                    payload,
                })) => {
                    results += &format!(
                        "{event_type} {:?}",
                        translator.event(&event_type, &payload, &mut chunks).is_ok()
                    );
                }
                Ok(Some(other)) => results += &format!("{other:?}"),
                Ok(None) => break,
                Err(error) => return format!("{results}{error:?}{chunks:?}"),
            }
        }
    }
    results += &format!("{:?}", translator.end(&mut chunks).is_ok());
    format!("{results}{chunks:?}")
}

// Besides the raw input, decodes a frame with valid checksums around it, because random bytes rarely pass the CRC check.
// The first byte is the length of the pieces.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((piece_len, data)) = data.split_first() else {
        return;
    };
    let piece_len = usize::from(*piece_len).max(1);
    assert_eq!(read(data, piece_len), read(data, usize::MAX));
    let (headers, payload) = data.split_at(data.len() / 3);
    let mut frame = Vec::new();
    frame.extend((16 + data.len() as u32).to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    let events = [
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ];
    let text = String::from_utf8_lossy(data);
    for event in events {
        frame.extend(lintel::simulator::encode_event(event, &text));
    }
    assert_eq!(read(&frame, piece_len), read(&frame, usize::MAX));
});
