//! What an error says about the next attempt: when to retry, whether another region may help, and whether the target works.

use std::time::Duration;

use super::breaker::Evidence;
use crate::{
    error::{Error, Kind, RetryAdvice},
    model::RetryPolicy,
};

/// Factor applied to the backoff while Bedrock loads a model.
const SLOW_BACKOFF_FACTOR: u32 = 10;

/// The codes of failures that belong to one region or account although a retry there cannot help.
const OF_ONE_REGION: [&str; 5] = [
    "credentials_unavailable",
    "model_not_found",
    "model_end_of_life",
    "upstream_access_denied",
    "upstream_untrusted",
];

/// Reports whether another region may answer what this one did not.
pub fn moves(error: &Error) -> bool {
    match error.retry_advice() {
        // The credentials are the same there.
        RetryAdvice::Refreshed => false,
        RetryAdvice::Never => match error.kind() {
            Kind::UpstreamQuota | Kind::UpstreamTimeout => true,
            Kind::NotFound | Kind::Upstream | Kind::UpstreamUnavailable => error
                .code()
                .is_some_and(|code| OF_ONE_REGION.contains(&code)),
            _ => false,
        },
        RetryAdvice::Once | RetryAdvice::Often | RetryAdvice::Slowly => true,
    }
}

/// Reports whether the target has no room at the moment.
pub fn is_busy(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::UpstreamThrottle | Kind::UpstreamQuota | Kind::Overloaded
    )
}

/// The codes of failures without an answer.
const SILENT: [&str; 5] = [
    "connect_timeout",
    "first_token_timeout",
    "upstream_idle",
    "upstream_timeout",
    "upstream_unreachable",
];

/// Returns what `error` proves about the target, if anything.
pub fn evidence(error: &Error) -> Option<Evidence> {
    let is_silent = error.code().is_some_and(|code| SILENT.contains(&code));
    let fails = match is_silent {
        true => Evidence::Silent,
        false => Evidence::Fails,
    };
    match error.kind() {
        // The gateway's own.
        Kind::Internal | Kind::RequestTimeout => None,
        Kind::UpstreamUnavailable if error.code() == Some("credentials_unavailable") => None,
        // A model that is loaded is no failure of the service.
        Kind::UpstreamUnavailable if error.retry_advice() == RetryAdvice::Slowly => {
            Some(Evidence::Works)
        }
        Kind::Upstream if error.code() == Some("upstream_untrusted") => Some(fails),
        // The request of one client may be the cause, which must not affect others.
        Kind::Upstream if error.code() == Some("model_error") => None,
        Kind::Upstream if error.retry_advice() == RetryAdvice::Never => Some(Evidence::Works),
        Kind::Upstream if error.retry_advice() == RetryAdvice::Refreshed => None,
        Kind::Upstream | Kind::UpstreamUnavailable | Kind::UpstreamTimeout => Some(fails),
        _ => Some(Evidence::Works),
    }
}

/// Returns the backoff after `made` attempts, or `None` if there must be no other. Full jitter keeps
/// requests that failed together from being retried together.
pub fn pause(advice: RetryAdvice, made: u32, policy: RetryPolicy) -> Option<Duration> {
    let (attempts, factor) = match advice {
        RetryAdvice::Never => return None,
        RetryAdvice::Once | RetryAdvice::Refreshed => (policy.attempts.min(2), 1),
        RetryAdvice::Often => (policy.attempts, 1),
        RetryAdvice::Slowly => (policy.attempts, SLOW_BACKOFF_FACTOR),
    };
    if made >= attempts {
        return None;
    }
    let longest = (policy.base * factor * 2u32.saturating_pow(made - 1)).min(policy.cap);
    Some(longest.mul_f64(fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_up_to_its_cap_and_the_attempt_limit() {
        use RetryAdvice::{Never, Often, Once, Slowly};
        let policy = RetryPolicy {
            attempts: 4,
            ..RetryPolicy::default()
        };
        assert_eq!(pause(Never, 1, policy), None);
        assert!(pause(Once, 1, policy).is_some() && pause(Once, 2, policy).is_none());
        for (advice, made, longest) in [(Often, 1, 100), (Often, 3, 400), (Slowly, 3, 4000)] {
            let pause = pause(advice, made, policy).unwrap();
            assert!(pause <= Duration::from_millis(longest), "{advice:?} {made}");
        }
        assert_eq!(pause(Often, 4, policy), None);
        let one = RetryPolicy {
            attempts: 1,
            ..policy
        };
        assert_eq!(pause(Often, 1, one), None, "`attempts` includes the first");
        let huge = RetryPolicy {
            attempts: 10,
            base: policy.cap,
            cap: policy.cap,
        };
        assert!(pause(Slowly, 9, huge).unwrap() <= policy.cap);
    }

    #[test]
    fn failures_of_a_region_move_and_those_of_a_request_do_not() {
        use crate::upstream::failure::{access_denied, from_name, throttled};
        let named = |name: &str| from_name(name, None, &Default::default());
        let works = Some(Evidence::Works);
        let fails = Some(Evidence::Fails);
        for (error, moves_on, proves) in [
            (throttled("this model", &Default::default()), true, works),
            (named("ServiceUnavailable"), true, fails),
            (named("InternalServer"), true, fails),
            (named("ModelNotReady"), true, works),
            (named("ModelTimeout"), true, fails),
            (named("ModelError"), true, None),
            (named("ResourceNotFound"), true, works),
            (named("Validation"), false, works),
            (named("ExpiredToken"), false, None),
            (access_denied("this model"), true, works),
        ] {
            assert_eq!(moves(&error), moves_on, "{error}");
            assert_eq!(evidence(&error), proves, "{error}");
        }
    }
}
