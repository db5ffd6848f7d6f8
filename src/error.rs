//! The one error type that crosses floors.
//!
//! Policy. Below the edge an error says *what* happened and whose fault it is; only [`crate::edge`] turns it
//! into a status. Every error has two texts: `message` goes to the client, says what to do, and never
//! holds an ARN, an account id or anything of another tenant; `detail` goes to the log, once, with the
//! request id. Constructors live next to the code that knows the cause.

use std::{borrow::Cow, fmt, time::Duration};

/// What happened, in terms that the edge can map to a status and operators to a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is not acceptable as it is: 400.
    InvalidRequest,
    /// No key, or not a valid one; the text never says which: 401.
    Unauthenticated,
    /// The key is good but may not do this: 403.
    PermissionDenied,
    /// No such path or model: 404.
    NotFound,
    /// The path exists, the method does not: 405.
    MethodNotAllowed,
    /// The request body came too slowly: 408.
    RequestTimeout,
    /// The service refused because of a concurrent change: 409.
    Conflict,
    /// The body is larger than `server.max_body`: 413.
    TooLarge,
    /// The body is not JSON by its declared type: 415.
    UnsupportedMediaType,
    /// A rate limit of the gateway: 429, to be tried again after `retry_after`.
    RateLimited,
    /// A budget is spent: 429 of OpenAI's other kind, not to be tried again before its reset.
    BudgetSpent,
    /// A budget is set aside for other calls at the moment: 429, to be tried again at once.
    BudgetBusy,
    /// The ledger cannot be written, so nothing may be spent: 503.
    LedgerUnavailable,
    /// Bedrock throttles: 429, to be tried again after `retry_after`.
    UpstreamThrottle,
    /// A quota of the AWS account is exhausted: 429, not to be tried again soon.
    UpstreamQuota,
    /// Bedrock, or the way to it, failed: 502.
    Upstream,
    /// Bedrock says that it is not available now: 503.
    UpstreamUnavailable,
    /// The gateway itself has no room, or is shutting down: 503.
    Overloaded,
    /// A time limit of the gateway or of Bedrock passed: 504.
    UpstreamTimeout,
    /// A fault of the gateway: 500.
    Internal,
}

impl Kind {
    /// The bounded `reason` label of metrics and of the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::TooLarge
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

/// How often to try again may help, before anything has reached the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryAdvice {
    /// The same call would fail the same way.
    #[default]
    Never,
    Once,
    /// Once, with new credentials.
    Refreshed,
    /// As often as the operator allows.
    Often,
    /// The same, with longer pauses: something is being loaded.
    Slowly,
}

/// An error on its way to the client. One pointer wide, so that `Result` stays small.
#[derive(Debug)]
pub struct Error(Box<Fields>);

#[derive(Debug)]
struct Fields {
    kind: Kind,
    message: Cow<'static, str>,
    code: Option<&'static str>,
    param: Option<String>,
    detail: Option<String>,
    logged_as: Option<String>,
    retry_after: Option<Duration>,
    should_retry: Option<bool>,
    retry_advice: RetryAdvice,
    may_be_billed: bool,
    close: bool,
}

impl Error {
    /// `message` is for the client: what is wrong and what to do about it.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Fields {
            kind,
            message: message.into(),
            code: None,
            param: None,
            detail: None,
            logged_as: None,
            retry_after: None,
            should_retry: None,
            retry_advice: RetryAdvice::Never,
            may_be_billed: false,
            close: false,
        }))
    }

    /// A value of the request that is not acceptable; `param` is its path, as OpenAI writes it (`messages[0].role`).
    pub fn invalid(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidRequest, message)
            .with_param(param)
            .with_code("invalid_value")
    }

    /// OpenAI's machine-readable code, for example `model_not_found`.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = Some(code);
        self
    }

    /// The path of the request's field at fault.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Text for the log only.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Replaces the message in the log, where the message quotes what the client sent: that is nobody else's business.
    pub fn logged_as(mut self, text: impl Into<String>) -> Self {
        self.0.logged_as = Some(text.into());
        self
    }

    /// When the client may try again; sent as `retry-after` and `retry-after-ms`.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Tells the OpenAI SDKs (`x-should-retry: false`) that trying again cannot help.
    pub fn without_retry(mut self) -> Self {
        self.0.should_retry = Some(false);
        self
    }

    /// What the gateway itself may do about it.
    pub fn with_retry_advice(mut self, retry_advice: RetryAdvice) -> Self {
        self.0.retry_advice = retry_advice;
        self
    }

    /// The call reached Bedrock, and nobody can say whether it will be on the bill.
    pub fn may_be_billed(mut self) -> Self {
        self.0.may_be_billed = true;
        self
    }

    /// The connection cannot carry another request, because the rest of this one was not read.
    pub fn closing(mut self) -> Self {
        self.0.close = true;
        self
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Text for the client.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn code(&self) -> Option<&'static str> {
        self.0.code
    }

    /// What went wrong as one of a bounded list of words: the code, or the reason of its kind.
    pub fn label(&self) -> &'static str {
        self.0.code.unwrap_or(self.0.kind.reason())
    }

    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// Text for the log.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The message, as it may stand in the log.
    pub fn log_message(&self) -> &str {
        self.0.logged_as.as_deref().unwrap_or(&self.0.message)
    }

    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    pub fn should_retry(&self) -> Option<bool> {
        self.0.should_retry
    }

    pub fn retry_advice(&self) -> RetryAdvice {
        self.0.retry_advice
    }

    pub fn is_perhaps_billed(&self) -> bool {
        self.0.may_be_billed
    }

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
