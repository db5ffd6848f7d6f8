//! Videos as small as they can be.

use base64::{Engine, engine::general_purpose::STANDARD};

/// A data URL of an MP4 with nothing but its movie header.
pub fn video(seconds: u32) -> String {
    let mut header = vec![0; 108];
    header[20..24].copy_from_slice(&1u32.to_be_bytes());
    header[24..28].copy_from_slice(&seconds.to_be_bytes());
    header[..8].copy_from_slice(b"\0\0\0\x6cmvhd");
    let kind = b"\0\0\0\x10ftypisom\0\0\0\0";
    let file = [kind, b"\0\0\0\x74moov".as_slice(), &header].concat();
    format!("data:video/mp4;base64,{}", STANDARD.encode(file))
}
