//! Faults on demand. A request asks for faults in the text of its last message, or in any text to embed:
//! `[simulate throttle]`, `[simulate stall]`, `[simulate slow 2s]`.

use std::time::Duration;

use serde_json::Value;

use super::{ServiceError, misfit::Misfit, passages::said};

/// The help text of `lintel simulate`.
pub const HELP: &str = "\
The simulated model calls the tools that the last message names or that it is forced to call, thinks if thinking is enabled,
answers in JSON if a schema or an instruction asks for it, cites documents, and otherwise repeats the last message. Embedding
models return vectors that depend on the input alone.

Faults on demand: put one or more of these into the last user message or into a text to embed.
  [simulate throttle|quota|unavailable|internal|access-denied|not-found|end-of-life|not-ready|
            model-timeout|model-error|too-long|validation|conflict]   an error instead of a reply
  [simulate slow 2s]          wait before the reply begins        [simulate hang]     never reply
  [simulate pace 10ms]        wait between events                 [simulate words 50] a longer answer
  [simulate stall]            a stream that stops in the middle   [simulate reset]    a TCP reset in the middle
  [simulate cut]              the connection ends in the middle   [simulate no-stop]  messageStop is missing
  [simulate no-metadata]      usage is missing                    [simulate truncate] ends inside a frame
  [simulate bad-crc]          a damaged frame                     [simulate bad-length] an absurd frame length
  [simulate guardrail]        the guardrail of the request intervenes
  [simulate misfit prose|type|missing|cut|refusal]   JSON that was only instructed does not fit; when asked to correct it, it does
  [simulate anew json|fence|prose]  an answer in JSON that does not continue the prefilled brace
  [simulate no-done]          chat completions end after the finish reason
  [simulate linger]           a complete stream whose connection stays open
  [simulate exception NAME]   an exception event in the middle, such as throttlingException
  [simulate first-exception NAME]  an exception as the first event

Every Knowledge Base holds the gateway's own documentation, except for the ids MISSING000, EMPTY00000 and NOHYBRID00; an id
that begins with MANAGED is a managed one, and one that begins with IMAGES takes images as queries. Faults of Retrieve, in the query:
  [simulate kb throttle|quota|internal|access-denied|dependency-failed|bad-gateway|conflict|not-ready|validation]
  [simulate kb slow 2s]  [simulate kb hang]  [simulate kb empty]  [simulate kb malformed]
  [simulate kb guardrail]     the guardrail of the search intervenes

Every guardrail blocks text with the word \"contraband\" and answers with \"smuggled\", masks secret-…, and finds
\"ungrounded\" without grounding; the guardrail missing000 does not exist. Its content filters, and those of guardrail checks, find
bloodshed, bigotry, lewdness, burglary, scoundrel and nitwit. Faults of ApplyGuardrail and InvokeGuardrailChecks, in any text: the errors
above, \"slow\" and \"hang\", as [simulate apply throttle]";

/// How a stream or a body breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    Stall,
    Linger,
    Reset,
    Cut,
    NoStop,
    NoMetadata,
    NoDone,
    Truncate,
    BadCrc,
    BadLength,
    Exception(String),
    FirstException(String),
}

/// The faults and delays that a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    error: Option<String>,
    slow: Option<Duration>,
    hang: bool,
    pub pace: Option<Duration>,
    pub words: Option<usize>,
    /// Whether the guardrail of the request, if it has one, intervenes.
    pub guardrail: bool,
    /// How an answer in JSON misses its schema, if nothing enforces it.
    pub misfit: Option<Misfit>,
    /// How an answer in JSON begins instead of continuing a prefill: `json`, `fence` or `prose`.
    pub anew: Option<String>,
    pub breaks: Option<Break>,
}

impl Plan {
    /// Reads the directives of a valid Converse request.
    pub fn of(request: &Value) -> Self {
        // A prefill follows the last user message.
        let last = request["messages"].as_array().and_then(|messages| {
            let mut messages = messages.iter().rev();
            messages.find(|message| message["role"] == "user")
        });
        let blocks = last.and_then(|message| message["content"].as_array());
        Self::from_texts(blocks.map(|blocks| said(blocks)).unwrap_or_default())
    }

