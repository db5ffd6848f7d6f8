use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::time::timeout;
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Call, Delivery},
    error::{Error, Kind},
    operation::Operation,
    upstream::connecting_within,
};

/// The factor by which the time limit is extended for the first use of a schema. The service compiles the schema then,
/// which can take minutes, and caches the result for a day.
const COMPILING: u32 = 5;

/// The number of schemas that are remembered as compiled. A forgotten schema only gets a longer time limit.
const REMEMBERED: usize = 1000;

/// Limits the time until a reply: `timeout` for a whole one, `first_token_timeout` for the first token of a stream, and
/// five times that while the service compiles a schema; and the time to connect. A request may shorten each.
#[derive(Clone, Debug)]
pub struct Deadline {
    compiled: Arc<Cache<u64, ()>>,
}

impl Default for Deadline {
    fn default() -> Self {
        Self {
            compiled: Arc::new(Cache::new(REMEMBERED)),
        }
    }
}

impl<T: Operation> Middleware<T> for Deadline {
    async fn handle<S>(&self, call: Call<T>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let schema = call.plan.compiles;
        let first_use = schema.is_some_and(|schema| self.compiled.get(&schema).is_none());
        let timeouts = call.model.timeouts;
        let (limit, setting, code) = match call.plan.delivery {
            Delivery::Stream => (
                timeouts.first_token,
                "first_token_timeout",
                "first_token_timeout",
            ),
            Delivery::Whole | Delivery::Replayed => (timeouts.whole, "timeout", "upstream_timeout"),
        };
        let limit = limit * if first_use { COMPILING } else { 1 };
        let trace = call.trace.clone();
        let (limit, setting) = match trace.shortened(limit) {
            own if own < limit => (own, "the request's own limit"),
            _ => (limit, setting),
        };
        // The models that a call falls back to share one time limit.
        let limit = trace.time_within(limit);
        let connect = trace.shortened(timeouts.connect);
        let reply = connecting_within(connect, next.call(call));
        match timeout(limit, reply).await {
            Ok(result) => {
                if let (Ok(_), Some(schema)) = (&result, schema) {
                    self.compiled.insert(schema, ());
                }
                result
            }
            Err(_) => {
                let (who, code) = match trace.is_judging() {
                    true => ("The guardrail", "guardrail_timeout"),
                    false => ("Bedrock", code),
                };
                let text = format!(
                    "{who} did not answer within {} s ({setting}).",
                    limit.as_secs_f64()
                );
                Err(Error::new(Kind::UpstreamTimeout, text).with_code(code))
            }
        }
    }
}

#[cfg(test)]
mod tests;
