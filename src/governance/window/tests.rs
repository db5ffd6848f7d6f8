use super::*;

/// Returns the start and the end of the period around `at`, in UTC.
fn around(per: Per, zone: &str, at: &str) -> String {
    let zone = TimeZone::get(zone).unwrap();
    let at: Timestamp = at.parse().unwrap();
    let window = Window::around(per, &zone, at);
    assert!(window.contains(at), "{window:?}");
    let text = |seconds| Timestamp::from_second(seconds).unwrap().to_string();
    // The next window starts where this one ends.
    let next = Window::around(per, &zone, Timestamp::from_second(window.end).unwrap());
    assert_eq!(next.start, window.end);
    format!("{} {}", text(window.start), text(window.end))
}

#[test]
fn windows_follow_the_calendar_of_the_time_zone() {
    for (per, zone, at, expected) in [
        (
            Per::Hour,
            "UTC",
            "2026-03-01T23:59:59Z",
            "2026-03-01T23:00:00Z 2026-03-02T00:00:00Z",
        ),
        (
            Per::Hour,
            "Asia/Kolkata",
            "2026-03-01T20:39:00Z",
            "2026-03-01T20:30:00Z 2026-03-01T21:30:00Z",
        ),
        (
            Per::Day,
            "UTC",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:00Z 2026-03-02T00:00:00Z",
        ),
        (
            Per::Day,
            "Asia/Kolkata",
            "2026-03-01T18:29:59Z",
            "2026-02-28T18:30:00Z 2026-03-01T18:30:00Z",
        ),
        (
            Per::Day,
            "Asia/Kolkata",
            "2026-03-01T18:30:00Z",
            "2026-03-01T18:30:00Z 2026-03-02T18:30:00Z",
        ),
        (
            Per::Week,
            "UTC",
            "2026-03-01T12:00:00Z",
            "2026-02-23T00:00:00Z 2026-03-02T00:00:00Z",
        ),
        (
            Per::Week,
            "UTC",
            "2026-01-01T00:00:00Z",
            "2025-12-29T00:00:00Z 2026-01-05T00:00:00Z",
        ),
        (
            Per::Month,
            "UTC",
            "2024-02-29T10:00:00Z",
            "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z",
        ),
        (
            Per::Month,
            "UTC",
            "2025-12-31T23:59:59Z",
            "2025-12-01T00:00:00Z 2026-01-01T00:00:00Z",
        ),
        (
            Per::Month,
            "America/New_York",
            "2026-02-01T04:59:59Z",
            "2026-01-01T05:00:00Z 2026-02-01T05:00:00Z",
        ),
        // Clocks change within this month.
        (
            Per::Month,
            "Europe/Berlin",
            "2026-03-31T21:59:59Z",
            "2026-02-28T23:00:00Z 2026-03-31T22:00:00Z",
        ),
    ] {
        assert_eq!(around(per, zone, at), expected, "{per:?} {zone} {at}");
    }
}

#[test]
fn a_day_of_23_or_25_hours_is_one_window() {
    // In spring the day has 23 hours and skips 02:30. In autumn it has 25 hours and repeats 02:30.
    let spring = "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z";
    for at in [
        "2026-03-28T23:00:00Z",
        "2026-03-29T00:30:00Z",
        "2026-03-29T01:30:00Z",
        "2026-03-29T21:59:59Z",
    ] {
        assert_eq!(around(Per::Day, "Europe/Berlin", at), spring, "{at}");
    }
    let autumn = "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z";
    for at in [
        "2026-10-24T22:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T22:59:59Z",
    ] {
        assert_eq!(around(Per::Day, "Europe/Berlin", at), autumn, "{at}");
    }
    // In Cairo clocks go forward at midnight, so the day starts at one.
    let cairo = "2026-04-23T22:00:00Z 2026-04-24T21:00:00Z";
    assert_eq!(
        around(Per::Day, "Africa/Cairo", "2026-04-24T12:00:00Z"),
        cairo
    );
}
