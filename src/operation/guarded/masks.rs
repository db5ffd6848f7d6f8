//! Aligns a text with masks to its original.

/// The characters that must agree before two texts count as the same again behind a mask.
const SAME: usize = 8;

/// The longest mask, in bytes. Behind a longer one, nothing is found again.
const MAX_MASK: usize = 400;

/// Returns how much of a part may be released, in bytes of the original and of its masked version: all that precedes
/// the tail. A mask that begins before the tail is released completely, so that nothing masked is judged again.
pub fn released(part: &str, masked: &str, tail: usize) -> (usize, usize) {
    let (mut at, mut to) = (0, 0);
    loop {
        if at >= tail {
            return (at, to);
        }
        let same = common(&part[at..], &masked[to..]);
        if at + same >= tail {
            return (tail, to + tail - at);
        }
        let (skipped, mask) = mask(&part[at + same..], &masked[to + same..]);
        at += same + skipped;
        to += same + mask;
    }
}

/// The bytes that two texts have in common at their start.
fn common(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// Returns the bytes of the original that a mask at its start covers, and the bytes of the mask. Several masks close to
/// each other count as one.
fn mask(original: &str, masked: &str) -> (usize, usize) {
    let mut best = (original.len(), masked.len());
    for (at, _) in masked.char_indices() {
        if at > MAX_MASK || at >= best.0 + best.1 {
            break;
        }
        let rest = &masked[at..];
        let found = match rest.char_indices().nth(SAME) {
            Some((end, _)) => original.find(&rest[..end]),
            // Only the end of the text is as short.
            None => original.strip_suffix(rest).map(str::len),
        };
        if let Some(found) = found.filter(|found| found + at < best.0 + best.1) {
            best = (found, at);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits both texts where [`released`] does.
    fn split<'a>(part: &'a str, masked: &'a str, tail: &str) -> (&'a str, &'a str) {
        let (at, to) = released(part, masked, part.find(tail).unwrap());
        (&masked[..to], &part[at..])
    }

    #[test]
    fn a_mask_before_the_tail_is_released_and_one_in_the_tail_is_judged_again() {
        let part = "My name is Ann Smith and my number is 123 456, they say: 12";
        let masked = "My name is {NAME} and my number is {PHONE}, they say: {AGE}";
        let released = |tail| split(part, masked, tail);
        assert_eq!(
            released("they say"),
            (
                "My name is {NAME} and my number is {PHONE}, ",
                "they say: 12"
            )
        );
        assert_eq!(
            released("456"),
            (
                "My name is {NAME} and my number is {PHONE}",
                ", they say: 12"
            ),
            "the tail begins in a mask"
        );
        assert_eq!(
            released("name is").0,
            "My ",
            "masks in the tail are found again"
        );
    }

    #[test]
    fn a_mask_from_before_the_tail_to_the_end_leaves_no_tail() {
        assert_eq!(split("a 1234 5678", "a {CARD}", "5678"), ("a {CARD}", ""));
        assert_eq!(
            split("1 2 3 4", "{X} {X} {X} {X}", "4"),
            ("{X} {X} {X} {X}", "")
        );
        assert_eq!(split("1234.", "{CARD}.", "34."), ("{CARD}", "."));
    }

    #[test]
    fn a_text_that_is_only_longer_or_shorter_is_released_completely() {
        assert_eq!(split("abc", "", "c"), ("", ""));
        assert_eq!(split("漢字漢字", "漢{X}", "字漢字"), ("漢", "字漢字"));
    }
}