    /// Reads the directives of all `texts`.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut plan = Self::default();
        for text in texts {
            for directive in text
                .split("[simulate ")
                .skip(1)
                .filter_map(|rest| rest.split(']').next())
            {
                plan.add(directive);
            }
        }
        plan
    }

    fn add(&mut self, directive: &str) {
        let (name, argument) = directive.split_once(' ').unwrap_or((directive, ""));
        let duration = || humantime::parse_duration(argument).ok();
        match name {
            "slow" => self.slow = duration(),
            "pace" => self.pace = duration(),
            "words" => self.words = argument.parse().ok(),
            "hang" => self.hang = true,
            "guardrail" => self.guardrail = true,
            "misfit" => self.misfit = Misfit::named(argument),
            "anew" => self.anew = Some(argument.to_owned()),
            "stall" => self.breaks = Some(Break::Stall),
            "linger" => self.breaks = Some(Break::Linger),
            "reset" => self.breaks = Some(Break::Reset),
            "cut" => self.breaks = Some(Break::Cut),
            "no-stop" => self.breaks = Some(Break::NoStop),
            "no-metadata" => self.breaks = Some(Break::NoMetadata),
            "no-done" => self.breaks = Some(Break::NoDone),
            "truncate" => self.breaks = Some(Break::Truncate),
            "bad-crc" => self.breaks = Some(Break::BadCrc),
            "bad-length" => self.breaks = Some(Break::BadLength),
            "exception" => self.breaks = Some(Break::Exception(argument.to_owned())),
            "first-exception" => self.breaks = Some(Break::FirstException(argument.to_owned())),
            // Meant for the Knowledge Base that was queried before, or for the guardrail.
            "kb" | "apply" => {}
            _ => self.error = Some(name.to_owned()),
        }
    }

    /// Waits as long as the request asks for.
    pub async fn before_reply(&self) {
        if self.hang {
            std::future::pending::<()>().await;
        }
        if let Some(slow) = self.slow {
            tokio::time::sleep(slow).await;
        }
    }

    /// The error that the request asks for. An unknown directive is an error, too, so that a misspelled test fails.
    pub fn refusal(&self) -> Option<ServiceError> {
        let (name, status, message) = match self.error.as_deref()? {
            "throttle" => (
                "ThrottlingException",
                429,
                "Too many requests, please wait before trying again.",
            ),
            "quota" => (
                "ServiceQuotaExceededException",
                400,
                "Too many tokens per day, please wait before trying again.",
            ),
            "unavailable" => (
                "ServiceUnavailableException",
                503,
                "Bedrock is unable to process your request.",
            ),
            "internal" => (
                "InternalServerException",
                500,
                "The system encountered an unexpected error during processing. Try your request again.",
            ),
            "access-denied" => (
                "AccessDeniedException",
                403,
                "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:InvokeModel",
            ),
            "not-found" => (
                "ResourceNotFoundException",
                404,
                "The specified resource arn:aws:bedrock:us-east-1:123456789012:x was not found.",
            ),
            "end-of-life" => (
                "ResourceNotFoundException",
                404,
                "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
            ),
            "not-ready" => (
                "ModelNotReadyException",
                429,
                "Model is not ready for inference. Wait and try your request again.",
            ),
            "model-timeout" => (
                "ModelTimeoutException",
                408,
                "The request took too long to process.",
            ),
            "model-error" => (
                "ModelErrorException",
                424,
                "The request failed due to an error while processing the model.",
            ),
            "too-long" => (
                "ValidationException",
                400,
                "Input is too long for requested model.",
            ),
            "validation" => (
                "ValidationException",
                400,
                "The value at arn:aws:bedrock:us-east-1:123456789012:x is not allowed.",
            ),
            "conflict" => ("ConflictException", 400, "A conflict."),
            other => {
                return Some(ServiceError::validation(format!(
                    "the simulator knows no fault '{other}'"
                )));
            }
        };
        Some(ServiceError {
            name,
            status,
            message: message.to_owned(),
        })
    }
}
