//! The windows of budgets: calendar periods in a time zone, as instants.

use jiff::{Timestamp, ToSpan, Zoned, tz::TimeZone};

use crate::money::Per;

/// One period of a budget, in Unix seconds. The end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: i64,
    pub end: i64,
}

impl Window {
    /// Returns the period around `at`. A local day is one period, even if it has 23 or 25 hours.
    pub fn around(per: Per, timezone: &TimeZone, at: Timestamp) -> Self {
        // jiff's calendar ends in the year 9999. After that, a window of an hour is good enough.
        calendar(per, &at.to_zoned(timezone.clone())).unwrap_or_else(|_| hour(at, 0))
    }

    pub fn contains(&self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at.as_second())
    }
}

fn calendar(per: Per, at: &Zoned) -> Result<Window, jiff::Error> {
    let day = at.start_of_day()?;
    let (start, end) = match per {
        Per::Hour => return Ok(hour(at.timestamp(), at.offset().seconds().into())),
        Per::Day => (day.clone(), day.checked_add(1.day())?),
        Per::Week => {
            let monday = day.checked_sub(i64::from(at.weekday().to_monday_zero_offset()).days())?;
            (monday.clone(), monday.checked_add(7.days())?)
        }
        Per::Month => {
            let first = day.first_of_month()?;
            (first.clone(), first.checked_add(1.month())?)
        }
    };
    // Midnight does not exist on a day whose clocks are set forward at midnight.
    let (start, end) = (start.start_of_day()?, end.start_of_day()?);
    Ok(Window {
        start: start.timestamp().as_second(),
        end: end.timestamp().as_second(),
    })
}

/// `offset` is in seconds. It matters because some zones start their hours at half past UTC's.
fn hour(at: Timestamp, offset: i64) -> Window {
    let start = (at.as_second() + offset).div_euclid(3600) * 3600 - offset;
    Window {
        start,
        end: start + 3600,
    }
}

#[cfg(test)]
mod tests;
