//! `POST /v1/responses`, <https://platform.openai.com/docs/api-reference/responses/create>, and its compaction. The items
//! become a conversation, so that every model answers them on every route.

mod choice;
mod content;
mod conversation;
mod events;
mod input_tokens;
mod item;
mod names;
mod options;
mod output;
mod parse;
mod rendered;
mod reply;
pub(super) mod sealed;
mod stored;
mod tools;

use std::time::Duration;

use axum::http::HeaderMap;

pub use input_tokens::InputTokens;
pub use stored::{StoredContent, unavailable};

use bytes::Bytes;

use events::Events;
use output::{Output, OutputSettings};
use reply::{Head, ResponseWriter};
use stored::Draft;

use super::{
    Dialect, Incoming, Outgoing, ParsedRequest, Policies, RecallContext, Recalled, ReplyContext,
    chat_completions, chat_events::ChatEvents, paths::Paths,
};
use crate::{
    call::{Caller, Warnings},
    edge::{body, labels, seal::Seals},
    error::{Error, Kind},
    knowledge::KnowledgeBases,
    openai::responses::served::{CompactedResponse, Settings},
    operation::chat::{Chat, ChatReply, WholeReply},
};

/// The longest time that a client is told to wait. Codex waits for as long as it is told, six times; without a time, it
/// stops and shows the error.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The dialect of OpenAI's Responses API.
pub struct Responses;

/// The dialect that replaces a conversation by a summary, `POST /v1/responses/compact`.
pub struct Compactions;

/// The members that have other names in chat completions.
const PATHS: Paths = Paths {
    members: &[
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format", "text.format"),
        ("reasoning_effort", "reasoning.effort"),
        ("verbosity", "text.verbosity"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("tool_choice.allowed_tools", "tool_choice"),
        ("tool_calls", "output"),
        ("finish_reason", "status"),
        ("reply", "output"),
    ],
    parts: &[
        (".image_url.url", ".image_url"),
        (".image_url.detail", ".detail"),
        (".file.", "."),
        (".function.", "."),
        (".custom.", "."),
        (".thinking_blocks", ".encrypted_content"),
        (".server_tool_blocks", ""),
    ],
};

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    fallbacks: Option<Vec<String>>,
    settings: Settings,
    output: OutputSettings,
    /// What the Knowledge Bases are searched for.
    query: Option<String>,
    has_search_results: bool,
    has_warnings: bool,
    /// What will be stored, if anything.
    draft: Option<Draft>,
}

/// Parses and validates the body of a request, for a key without Knowledge Bases.
///
/// # Errors
/// 400 with the invalid member, or with the byte offset of a syntax error.
pub fn responses_request(body: &[u8], warnings: &Warnings) -> Result<Chat, Error> {
    let incoming = Incoming {
        path: labels::RESPONSES,
        headers: &HeaderMap::new(),
        body,
        caller: &Caller::default(),
        knowledge_bases: &KnowledgeBases::default(),
        recalled: &Recalled::default(),
        responses: None,
        seals: &Seals::new(&[]),
        policies: Policies::default(),
        warnings,
    };
    parse::request(&incoming, false).map(|parsed| parsed.chat)
}

impl Dialect for Responses {
    type Operation = Chat;
    type View = View;
    const ROUTE: &'static str = labels::RESPONSES;
    const INPUT: &'static str = "input";
    const PATHS: Paths = PATHS;

