use tokio::time::timeout;
use tower::Service;

use super::Around;
use crate::{
    call::{Call, Operation},
    error::{Error, Kind},
};

/// Bounds the wait for a reply: `timeout` to all of a whole one, `first_token_timeout` to the beginning of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Deadline;

impl<T: Operation> Around<T> for Deadline {
    async fn around<S>(&self, call: Call<T>, mut next: S) -> Result<T::Reply, Error>
    where
        S: Service<Call<T>, Response = T::Reply, Error = Error, Future: Send> + Send,
    {
        let patience = call.body.patience(&call.model.timeouts);
        match timeout(patience, next.call(call)).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = patience.as_secs_f64();
                Err(Error::new(Kind::UpstreamTimeout, format!("Bedrock did not answer within {seconds} s."))
                    .with_code("upstream_timeout"))
            }
        }
    }
}
