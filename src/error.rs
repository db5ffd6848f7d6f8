//! The one error type that crosses floors.
//!
//! Below the edge, an error states what happened and who caused it; only [`crate::edge`] maps it to an HTTP
//! status. Every error has two texts. `message` is sent to the client: it says what to do, and never
//! contains an ARN, an account ID or data of another tenant. `detail` is written to the log once, with the
//! request ID. Constructors live next to the code that knows the cause.

use std::{borrow::Cow, fmt, time::Duration};

/// The category of an error. The edge maps it to a status and an OpenAI error `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is invalid: 400.
    InvalidRequest,
    /// The API key is missing or invalid; the message does not say which: 401.
    Unauthenticated,
    /// The key is valid but lacks permission: 403.
    PermissionDenied,
    /// The path or the model does not exist: 404.
    NotFound,
    /// The path exists but does not support the method: 405.
    MethodNotAllowed,
    /// The request body arrived too slowly: 408.
    RequestTimeout,
    /// Bedrock rejected the request because of a concurrent change: 409.
    Conflict,
    /// The body is larger than `server.max_body`: 413.
    TooLarge,
    /// The head of the request is too large: 431.
    HeadTooLarge,
    /// The declared content type is not JSON, or the body is compressed: 415.
    UnsupportedMediaType,
    /// A rate limit of the gateway was exceeded: 429, retryable after `retry_after`.
    RateLimited,
    /// A budget is spent: 429 with type `insufficient_quota`, not retryable before the budget resets.
    BudgetSpent,
    /// The rest of a budget is reserved for calls in flight: 429, retryable immediately.
    BudgetBusy,
    /// The ledger cannot be written, so no call may spend money: 503.
    LedgerUnavailable,
    /// Bedrock throttled the request: 429, retryable after `retry_after`.
    UpstreamThrottle,
    /// A quota of the AWS account is exhausted: 429, not retryable soon.
    UpstreamQuota,
    /// Bedrock, or the connection to it, failed: 502.
    Upstream,
    /// Bedrock reports that it is unavailable: 503.
    UpstreamUnavailable,
    /// The gateway is at capacity or shutting down: 503.
    Overloaded,
    /// A timeout of the gateway or of Bedrock expired: 504.
    UpstreamTimeout,
    /// A bug in the gateway: 500.
    Internal,
}

impl Kind {
    /// Returns the `reason` label of metrics and of the access log, from a fixed list.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::TooLarge
            | Self::HeadTooLarge
            | Self::UnsupportedMediaType => "invalid",
            Self::Unauthenticated | Self::PermissionDenied => "auth",
            Self::RateLimited => "rate_limit",
            Self::BudgetSpent | Self::BudgetBusy | Self::LedgerUnavailable => "budget",
            Self::UpstreamThrottle => "upstream_throttle",
            Self::UpstreamQuota => "upstream_quota",
            Self::Conflict | Self::Upstream | Self::UpstreamUnavailable | Self::UpstreamTimeout => {
                "upstream_error"
            }
            Self::Overloaded => "overload",
            Self::Internal => "internal",
        }
    }
}

/// Whether and how the gateway should retry a failed call. Applies only before anything was sent to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Do not retry: the same call would fail the same way.
    #[default]
    Never,
    /// Retry once.
    Once,
    /// Retry once, with refreshed credentials.
    Refreshed,
    /// Retry up to the configured number of attempts.
    Often,
    /// Like `Often` with a longer backoff, because the model is still loading (a cold start).
    Slowly,
}

/// An error to be sent to the client. Boxed, so that `Result` stays one pointer wide.
#[derive(Debug)]
pub struct Error(Box<Fields>);

#[derive(Debug)]
struct Fields {
    kind: Kind,
    message: Cow<'static, str>,
    code: Option<&'static str>,
    param: Option<String>,
    detail: Option<String>,
    log_message: Option<String>,
    quote: Option<String>,
    retry_after: Option<Duration>,
    demanded_wait: Option<Duration>,
    should_retry: Option<bool>,
    retry_advice: RetryAdvice,
    may_be_billed: bool,
    is_without_output: bool,
    is_wrong_route: bool,
    is_of_model: bool,
    close: bool,
}

