mod counts;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tower::Service;

pub use counts::CountsInFlight;

use super::{Middleware, Reply};
use crate::{
    call::Call,
    error::{Error, Kind},
    metrics,
    operation::Operation,
};

/// Limits the calls in flight in every scope. A permit is held until the last byte of the reply. All models share one
/// instance, because scopes span models.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<HashMap<String, u32>>>);

/// The `retry-after` of a rejected call: another one may have ended by then.
const WAIT: Duration = Duration::from_secs(1);

impl<T: Operation, P: Send + 'static> Middleware<T, P> for InFlight {
    async fn handle<S>(&self, call: Call<T, P>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T, P>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let mut permits = Permits {
            counts: self.0.clone(),
            scopes: Vec::new(),
        };
        for scope in call.scopes() {
            let Some(most) = scope.limits.in_flight else {
                // Counted all the same, for a limit that is set while the call runs.
                permits.acquire(&scope.id, u32::MAX);
                continue;
            };
            let admitted = permits.acquire(&scope.id, most);
            metrics::rate_limit(&scope.id, "concurrency", admitted);
            if !admitted {
                metrics::refusal(call.caller.team_name(), &call.caller.key_id, "concurrency");
                let text = format!(
                    "Rate limit reached: '{}' allows {most} requests at once. Try again when one of them has ended.",
                    scope.id
                );
                return Err(Error::new(Kind::RateLimited, text)
                    .with_code("rate_limit_exceeded")
                    .with_retry_after(WAIT));
            }
        }
        let reply = next.call(call).await?;
        Ok(reply.on_end(move |_| drop(permits)))
    }
}

/// The permits of one call, released when they are dropped.
struct Permits {
    counts: Arc<Mutex<HashMap<String, u32>>>,
    scopes: Vec<String>,
}

impl Permits {
    /// Acquires a permit for `scope`, unless `most` are held.
    fn acquire(&mut self, scope: &str, most: u32) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(scope.to_owned()).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        self.scopes.push(scope.to_owned());
        true
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for scope in &self.scopes {
            if let Some(count) = counts.get_mut(scope) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(scope);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
