use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::time::timeout;
use tower::Service;

use super::Around;
use crate::{
    call::{Call, Operation},
    error::{Error, Kind},
};

/// The service compiles a schema when it sees it first, which may take minutes; then it keeps it for a day.
const COMPILING: u32 = 5;

/// Schemas that are remembered as compiled. One that is forgotten only gets more time than it needs.
const REMEMBERED: usize = 1000;

/// Bounds the wait for a reply: `timeout` to all of a whole one, `first_token_timeout` to the beginning of a stream, and
/// five times that while the service compiles a schema.
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

impl<T: Operation> Around<T> for Deadline {
    async fn around<S>(&self, call: Call<T>, mut next: S) -> Result<T::Reply, Error>
    where
        S: Service<Call<T>, Response = T::Reply, Error = Error, Future: Send> + Send,
    {
        let compiles = call.body.compiles(&call.model);
        let first = compiles.is_some_and(|schema| self.compiled.get(&schema).is_none());
        let patience = call.body.patience(&call.model) * if first { COMPILING } else { 1 };
        match timeout(patience, next.call(call)).await {
            Ok(result) => {
                if let (Ok(_), Some(schema)) = (&result, compiles) {
                    self.compiled.insert(schema, ());
                }
                result
            }
            Err(_) => {
                let seconds = patience.as_secs_f64();
                Err(Error::new(
                    Kind::UpstreamTimeout,
                    format!("Bedrock did not answer within {seconds} s."),
                )
                .with_code("upstream_timeout"))
            }
        }
    }
}
