use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{Upstream, transport::ServiceOperation};
use crate::{
    call::{Call, Route},
    error::Error,
    operation::Operation,
};

/// The translation of one operation to one route. Pure.
pub trait Codec<T: Exchange>: Send + Sync + 'static {
    /// Returns the requests that answer `call`, in the order of their answers, each with what reads
    /// its reply.
    ///
    /// # Errors
    /// 400 with the member's path if the call cannot be expressed on this route.
    fn encode(&self, call: &Call<T>) -> Result<Vec<(Request, T::Decoder)>, Error>;
}

/// A request to the service, without its target.
#[derive(Clone, Debug)]
pub struct Request {
    pub operation: ServiceOperation,
    /// Headers beside those of the transport.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// An operation that the service can be asked.
pub trait Exchange: Operation {
    /// What reads the reply to one request.
    type Decoder: Send;

    /// The codec of a route: the list of routes on which the operation exists.
    fn codec(route: Route) -> Option<&'static dyn Codec<Self>>;

    /// Sends the requests of `call` and puts their answers together.
    ///
    /// # Errors
    /// The first failure that attempts could not repair. What was billed before it is recorded.
    fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> impl Future<Output = Result<Self::Reply, Error>> + Send;
}
