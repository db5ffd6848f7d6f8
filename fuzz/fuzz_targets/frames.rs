//! Any bytes, in any cut, as the event stream of Bedrock: the same frames, bounded memory, never a panic.
#![no_main]

use std::{collections::VecDeque, sync::Arc};

use lintel::{
    call::Warnings,
    upstream::{Frame, FrameReader, converse::StreamTranslator},
};

fn read(data: &[u8], cut: usize) -> String {
    let mut reader = FrameReader::default();
    let mut translator = StreamTranslator::new(Arc::default(), Warnings::default());
    let mut chunks = VecDeque::new();
    let mut seen = String::new();
    for part in data.chunks(cut) {
        reader.push(part.to_vec().into());
        loop {
            match reader.next_frame() {
                Ok(Some(Frame::Event {
                    event_type,
                    payload,
                })) => {
                    seen += &format!(
                        "{event_type} {:?}",
                        translator.event(&event_type, &payload, &mut chunks).is_ok()
                    );
                }
                Ok(Some(other)) => seen += &format!("{other:?}"),
                Ok(None) => break,
                Err(error) => return format!("{seen}{error:?}{chunks:?}"),
            }
        }
    }
    seen += &format!("{:?}", translator.end(&mut chunks).is_ok());
    format!("{seen}{chunks:?}")
}

// The checksums of a frame are made right, so that what is behind them is reached; the first byte says how data is cut.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let cut = usize::from(*cut).max(1);
    assert_eq!(read(data, cut), read(data, usize::MAX));
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
    assert_eq!(read(&frame, cut), read(&frame, usize::MAX));
});
