use super::*;

const TEXT: ReplySize = ReplySize {
    reply_bytes: 40,
    reasoning_bytes: 0,
    is_blocked: false,
};

const ESTIMATE: Estimate = Estimate {
    input: 25,
    output: 10,
};

fn counts(input: i64, output: i64, read: i64, write: i64) -> TokenUsage {
    TokenUsage {
        input_tokens: input,
        output_tokens: output,
        cache_read_input_tokens: Some(read),
        cache_write_input_tokens: Some(write),
        ..TokenUsage::default()
    }
}

fn booked(reported: &Reported, size: ReplySize) -> (u64, u64, u64, u64, bool) {
    let usage = reported.usage(None, size, ESTIMATE);
    let Usage {
        input,
        output,
        cache_read,
        cache_write,
        estimated,
        ..
    } = usage;
    (input, output, cache_read, cache_write, estimated)
}

#[test]
fn impossible_counts_are_estimated_and_never_less_than_reported() {
    for (reported, expected) in [
        (counts(7, 20, 0, 0), (7, 20, 0, 0, false)),
        (counts(0, 20, 7, 0), (0, 20, 7, 0, false)),
        (counts(0, 0, 0, 0), (25, 10, 0, 0, true)),
        (counts(7, 0, 0, 0), (25, 10, 0, 0, true)),
        (counts(0, 20, 0, 0), (25, 20, 0, 0, true)),
        (counts(-5, -7, 0, 0), (25, 10, 0, 0, true)),
        (counts(70, -7, 0, 0), (70, 10, 0, 0, true)),
        (counts(70, 0, 20, 10), (70, 10, 20, 10, true)),
        (counts(7, 0, 6, 0), (19, 10, 6, 0, true)),
        // A prompt of 7 tokens, of which -1000 or 1000 were cached.
        (counts(1007, 20, -1000, 0), (25, 20, 0, 0, true)),
        (counts(-993, 20, 1000, 0), (25, 20, 0, 0, true)),
        (counts(i64::MAX, 20, 0, 0), (25, 10, 0, 0, true)),
        (counts(i64::MIN, i64::MIN, -1, -1), (25, 10, 0, 0, true)),
    ] {
        let shown = format!("{reported:?}");
        let reported = Reported::from(Some(reported));
        assert_eq!(booked(&reported, TEXT), expected, "{shown}");
    }
    assert_eq!(booked(&Reported::from(None), TEXT), (25, 10, 0, 0, true));
}

#[test]
fn zero_is_actual_where_nothing_was_written_or_a_guardrail_blocked() {
    let empty = ReplySize::default();
    let reported = Reported::from(Some(counts(7, 0, 0, 0)));
    assert_eq!(booked(&reported, empty), (7, 0, 0, 0, false));
    let blocked = ReplySize {
        is_blocked: true,
        ..TEXT
    };
    let reported = Reported::from(Some(counts(0, 0, 0, 0)));
    assert_eq!(booked(&reported, blocked), (0, 0, 0, 0, false));
    assert!(booked(&reported, empty).4, "a model reads something");
}

#[test]
fn counts_before_the_end_are_a_lower_bound() {
    let mut reported = Reported::default();
    reported.add(counts(70, 15, 0, 0), false);
    assert_eq!(booked(&reported, TEXT), (70, 15, 0, 0, true));
    reported.add(counts(0, 0, 0, 0), true);
    assert_eq!(booked(&reported, TEXT), (70, 15, 0, 0, true));
    reported.add(counts(70, 12, 0, 0), true);
    assert_eq!(booked(&reported, TEXT), (70, 12, 0, 0, false));
    reported.outdate();
    assert_eq!(booked(&reported, TEXT), (70, 15, 0, 0, true));
}

#[test]
fn reasoning_is_not_more_than_the_output() {
    let reported = Reported::from(Some(counts(7, 20, 0, 0)));
    let usage = reported.usage(Some(20), TEXT, ESTIMATE);
    assert_eq!((usage.output, usage.estimated), (20, false));
    let usage = reported.usage(Some(500), TEXT, ESTIMATE);
    assert_eq!((usage.output, usage.estimated), (500, true));
}