impl Error {
    /// Creates an error. `message` is sent to the client; it says what is wrong and what to do about it.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Fields {
            kind,
            message: message.into(),
            code: None,
            param: None,
            detail: None,
            log_message: None,
            quote: None,
            retry_after: None,
            demanded_wait: None,
            should_retry: None,
            retry_advice: RetryAdvice::Never,
            may_be_billed: false,
            is_without_output: false,
            is_wrong_route: false,
            is_of_model: false,
            close: false,
        }))
    }

    /// Marks an error of the model itself. Guardrails and Knowledge Bases have the same errors.
    #[must_use]
    pub fn of_model(mut self) -> Self {
        self.0.is_of_model = true;
        self
    }

    /// Reports whether the model itself failed.
    pub fn is_of_model(&self) -> bool {
        self.0.is_of_model
    }

    /// Creates a 400 for an invalid value. `param` is the path of the field, as OpenAI writes it (`messages[0].role`).
    pub fn invalid(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidRequest, message)
            .with_param(param)
            .with_code("invalid_value")
    }

    /// Replaces the message.
    pub fn with_message(mut self, message: String) -> Self {
        self.0.message = message.into();
        self
    }

    /// Sets OpenAI's machine-readable `code`, for example `model_not_found`.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = Some(code);
        self
    }

    /// Sets the path of the invalid request field.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Sets the text that is only logged.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Replaces the message in the log. Use it if the message quotes the request, because prompts must not be logged.
    pub fn with_log_message(mut self, text: impl Into<String>) -> Self {
        self.0.log_message = Some(text.into());
        self
    }

    /// Adds a sentence of the service to the message for the client. The log has it in the detail.
    pub fn with_quote(mut self, text: &str) -> Self {
        let message = format!("{} Bedrock says: {text}", self.0.message);
        let plain = std::mem::replace(&mut self.0.message, message.into());
        self.0.log_message.get_or_insert(plain.into_owned());
        self.0.quote = Some(text.to_owned());
        self
    }

    /// Sets the time after which the client may retry; sent as `retry-after` and `retry-after-ms`.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Sets the same time as the service demands it, which the gateway keeps to as well.
    pub fn with_demanded_wait(mut self, wait: Duration) -> Self {
        self.0.demanded_wait = Some(wait);
        self.with_retry_after(wait)
    }

    /// Removes the time after which the client may retry, because clients of some APIs would wait for too long.
    pub fn without_retry_after(mut self) -> Self {
        self.0.retry_after = None;
        self
    }

    /// Stops OpenAI's SDKs from retrying, by the header `x-should-retry: false`.
    pub fn without_retry(mut self) -> Self {
        self.0.should_retry = Some(false);
        self
    }

    /// Sets whether and how the gateway itself retries.
    pub fn with_retry_advice(mut self, retry_advice: RetryAdvice) -> Self {
        self.0.retry_advice = retry_advice;
        self
    }

    /// Marks the call as possibly billed: it reached Bedrock, but its outcome is unknown.
    pub fn may_be_billed(mut self) -> Self {
        self.0.may_be_billed = true;
        self
    }

    /// Marks the call as possibly billed for its input: Bedrock answered with an error before any output.
    pub fn may_be_billed_for_input(mut self) -> Self {
        self.0.is_without_output = true;
        self.may_be_billed()
    }

    /// Marks the answer that the service does not serve the model on this route. Another route may serve it.
    pub fn with_wrong_route(mut self) -> Self {
        self.0.is_wrong_route = true;
        self
    }

    /// Closes the connection after the response, because the rest of the request body was not read.
    pub fn with_connection_close(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// Returns the category of the error.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the text for the client.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the sentence of the service that the message quotes.
    pub fn quote(&self) -> Option<&str> {
        self.0.quote.as_deref()
    }

    /// Returns OpenAI's machine-readable `code`.
    pub fn code(&self) -> Option<&'static str> {
        self.0.code
    }

    /// Returns a bounded label for metrics: the code, or the reason of the kind if there is no code.
    pub fn label(&self) -> &'static str {
        self.0.code.unwrap_or(self.0.kind.reason())
    }

    /// Returns the label of a stream that this error ends, from a fixed list.
    pub fn break_label(&self) -> &'static str {
        match self.code() {
            Some("upstream_truncated") => "truncated",
            Some("upstream_checksum") => "crc",
            Some("upstream_idle") => "idle",
            _ => "upstream_error",
        }
    }

    /// Returns the path of the invalid request field.
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// Returns the text that is only logged.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Returns the message in the form that may be logged.
    pub fn log_message(&self) -> &str {
        self.0.log_message.as_deref().unwrap_or(&self.0.message)
    }

    /// Returns the time after which the client may retry.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the time for which the service demands to be left alone.
    pub fn demanded_wait(&self) -> Option<Duration> {
        self.0.demanded_wait
    }

    /// Returns the value of the header `x-should-retry`.
    pub fn should_retry(&self) -> Option<bool> {
        self.0.should_retry
    }

    /// Returns whether and how the gateway itself retries.
    pub fn retry_advice(&self) -> RetryAdvice {
        self.0.retry_advice
    }

    /// Returns true if the call reached Bedrock and may be billed.
    pub fn is_perhaps_billed(&self) -> bool {
        self.0.may_be_billed
    }

    /// Returns true if Bedrock answered before any output, so that at most the input is billed.
    pub fn is_without_output(&self) -> bool {
        self.0.is_without_output
    }

    /// Returns true if the service does not serve the model on the route of the call.
    pub fn is_wrong_route(&self) -> bool {
        self.0.is_wrong_route
    }

    /// Returns true if the connection must be closed after the response.
    pub fn closes_connection(&self) -> bool {
        self.0.close
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}
