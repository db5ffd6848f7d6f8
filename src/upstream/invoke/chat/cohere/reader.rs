//! Reads replies and events.

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    error::Error,
    upstream::invoke::{
        chat::{
            completion::failed,
            reply::{Reader, Reply},
        },
        malformed, parse,
    },
};

/// Reads the replies of Command R.
#[derive(Default)]
pub struct CommandR {
    has_text: bool,
    has_citations: bool,
    /// The number of calls so far.
    calls: u32,
}

/// A reply, or an event.
#[derive(Deserialize)]
struct Generated {
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    citations: Option<Vec<Citation>>,
    #[serde(default)]
    finish_reason: Option<String>,
    /// The whole reply, in the last event.
    #[serde(default)]
    response: Option<Box<Generated>>,
}

#[derive(Deserialize)]
struct ToolCall {
    name: String,
    #[serde(default)]
    parameters: Option<Box<RawValue>>,
}

/// A part of the text that rests on documents.
#[derive(Deserialize)]
struct Citation {
    /// In characters of the text.
    #[serde(default)]
    start: usize,
    #[serde(default)]
    end: usize,
    /// `doc_0` is the first document of the request. Others are results of tools.
    #[serde(default)]
    document_ids: Vec<String>,
}

impl CommandR {
    fn read(&mut self, generated: Generated, reply: &mut Reply) -> Result<(), Error> {
        // The end repeats what the events before it had.
        let is_end = generated.event_type.as_deref() == Some("stream-end");
        // The event with all calls repeats the text that came with their parts.
        let is_repeated = generated.event_type.as_deref() == Some("tool-calls-generation");
        let text = generated.text.unwrap_or_default();
        if !(is_end || is_repeated && self.has_text) {
            self.has_text |= !text.is_empty();
            reply.text(text);
        }
        if !(is_end && self.has_citations) {
            self.cite(&generated.citations.unwrap_or_default(), reply);
        }
        if !(is_end && self.calls > 0) {
            self.call(generated.tool_calls.unwrap_or_default(), reply);
        }
        if let Some(response) = generated.response {
            let repeated = Generated {
                event_type: Some("stream-end".to_owned()),
                finish_reason: None,
                ..*response
            };
            self.read(repeated, reply)?;
        }
        match generated.finish_reason.as_deref() {
            None => {}
            Some("COMPLETE") => reply.stop("end_turn", None),
            Some("MAX_TOKENS") => reply.stop("max_tokens", None),
            Some("STOP_SEQUENCE") => reply.stop("stop_sequence", None),
            Some("ERROR_TOXIC") => reply.stop("content_filtered", None),
            Some("ERROR_LIMIT") => reply.stop("model_context_window_exceeded", None),
            Some(reason @ ("ERROR" | "USER_CANCEL")) => return Err(failed(reason)),
            Some(other) => reply.stop(other, None),
        }
        Ok(())
    }

    fn call(&mut self, calls: Vec<ToolCall>, reply: &mut Reply) {
        for call in calls {
            let block = self.calls;
            self.calls = self.calls.saturating_add(1);
            reply.tool_start(block, "", &call.name);
            let parameters = call.parameters.filter(|own| own.get() != "null");
            let input = parameters.map_or("{}".to_owned(), |own| own.get().to_owned());
            reply.tool_input(block, input);
            reply.block_stop(block);
        }
    }

    fn cite(&mut self, citations: &[Citation], reply: &mut Reply) {
        for citation in citations {
            let indexes = citation.document_ids.iter().filter_map(|id| {
                let index = id.strip_prefix("doc_")?;
                index.parse::<u32>().ok()
            });
            let cited = indexes
                .map(|index| json!({"location": {"documentChar": {"documentIndex": index}}}));
            self.has_citations = true;
            reply.citations(citation.start, citation.end, cited.collect());
        }
    }
}

impl Reader for CommandR {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let whole: Generated = parse(body)?;
        if whole.text.is_none() && whole.tool_calls.is_none() {
            return Err(malformed("no `text`"));
        }
        self.read(whole, reply)?;
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.read(parse(event)?, reply)
    }
}
