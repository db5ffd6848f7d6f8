use tower::Service;

use super::{InFlight, Permits, WAIT};
use crate::{
    call::Call,
    error::{Error, Kind},
    metrics,
    middleware::{Middleware, Reply},
    operation::Operation,
};

/// The most counts of one key at once. Claude Code starts 34 to show its context.
const MOST: u32 = 64;

/// Limits the token counts in flight of each key. Counts cost nothing, so the limits of other calls do not apply to them:
/// clients make many at once, and must not spend the requests of their conversations on them.
#[derive(Clone, Default)]
pub struct CountsInFlight(InFlight);

impl<T: Operation, P: Send + 'static> Middleware<T, P> for CountsInFlight {
    async fn handle<S>(&self, call: Call<T, P>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T, P>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let mut permits = Permits {
            counts: self.0.0.clone(),
            scopes: Vec::new(),
        };
        let key_id = &call.caller.key_id;
        if !permits.acquire(key_id, MOST) {
            metrics::refusal(call.caller.team_name(), key_id, "concurrency");
            let text = format!(
                "Rate limit reached: a key may count the tokens of {MOST} requests at once. Try again when one of them has ended."
            );
            return Err(Error::new(Kind::RateLimited, text)
                .with_code("rate_limit_exceeded")
                .with_retry_after(WAIT));
        }
        let reply = next.call(call).await?;
        Ok(reply.on_end(move |_| drop(permits)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        error::Kind,
        middleware::testing::{
            Next, caller, chat, complete, model, send, streamed, unplanned, usage,
        },
    };

    #[tokio::test]
    async fn each_key_may_make_so_many_counts_at_once() {
        let counts = CountsInFlight::default();
        let next = Next::new(streamed(|| complete(usage(1, 1))));
        let caller = Arc::new(caller());
        let mut open = Vec::new();
        for _ in 0..MOST {
            let call = unplanned(&caller, model(), chat(true));
            open.push(send(&counts, &next, call).await.unwrap());
        }
        let call = unplanned(&caller, model(), chat(true));
        let error = send(&counts, &next, call).await.unwrap_err();
        assert_eq!(error.kind(), Kind::RateLimited);
        open.pop();
        let call = unplanned(&caller, model(), chat(true));
        assert!(send(&counts, &next, call).await.is_ok());
    }
}
