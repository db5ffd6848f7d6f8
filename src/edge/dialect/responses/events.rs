//! Writes server-sent events.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use crate::{
    edge::rescue,
    error::{Error, Kind},
    openai::responses::served::{EventBody, Failure, ResponseObject, StreamError, StreamErrorBody},
};

/// The events of one response. Each has the next number.
#[derive(Debug, Default)]
pub struct Events {
    pub out: BytesMut,
    next: u64,
    is_silent: bool,
}

/// An event. The name is also its type.
#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: T,
}

impl Events {
    /// Creates empty events. `is_silent` means that nothing is written, because the reply is not streamed.
    pub fn new(is_silent: bool) -> Self {
        Self {
            is_silent,
            ..Self::default()
        }
    }

    /// Writes an event.
    pub fn write(&mut self, kind: &str, body: EventBody<'_>) {
        self.event(kind, body);
    }

    /// Writes a sign of life. Comments do not stop the timers of all clients, and every client ignores an unknown event.
    pub fn keep_alive(&mut self) {
        self.event("keepalive", EventBody::default());
    }

    /// Writes the events that end a failed response. Some clients read only the first, and some only the second.
    pub fn fail(&mut self, error: &Error, response: ResponseObject<'_>) {
        let code = code(error);
        let message = message(error);
        let failed = StreamError {
            code,
            message: &message,
            param: error.param(),
            error: StreamErrorBody {
                kind: rescue::error_type(error),
                code: error.code().unwrap_or(code),
                message: &message,
                param: error.param(),
            },
        };
        self.event("error", failed);
        let response = ResponseObject {
            status: "failed",
            error: Some(Failure {
                code,
                message: &message,
            }),
            ..response
        };
        let body = EventBody {
            response: Some(&response),
            ..EventBody::default()
        };
        self.event("response.failed", body);
    }

    fn event<T: Serialize>(&mut self, kind: &str, body: T) {
        if self.is_silent {
            return;
        }
        let event = Event {
            kind,
            sequence_number: self.next,
            body,
        };
        self.next += 1;
        self.out.put_slice(b"event: ");
        self.out.put_slice(kind.as_bytes());
        self.out.put_slice(b"\ndata: ");
        // Serializing plain structs into memory cannot fail.
        let _ = serde_json::to_writer((&mut self.out).writer(), &event);
        self.out.put_slice(b"\n\n");
    }
}

/// Returns the code of a failed response. Clients decide by it whether to try again.
fn code(error: &Error) -> &'static str {
    if error.code() == Some("context_length_exceeded") {
        return "context_length_exceeded";
    }
    match error.kind() {
        Kind::RateLimited | Kind::BudgetBusy | Kind::UpstreamThrottle | Kind::UpstreamQuota => {
            "rate_limit_exceeded"
        }
        Kind::BudgetSpent => "insufficient_quota",
        Kind::Overloaded | Kind::UpstreamUnavailable => "server_is_overloaded",
        Kind::InvalidRequest | Kind::PermissionDenied | Kind::NotFound | Kind::TooLarge => {
            "invalid_prompt"
        }
        _ => "server_error",
    }
}

/// Returns the text of an error. Codex waits for as long as the text says.
fn message(error: &Error) -> String {
    let text = error.message().to_owned();
    match super::wait(error) {
        Some(after) if error.kind() != Kind::BudgetSpent => {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            format!("{text} Please try again in {seconds}s.")
        }
        _ => text,
    }
}
