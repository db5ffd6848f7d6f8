//! Sends the requests of a call several at a time, and keeps their order.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use tokio::time::timeout;

use super::{
    Attempt, Exchange, Request, Subject, Try, Upstream, collected, relocation::Relocation,
};
use crate::{
    call::{Call, Ticket},
    error::{Error, Kind, RetryAdvice},
    money::Usage,
};

/// Maximum number of requests in flight per call.
const MAX_IN_FLIGHT: usize = 8;

/// The bytes of bodies that one call holds at a time beside the body that its requests share, because
/// `server.max_buffered_bodies` does not count them. A larger body is alone.
const MAX_COPIED_BYTES: usize = 32 << 20;

/// How long a failed call waits for its other requests. One that hangs must not keep the client from its error; it is
/// settled as lost.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The code of a request that was not sent, because another failed or the client disconnected.
const ABANDONED: &str = "client_gone";

/// Decodes the reply to one request of a call.
pub trait PartDecoder: Send + Sync {
    /// What the request adds to the reply of the call.
    type Part: Send;

    /// The end of the request's body, if it differs from the bodies of the call's other requests. The body of [`Request`]
    /// then lacks it, so that all requests share these bytes until they are sent.
    fn tail(&self) -> Option<&[u8]> {
        None
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// If the reply cannot be parsed.
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Billed<Self::Part>, Error>;
}

// For any lifetime, because the compiler forgets in futures that it is `'static`.
impl<'a, P: Send> PartDecoder for Box<dyn PartDecoder<Part = P> + 'a> {
    type Part = P;

    fn tail(&self) -> Option<&[u8]> {
        (**self).tail()
    }

    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Billed<P>, Error> {
        (**self).read(headers, body)
    }
}

/// What a request is billed for, and what came of it.
pub struct Billed<P> {
    pub usage: Usage,
    /// An error if the service bills its refusal.
    pub result: Result<P, Error>,
}

/// Sends `requests` and returns what they answer, in their order, and their usage together. Replies have at most
/// `max_bytes`.
///
/// # Errors
/// The failure that says most. The replies to the requests in flight are read, because Bedrock bills them; nothing new
/// is sent.
pub async fn all<T>(
    upstream: &Upstream,
    call: &Arc<Call<T>>,
    requests: Vec<(Request, T::Decoder)>,
    max_bytes: usize,
) -> Result<(Vec<<T::Decoder as PartDecoder>::Part>, Usage), Error>
where
    T: Exchange<Decoder: PartDecoder>,
{
    let elsewhere = &Relocation::of(call);
    let failed = &AtomicBool::new(false);
    let count = requests.len();
    let in_flight = max_in_flight(&requests);
    let parts = requests
        .into_iter()
        .enumerate()
        .map(|(index, (request, decoder))| async move {
            // A request that was not sent costs nothing yet.
            if failed.load(Ordering::Relaxed) || call.trace.is_client_gone() {
                return (index, Err(abandoned()));
            }
            let attempt = PartAttempt {
                request: whole(request, &decoder),
                decoder,
                max_bytes,
                failed,
                elsewhere,
                index,
            };
            let result = send(upstream, call, attempt).await;
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            (index, result)
        });
    let parts: Vec<_> = parts.collect();
    let mut results = stream::iter(parts).buffer_unordered(in_flight);
    let mut answers: Vec<Option<_>> = Vec::new();
    answers.resize_with(count, || None);
    let mut usage: Option<Usage> = None;
    while let Some((index, result)) = results.next().await {
        match result {
            Ok((part, more)) => {
                answers[index] = Some(part);
                usage = Some(usage.map_or(more, |usage| usage + more));
            }
            Err(failure) => return Err(most_certain(failure, results).await),
        }
    }
    let answers = answers.into_iter().flatten().collect();
    Ok((answers, usage.unwrap_or_default()))
}

/// The number of requests that run at a time: fewer if each has a large body of its own.
fn max_in_flight<D: PartDecoder>(requests: &[(Request, D)]) -> usize {
    let copied = requests
        .iter()
        .filter_map(|(request, decoder)| Some(request.body.len() + decoder.tail()?.len()));
    let largest = copied.max().unwrap_or_default();
    (MAX_COPIED_BYTES / largest.max(1)).clamp(1, MAX_IN_FLIGHT)
}

/// Returns `request` with the end of its body, just before it is sent.
fn whole(request: Request, decoder: &impl PartDecoder) -> Request {
    match decoder.tail() {
        Some(tail) => Request {
            body: Bytes::from([&request.body, tail].concat()),
            ..request
        },
        None => request,
    }
}

/// The error for a request that was not sent, because nobody receives its reply.
pub fn abandoned() -> Error {
    Error::new(Kind::RequestTimeout, "The request was abandoned.").with_code(ABANDONED)
}

/// Reads the replies to the requests in flight, which Bedrock bills, and returns the failure that says most: one that
/// a retry does not help, if there is one.
async fn most_certain<P>(
    first: Error,
    results: impl Stream<Item = (usize, Result<P, Error>)>,
) -> Error {
    let failures = results.filter_map(|(_, result)| ready(result.err()));
    let others: Vec<Error> = timeout(DRAIN_TIMEOUT, failures.collect())
        .await
        .unwrap_or_default();
    let is_final = |error: &Error| error.retry_advice() == RetryAdvice::Never;
    if is_final(&first) {
        return first;
    }
    let mut others = others
        .into_iter()
        .filter(|error| error.code() != Some(ABANDONED));
    others.find(is_final).unwrap_or(first)
}

async fn send<T: Exchange<Decoder: PartDecoder>>(
    upstream: &Upstream,
    call: &Call<T>,
    attempt: PartAttempt<'_, T>,
) -> Result<(<T::Decoder as PartDecoder>::Part, Usage), Error> {
    let operation = attempt.request.operation;
    let (billed, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    ticket.used(billed.usage);
    Ok((billed.result?, billed.usage))
}

struct PartAttempt<'a, T: Exchange> {
    request: Request,
    decoder: T::Decoder,
    max_bytes: usize,
    /// Another request of the call failed.
    failed: &'a AtomicBool,
    elsewhere: &'a Relocation<'a, T>,
    index: usize,
}

impl<T: Exchange<Decoder: PartDecoder>> Attempt for PartAttempt<'_, T> {
    type Output = (Billed<<T::Decoder as PartDecoder>::Part>, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let (parts, body) = reply.into_parts();
            let body = collected(body, self.max_bytes).await?;
            Ok(self.decoder.read(&parts.headers, &body)?)
        })
        .await
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        let (_, request, decoder) = self.elsewhere.request(place, self.index).await?;
        self.request = whole(request, &decoder);
        self.decoder = decoder;
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
