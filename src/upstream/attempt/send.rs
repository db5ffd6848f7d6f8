//! Sends the request of one attempt, and accounts for it.

use std::sync::Arc;

use super::{Subject, health::Lease};
use crate::{
    call::{SentMark, Ticket},
    error::Error,
    money::Usage,
    upstream::{
        Request, collected, failure,
        transport::{Response, SendError, Transport},
    },
};

/// Cap on the body of a reply, in bytes; larger than any reply of the service.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// Sends the request of one attempt.
#[derive(Clone)]
pub struct Try<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) subject: Subject<'a>,
    pub(super) sent: &'a SentMark,
    /// Kept for as long as the request is in flight.
    pub(super) lease: Arc<Lease>,
}

/// An error, with the usage that its request is billed for. Answers that the client cannot have are billed, too.
#[derive(Debug)]
pub struct BilledError {
    pub error: Error,
    /// `None` if the service does not report it. Boxed, so that results stay small.
    usage: Option<Box<Usage>>,
}

impl BilledError {
    /// Creates the error of a reply with this usage. An estimate does not count: it may be less than the bill.
    pub fn new(error: Error, usage: Usage) -> Self {
        Self {
            error,
            usage: Some(usage).filter(|usage| !usage.estimated).map(Box::new),
        }
    }
}

impl From<Error> for BilledError {
    fn from(error: Error) -> Self {
        Self { error, usage: None }
    }
}

impl Try<'_> {
    /// Returns the mark that is set once the request of this attempt leaves.
    pub fn sent(&self) -> SentMark {
        self.sent.clone()
    }

    /// Sends `request` and returns the reply, whatever its status.
    ///
    /// # Errors
    /// If no reply arrives.
    pub async fn send(&self, request: Request) -> Result<Response, SendError> {
        let Subject { target, caller, .. } = self.subject;
        self.transport
            .send(request, target, caller, self.sent)
            .await
    }

    /// Sends `request` to a model and records the attempt in the call's trace.
    ///
    /// # Errors
    /// If no reply arrives, or its status is not 2xx.
    pub async fn send_model(&self, request: Request) -> Result<Response, Error> {
        self.subject.trace.attempt(self.subject.target);
        let reply = self.send(request).await;
        if self.sent.is_repeated() {
            self.subject.trace.attempt(self.subject.target);
            self.subject.trace.warnings().add(
                "attempts: the request to Bedrock was signed and sent again (the clock of the gateway differs from that of AWS)",
            );
        }
        let reply = reply.map_err(failure::from_send)?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let (parts, body) = reply.into_parts();
        let body = collected(body, MAX_REPLY_BYTES).await.unwrap_or_default();
        Err(failure::from_reply(parts.status, &parts.headers, &body))
    }

    /// Runs `work`, which sends one request, and returns its output with the request's ticket. The
    /// caller settles the ticket once the usage is known. On failure the ticket is settled with the usage
    /// that the service reports, and freed only if the service certainly did not bill the request.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn billed<O>(
        &self,
        work: impl Future<Output = Result<O, BilledError>>,
    ) -> Result<(O, Ticket), Error> {
        let ticket = self.subject.trace.ticket(self.sent);
        let ticket = ticket.keeping(self.lease.clone());
        match work.await {
            Ok(output) => Ok((output, ticket)),
            Err(BilledError { error, usage }) => {
                match usage {
                    _ if !error.is_perhaps_billed() => ticket.free(),
                    Some(usage) => ticket.used(*usage),
                    None if error.is_without_output() => ticket.unanswered(),
                    // Counts as lost.
                    None => drop(ticket),
                }
                Err(error)
            }
        }
    }
}
