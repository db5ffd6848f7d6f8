use proptest::prelude::*;

use super::*;

/// The parts that are judged, if nothing is masked, and what is released of each.
fn parts(mut text: &str, length: PartLength) -> Vec<(&str, &str)> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let part = cut(text, length).unwrap_or_else(|| Cut::last(text));
        parts.push((&text[..part.end], &text[..part.tail]));
        text = &text[part.tail..];
    }
    parts
}

#[test]
fn a_part_ends_at_a_sentence_or_else_at_a_word() {
    let length = PartLength {
        min: 4,
        max: 10,
        overlap: 0,
    };
    let end = |text: &'static str| cut(text, length).map(|cut| &text[..cut.end]);
    assert_eq!(end("One two. A"), Some("One two."));
    assert_eq!(end("One two an"), Some("One two"));
    assert_eq!(end("Onetwothree"), Some("Onetwothre"));
    assert_eq!(end("One\ntwo\nth"), Some("One\ntwo\n"));
    assert_eq!(end("One two a"), None, "shorter than a part");
    // Was cut within a word, because no white space follows.
    assert_eq!(end("漢字漢字漢字。漢字漢字"), Some("漢字漢字漢字。"));
    assert_eq!(end("漢字漢字漢字，漢字漢字"), Some("漢字漢字漢字，"));
}

#[test]
fn a_tail_begins_at_a_word_if_one_is_near() {
    let length = PartLength {
        min: 30,
        max: 40,
        overlap: 20,
    };
    let tail = |text: &'static str| cut(text, length).map(|cut| &text[cut.tail..cut.end]);
    let text = "One grape two three four five six sev end";
    assert_eq!(tail(text), Some("four five six sev"));
    let text = "0123456789012345678901234567890123456789";
    assert_eq!(tail(text), Some("01234567890123456789"));
}

#[test]
fn an_answer_has_the_most_units_in_windows() {
    for tokens in (0..2000).chain([10_000, 128_000]) {
        let chars = answer_chars(tokens);
        let each = NanoUsd(1_000_000);
        let linear = each + per_output_token(each).times(tokens);
        for length in [WINDOW, ANSWER] {
            let units = most_units(chars, length);
            assert!(units * each.0 <= linear.0, "{tokens} {length:?}");
            assert!(most_parts(chars, length) <= units, "{tokens} {length:?}");
        }
    }
}

proptest! {
    #[test]
    fn parts_lose_nothing_and_cost_no_more_than_their_bound(
        text in "[a-z漢é。 .\n]{0,3000}", min in 100usize..900, share in 1usize..8,
    ) {
        let length = PartLength { min, max: 1000, overlap: min * share / 10 };
        let parts = parts(&text, length);
        let released: String = parts.iter().map(|(_, released)| *released).collect();
        prop_assert_eq!(released, text.as_str());
        let (_, cut) = parts.split_last().unwrap_or((&("", ""), &[]));
        for (part, released) in cut {
            prop_assert!((min..=1000).contains(&part.chars().count()));
            let tail = part.chars().count() - released.chars().count();
            prop_assert!(tail <= length.overlap && tail + length.overlap / 4 >= length.overlap);
        }
        let billed: u64 = parts.iter().map(|(part, _)| units(part)).sum();
        let chars = text.chars().count() as u64;
        prop_assert!(billed <= most_units(chars, length));
        prop_assert!(parts.len() as u64 <= most_parts(chars, length));
    }
}
