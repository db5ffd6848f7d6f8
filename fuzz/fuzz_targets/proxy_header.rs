//! Reads arbitrary bytes as the beginning of a connection, as they arrive one by one. The header of the PROXY protocol must
//! be recognized with its last byte, and nothing that follows may change the result.
#![no_main]

use lintel::server::opening::{Header, header};

/// More than the longest header.
const MAX_LEN: usize = 4200;

fn read(bytes: &[u8]) -> Result<Header, String> {
    header(bytes).map_err(|error| error.to_string())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(MAX_LEN)];
    let whole = read(data);
    let mut is_decided = false;
    for length in 0..=data.len() {
        let found = read(&data[..length]);
        if found == Ok(Header::Incomplete) {
            assert!(!is_decided, "undecided again at {length}");
            continue;
        }
        assert_eq!(found, whole, "{length}");
        if let (Ok(Header::Present(end, _)), false) = (&found, is_decided) {
            assert_eq!(*end, length, "recognized too late");
        }
        is_decided = true;
    }
    // The address is where the header has it.
    if let Ok(Header::Present(end, Some(client))) = whole {
        let source = match std::str::from_utf8(&data[..end]) {
            Ok(line) if line.starts_with("PROXY ") => {
                let words: Vec<&str> = line.split(' ').collect();
                (words[2].parse().unwrap(), words[4].parse().unwrap())
            }
            _ if client.is_ipv4() => (
                <[u8; 4]>::try_from(&data[16..20]).unwrap().into(),
                u16::from_be_bytes([data[24], data[25]]),
            ),
            _ => (
                <[u8; 16]>::try_from(&data[16..32]).unwrap().into(),
                u16::from_be_bytes([data[48], data[49]]),
            ),
        };
        assert_eq!((client.ip(), client.port()), source);
    }
});
