use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Upstream, transport::ServiceOperation};
use crate::{
    call::{Call, Route},
    error::Error,
    money::Usage,
    operation::{Operation, embed::EmbedReply, rank::Ranked},
};

/// Translates one operation to one route. Codecs are pure: they do no I/O and never wait.
pub trait Codec<T: Exchange>: Send + Sync + 'static {
    /// Returns the requests that answer `call`, in the order of their answers, each with the decoder
    /// of its reply.
    ///
    /// # Errors
    /// 400 with the member's path if the call cannot be expressed on this route.
    fn encode(&self, call: &Call<T>) -> Result<Vec<(Request, T::Decoder)>, Error>;
}

/// A request to AWS, without its target.
#[derive(Clone, Debug)]
pub struct Request {
    /// The AWS operation to call.
    pub operation: ServiceOperation,
    /// Headers in addition to those that the transport sets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, as JSON.
    pub body: Bytes,
}

/// An operation that can be sent to Bedrock.
pub trait Exchange: Operation {
    /// Decodes the reply to one request.
    type Decoder: Send;

    /// Returns the codec for `route`, or `None` if the route does not support the operation.
    fn codec(route: Route) -> Option<&'static dyn Codec<Self>>;

    /// Returns the call without the beta flags that `error` refuses, and these flags. `None` if the error has another cause,
    /// or the operation has none.
    fn without_betas(_: &Call<Self>, _: &Error) -> Option<(Call<Self>, Vec<String>)> {
        None
    }

    /// Sends the requests of `call` and combines their answers into one reply.
    ///
    /// # Errors
    /// The first failure that remains after retries. The spending up to then is in the trace.
    fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> impl Future<Output = Result<Self::Reply, Error>> + Send;
}

/// Decodes the reply to one batch of inputs.
pub trait EmbedDecoder: Send + Sync {
    /// Returns the vectors of the batch, in the order of its inputs, and their usage.
    ///
    /// # Errors
    /// If the reply cannot be parsed or does not have one vector per input.
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error>;
}

/// One page of ranked documents.
pub struct RankPage {
    /// The documents of the page, the most relevant first.
    pub results: Vec<Ranked>,
    /// What the request for the page is billed for.
    pub usage: Usage,
    /// The request for the next page, if there is one.
    pub next: Option<Request>,
}

/// Decodes the reply to a request for ranked documents.
pub trait RankDecoder: Send + Sync {
    /// Returns the results of one page.
    ///
    /// # Errors
    /// If the reply cannot be parsed.
    fn read(&self, body: &[u8]) -> Result<RankPage, Error>;
}
