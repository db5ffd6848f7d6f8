//! Writes the response object, and the events around the output.

use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Map, Value};

use super::{output::Output, stored::Draft};
use crate::{
    call::{Passage, Retrieval, Warnings},
    edge::{
        body,
        dialect::{EventWriter, chat_completions},
    },
    error::Error,
    money,
    openai::{
        completion::FinishReason,
        responses::served::{
            EventBody, Failure, InputDetails, OutputDetails, OutputItem, Reason, ResponseObject,
            Settings, Status, Usage,
        },
    },
    operation::chat::ChoiceChunk,
};

/// The parts of the response object that are known before the answer.
pub struct Head {
    pub id: String,
    /// Unix seconds.
    pub created: u64,
    /// The name that the client requested.
    pub model: String,
    pub settings: Settings,
    /// The retrieval that the answer is based on.
    pub retrieval: Option<Arc<Retrieval>>,
    /// What the Knowledge Bases are searched for.
    pub query: Option<String>,
    /// The client wants to see the results of the search.
    pub has_search_results: bool,
    /// The warnings to list at the end, if the client asked for them.
    pub warnings: Option<Warnings>,
    /// What will be stored, if anything.
    pub draft: Option<Draft>,
}

impl Head {
    /// Returns the object without an answer. `status` is `in_progress` until there is one.
    pub fn object<'a>(&'a self, output: &'a [OutputItem]) -> ResponseObject<'a> {
        ResponseObject {
            id: &self.id,
            object: "response",
            created_at: self.created,
            completed_at: None,
            status: "in_progress",
            background: false,
            error: None,
            incomplete_details: None,
            model: &self.model,
            output,
            settings: &self.settings,
            usage: None,
            service_tier: None,
            bedrock_guardrail: None,
            kb: None,
            x_lintel_warnings: None,
        }
    }

    /// Returns the object with the answer.
    pub fn answered<'a>(&'a self, output: &'a Output) -> ResponseObject<'a> {
        let incomplete = |reason| ("incomplete", None, Some(Reason { reason }));
        let (status, error, incomplete_details) = match (&output.blocked, output.finish) {
            // Codex shows the text and stops. It would repeat a request whose answer is not complete.
            (Some(message), _) => {
                let code = "invalid_prompt";
                ("failed", Some(Failure { code, message }), None)
            }
            (None, Some(FinishReason::Length)) => incomplete("max_output_tokens"),
            (None, Some(FinishReason::ContentFilter)) => incomplete("content_filter"),
            (None, _) => ("completed", None, None),
        };
        ResponseObject {
            status,
            error,
            incomplete_details,
            completed_at: (status == "completed").then(body::unix_seconds),
            usage: output.usage.as_ref().map(usage),
            service_tier: output.usage.and_then(|usage| usage.service_tier),
            bedrock_guardrail: output.guardrail.as_ref(),
            kb: self.retrieval.as_deref().map(chat_completions::kb),
            x_lintel_warnings: self.warnings.as_ref().map(Warnings::texts),
            ..self.object(&output.items)
        }
    }

    /// Adds the search that the gateway ran before it called the model, if there was one.
    pub fn add_search(&self, output: &mut Output) {
        let Some(retrieval) = &self.retrieval else {
            return;
        };
        let results = || retrieval.shown().iter().map(result).collect();
        let item = |status, results| OutputItem::FileSearchCall {
            id: output.next_id("fs"),
            status,
            queries: self.query.iter().cloned().collect(),
            results,
        };
        let begun = item(Status::InProgress, None);
        let done = item(Status::Completed, self.has_search_results.then(results));
        let events = [
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
        ];
        output.whole_item(begun, done, &events);
    }
}

/// Converts token counts.
pub fn usage(usage: &money::Usage) -> Usage {
    Usage {
        input_tokens: usage.prompt(),
        input_tokens_details: InputDetails {
            cached_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
        },
        output_tokens: usage.output,
        output_tokens_details: OutputDetails {
            reasoning_tokens: usage.reasoning,
        },
        total_tokens: usage.total(),
        cost: chat_completions::cost(usage),
        estimated: usage.estimated,
    }
}

fn result(passage: &Passage) -> Value {
    let members = [
        ("file_id", passage.source.as_str().into()),
        ("filename", passage.title().into()),
        ("score", passage.score.into()),
        ("text", passage.text.as_str().into()),
        ("attributes", Value::Object(attributes(passage))),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Value::Object(Map::from_iter(members))
}

/// Returns the metadata of a passage as attributes, which are texts, numbers and booleans. Other values become their JSON.
fn attributes(passage: &Passage) -> Map<String, Value> {
    let metadata = passage.metadata.iter();
    let attribute = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => value.clone(),
            other => other.to_string().into(),
        };
        (name.clone(), value)
    };
    metadata.map(attribute).collect()
}

/// Writes the events of a response.
pub struct ResponseWriter {
    head: Head,
    output: Output,
}

impl ResponseWriter {
    /// Creates a writer, and writes the events before the output.
    pub fn new(head: Head, mut output: Output) -> Self {
        let object = head.object(&[]);
        let body = EventBody {
            response: Some(&object),
            ..EventBody::default()
        };
        output.events.write("response.created", body);
        output.events.write("response.in_progress", body);
        head.add_search(&mut output);
        Self { head, output }
    }
}

impl EventWriter for ResponseWriter {
    fn chunk(&mut self, ChoiceChunk { chunk, .. }: &ChoiceChunk) {
        self.output.chunk(chunk.clone());
    }

    fn error(&mut self, error: &Error) {
        // It would wait for the next piece.
        self.output.flush_first();
        let response = self.head.object(&self.output.items);
        self.output.events.fail(error, response);
    }

    fn failure(&mut self) -> Option<Error> {
        self.output.missing_summary()
    }

    fn done(&mut self) {
        let mut events = std::mem::take(&mut self.output.events);
        let draft = self.head.draft.take();
        let response = self.head.answered(&self.output);
        let body = EventBody {
            response: Some(&response),
            ..EventBody::default()
        };
        if let (Some(draft), Ok(object)) = (draft, serde_json::to_vec(&response)) {
            draft.save(&self.head.id, &object);
        }
        events.write(&format!("response.{}", response.status), body);
        self.output.events = events;
    }

    fn heartbeat(&mut self) {
        self.output.events.keep_alive();
    }

    fn written(&mut self) -> &mut BytesMut {
        &mut self.output.events.out
    }
}
