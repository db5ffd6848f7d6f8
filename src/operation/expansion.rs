//! Text that becomes longer when a tokenizer normalizes it, so that its bytes do not bound its tokens.

/// Characters whose normal form C or KC has more bytes than the character: the first, the last, and the most bytes that
/// one of the range gains. Computed from Unicode 17; a test compares it with the whole of Unicode.
const GROWING: [(u32, u32, usize); 42] = [
    (0xa8, 0xbe, 3),
    (0x13f, 0x149, 1),
    (0x1c4, 0x1c6, 1),
    (0x1f1, 0x1f3, 1),
    (0x2d8, 0x2dd, 1),
    // Marks that displace another mark of the character before them, which then no longer combines with it.
    (0x31b, 0x331, 3),
    (0x344, 0x344, 2),
    (0x37a, 0x385, 3),
    (0x587, 0x587, 2),
    (0x675, 0x678, 2),
    (0x958, 0x95f, 3),
    (0x9dc, 0x9df, 3),
    (0xa33, 0xa5e, 3),
    (0xb5c, 0xb5d, 3),
    (0xe33, 0xe33, 3),
    (0xeb3, 0xedd, 3),
    (0xf43, 0xfb9, 6),
    (0x1fc1, 0x1fee, 2),
    (0x2033, 0x2057, 9),
    (0x2150, 0x2189, 3),
    (0x222c, 0x2230, 6),
    (0x2474, 0x24b5, 1),
    (0x2a0c, 0x2a0c, 9),
    (0x2adc, 0x2adc, 2),
    (0x309b, 0x309f, 3),
    (0x30ff, 0x30ff, 3),
    (0x3200, 0x3243, 5),
    (0x327c, 0x327d, 3),
    (0x32c0, 0x32cb, 2),
    (0x32ff, 0x33fe, 15),
    (0xfa6c, 0xfa6c, 1),
    (0xfacf, 0xfad7, 1),
    (0xfb13, 0xfb4f, 3),
    (0xfbdd, 0xfdfc, 30),
    (0xfe71, 0xfe7f, 1),
    (0xfef5, 0xfefc, 1),
    (0x1b123, 0x1b126, 4),
    (0x1d15e, 0x1d164, 8),
    (0x1d1bb, 0x1d1c0, 8),
    (0x1f12a, 0x1f12a, 3),
    (0x1f200, 0x1f201, 2),
    (0x1f240, 0x1f248, 5),
];

/// The bytes of an escape such as `\u00a8`.
const ESCAPE: usize = 6;

/// Returns the most bytes that the text in a JSON body gains over the body's own bytes when it is normalized.
pub fn of_body(body: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(body) else {
        // The parser rejects such a body.
        return 0;
    };
    of_text(text) + text.split("\\u").skip(1).map(escaped_growth).sum::<usize>()
}

/// Returns the most bytes that `text` gains when it is normalized.
pub fn of_text(text: &str) -> usize {
    match text.is_ascii() {
        true => 0,
        false => text.chars().map(|c| growth(u32::from(c))).sum(),
    }
}

/// Returns the growth of the escaped character whose digits begin `rest`, less what its escape is longer than itself.
/// A surrogate counts nothing: the escapes of its pair have more bytes than any normal form of their character.
fn escaped_growth(rest: &str) -> usize {
    let code = rest
        .get(..4)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(c) = code.and_then(char::from_u32) else {
        return 0;
    };
    (c.len_utf8() + growth(u32::from(c))).saturating_sub(ESCAPE)
}

fn growth(code: u32) -> usize {
    let after = GROWING.partition_point(|(first, ..)| *first <= code);
    let range = after.checked_sub(1).map(|at| GROWING[at]);
    range.map_or(0, |(_, last, bytes)| if code <= last { bytes } else { 0 })
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    #[test]
    fn every_character_of_unicode_is_bounded_plain_and_escaped() {
        let mut beyond = Vec::new();
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let normal = c.nfc().map(char::len_utf8).sum::<usize>();
            let normal = normal.max(c.nfkc().map(char::len_utf8).sum());
            let bound = |text: &str| text.len() + of_body(text.as_bytes());
            if normal > bound(&c.to_string()) {
                beyond.push(format!("{:x}", u32::from(c)));
            }
            let mut units = [0; 2];
            let escaped: String = c
                .encode_utf16(&mut units)
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect();
            if normal > bound(&escaped) {
                beyond.push(escaped);
            }
        }
        assert!(beyond.is_empty(), "{beyond:?}");
        assert_eq!(of_body(b"{\"plain\": \"text\"}"), 0);
    }

    /// Each of them alone keeps its length, but together they grew from four bytes to five.
    #[test]
    fn marks_that_displace_another_mark_are_bounded() {
        let mut beyond = Vec::new();
        let marks = (0x300..0x370).filter_map(char::from_u32);
        for base in (0xc0..0x2000).filter_map(char::from_u32) {
            for mark in marks.clone() {
                let text = String::from_iter([base, mark]);
                let normal = text.nfc().map(char::len_utf8).sum::<usize>();
                let normal = normal.max(text.nfkc().map(char::len_utf8).sum());
                if normal > text.len() + of_text(&text) {
                    beyond.push(text);
                }
            }
        }
        assert!(beyond.is_empty(), "{beyond:?}");
    }
}