    async fn recall(body: Bytes, cx: RecallContext<'_>) -> Result<(Bytes, Recalled), Error> {
        stored::recall(body, cx).await
    }

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let parsed = parse::request(request, false)?;
        Ok(ParsedRequest {
            operation: parsed.chat,
            model: parsed.view.model.clone(),
            end_user: parsed.end_user,
            view: parsed.view,
        })
    }

    fn fallbacks(view: &View) -> Option<&[String]> {
        view.fallbacks.as_deref()
    }

    fn reply(reply: ChatReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        match reply {
            ChatReply::Whole(whole) => {
                let (mut head, output) = whole_output(whole, view, cx);
                if let Some(error) = output.missing_summary() {
                    return Err(error);
                }
                let draft = head.draft.take();
                let object = head.answered(&output);
                let body = serde_json::to_vec(&object).map_err(chat_completions::unwritable)?;
                if let Some(draft) = draft {
                    draft.save(&head.id, &body);
                }
                Ok(Outgoing::Whole(body))
            }
            ChatReply::Stream(stream) => {
                let (head, output) = begin(view, cx, false);
                let writer = ResponseWriter::new(head, output);
                Ok(Outgoing::Events(Box::new(ChatEvents::new(stream, writer))))
            }
        }
    }

    fn adapt(error: Error) -> Error {
        match wait(&error) {
            Some(_) => error,
            None => error.without_retry_after(),
        }
    }

    fn error_event(error: &Error) -> Vec<u8> {
        let head = Head {
            id: "resp_0".to_owned(),
            created: body::unix_seconds(),
            model: String::new(),
            settings: Settings::default(),
            retrieval: None,
            query: None,
            has_search_results: false,
            warnings: None,
            draft: None,
        };
        let mut events = Events::new(false);
        events.fail(error, head.object(&[]));
        events.out.to_vec()
    }
}

impl Dialect for Compactions {
    type Operation = Chat;
    type View = View;
    const ROUTE: &'static str = labels::COMPACTIONS;
    const INPUT: &'static str = "input";
    const PATHS: Paths = PATHS;

    async fn recall(body: Bytes, cx: RecallContext<'_>) -> Result<(Bytes, Recalled), Error> {
        stored::recall(body, cx).await
    }

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let parsed = parse::request(request, true)?;
        Ok(ParsedRequest {
            operation: parsed.chat,
            model: parsed.view.model.clone(),
            end_user: parsed.end_user,
            view: parsed.view,
        })
    }

    fn reply(reply: ChatReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let ChatReply::Whole(whole) = reply else {
            let text = "The gateway streamed a compaction.";
            return Err(Error::new(Kind::Internal, text));
        };
        let (head, output) = whole_output(whole, view, cx);
        if let Some(text) = output.blocked {
            return Err(Error::invalid("input", text).with_code("invalid_prompt"));
        }
        if let Some(error) = output.missing_summary() {
            return Err(error);
        }
        let object = CompactedResponse {
            id: &head.id,
            object: "response.compaction",
            created_at: head.created,
            output: &output.items,
            usage: output.usage.as_ref().map(reply::usage),
        };
        let body = serde_json::to_vec(&object).map_err(chat_completions::unwritable)?;
        Ok(Outgoing::Whole(body))
    }

    fn adapt(error: Error) -> Error {
        Responses::adapt(error)
    }
}

/// Returns the time that the client is told to wait, if another attempt can succeed soon.
fn wait(error: &Error) -> Option<Duration> {
    let after = error.retry_after()?;
    (after <= MAX_RETRY_AFTER && error.kind() != Kind::UpstreamQuota).then_some(after)
}

/// Returns the head and the output of a whole reply. A response has one choice.
fn whole_output(whole: WholeReply, view: View, cx: ReplyContext<'_>) -> (Head, Output) {
    let (head, mut output) = begin(view, cx, true);
    head.add_search(&mut output);
    for chunk in whole.choices.into_iter().next().unwrap_or_default() {
        output.chunk(chunk);
    }
    output.usage = Some(whole.usage);
    output.guardrail = whole.guardrail;
    (head, output)
}

fn begin(view: View, cx: ReplyContext<'_>, is_silent: bool) -> (Head, Output) {
    let head = Head {
        id: format!("resp_{}", cx.id),
        created: cx.created,
        model: view.model,
        settings: view.settings,
        retrieval: cx.trace.retrieval().cloned(),
        query: view.query,
        has_search_results: view.has_search_results,
        warnings: view.has_warnings.then(|| cx.trace.warnings().clone()),
        draft: view.draft,
    };
    let settings = OutputSettings {
        id: cx.id.to_string(),
        ..view.output
    };
    (head, Output::new(settings, Events::new(is_silent)))
}
