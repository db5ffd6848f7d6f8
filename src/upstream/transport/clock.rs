//! Differences between the clock of this machine and the clock of AWS, which rejects signatures of another time.

use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::date_time::{DateTime, Format};
use jiff::{civil, tz::TimeZone};

/// The header with the time of a signature.
pub const SIGNED_AT: &str = "x-amz-date";

/// AWS allows five minutes. A smaller difference is not why it rejects a signature.
const TOLERATED: Duration = Duration::from_secs(240);

/// Returns the time of the service, if `reply` rejects a request and that time differs from `signed_at`, the value of
/// [`SIGNED_AT`], by too much.
pub fn skew(signed_at: &str, reply: &HttpResponse) -> Option<SystemTime> {
    // A reply with an age comes from a cache, and its date is old.
    if !reply.status().is_client_error() || reply.headers().get("age").is_some() {
        return None;
    }
    let signed_at = civil::DateTime::strptime("%Y%m%dT%H%M%SZ", signed_at).ok()?;
    let signed_at: SystemTime = signed_at.to_zoned(TimeZone::UTC).ok()?.timestamp().into();
    let date = DateTime::from_str(reply.headers().get("date")?, Format::HttpDate).ok()?;
    let date = SystemTime::try_from(date).ok()?;
    let difference = date
        .duration_since(signed_at)
        .unwrap_or_else(|ahead| ahead.duration());
    (difference > TOLERATED).then_some(date)
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn only_a_rejection_by_a_clock_that_differs_is_a_skew() {
        let is_skewed = |status: u16, headers: &[(&'static str, &'static str)]| {
            let status = status.try_into().unwrap();
            let mut reply = HttpResponse::new(status, SdkBody::empty());
            for (name, value) in headers {
                reply.headers_mut().insert(*name, *value);
            }
            skew("20261122T130000Z", &reply).is_some()
        };
        let late = ("date", "Sun, 22 Nov 2026 13:10:00 GMT");
        let early = ("date", "Sun, 22 Nov 2026 12:50:00 GMT");
        assert!(is_skewed(403, &[late]) && is_skewed(403, &[early]));
        assert!(!is_skewed(200, &[late]));
        assert!(!is_skewed(403, &[late, ("age", "600")]));
        assert!(!is_skewed(
            403,
            &[("date", "Sun, 22 Nov 2026 13:03:00 GMT")]
        ));
        assert!(!is_skewed(403, &[]) && !is_skewed(403, &[("date", "now")]));
    }
}
