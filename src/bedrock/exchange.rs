//! One request to Bedrock and its reply.

use std::sync::Arc;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::{
    Bedrock, Prepared, failure,
    retries::Subject,
    stream::EventStream,
    transport::{Operation, Transport},
};
use crate::{
    call::{Call, Chunk, Ticket},
    converse::reply::ConverseReply,
    error::{Error, Kind},
    metrics,
    openai::{chat::ChatRequest, completion::FinishReason},
    translate::{self, Read, ReplyPlan, StreamTranslator},
};

/// More than any whole reply that the service can give.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// A streamed answer, from its first token on.
pub async fn stream(
    leaf: &Bedrock,
    call: &Call<ChatRequest>,
    prepared: &Prepared,
) -> Result<EventStream, Error> {
    let mut attempts = leaf.retries.begin(&*leaf.transport, Subject::of(call));
    loop {
        let mut counted = Counted::new(call, attempts.is_repeated());
        let result = async {
            let body = send(
                &*leaf.transport,
                Operation::ConverseStream,
                call,
                prepared.body.clone(),
            )
            .await?;
            let translator = StreamTranslator::new(prepared.plan.clone(), call.notes.clone());
            EventStream::open(body, translator, call.model.timeouts.idle).await
        };
        match counted.record(result.await) {
            Ok(mut stream) => {
                stream.account(counted.ticket.take());
                return Ok(stream);
            }
            Err(error) => attempts.after(error).await?,
        }
    }
}

/// A whole answer. One that does not fit its schema is asked for once more, where the operator wants that.
pub async fn whole(
    leaf: &Bedrock,
    call: &Call<ChatRequest>,
    prepared: &Prepared,
) -> Result<Read, Error> {
    let read = ask(leaf, call, &prepared.body, &prepared.plan).await?;
    let Some(schema) = &prepared.plan.schema else {
        return Ok(read);
    };
    let Some((text, problem)) = misfit(schema, &read) else {
        return Ok(read);
    };
    if !call.model.options.repair_json {
        call.notes
            .add("response_format: the answer is not the JSON that was asked for");
        return Ok(read);
    }
    let body = repair(&prepared.body, &text, &problem)?;
    let mut second = match ask(leaf, call, &body, &prepared.plan).await {
        Ok(second) => second,
        Err(error) => {
            // The answer in hand is worth more than the error, which is told beside it.
            let code = error.label();
            call.notes
                .add(format!("response_format: the answer is not the JSON that was asked for; the second try: {code}"));
            return Ok(read);
        }
    };
    let fits = misfit(schema, &second).is_none();
    call.notes.add(match fits {
        true => "response_format: the model was asked twice until its answer was the JSON that was asked for",
        false => "response_format: the answer is not the JSON that was asked for, nor was the one before it",
    });
    // Both calls were made, and both are paid for.
    if let (Some(first), Some(Chunk::Usage(last))) = (read.usage(), second.chunks.back_mut()) {
        *last = first + *last;
    }
    Ok(second)
}

async fn ask(
    leaf: &Bedrock,
    call: &Call<ChatRequest>,
    body: &Bytes,
    plan: &Arc<ReplyPlan>,
) -> Result<Read, Error> {
    let mut attempts = leaf.retries.begin(&*leaf.transport, Subject::of(call));
    loop {
        let mut counted = Counted::new(call, attempts.is_repeated());
        let result = async {
            let reply = send(&*leaf.transport, Operation::Converse, call, body.clone()).await?;
            translate::whole_reply(
                parsed(&collected(reply, MAX_REPLY_BYTES).await?)?,
                plan,
                &call.notes,
            )
        };
        match counted.record(result.await) {
            Ok(read) => {
                if let (Some(ticket), Some(usage)) = (counted.ticket.take(), read.usage()) {
                    ticket.used(usage);
                }
                return Ok(read);
            }
            Err(error) => attempts.after(error).await?,
        }
    }
}

fn parsed(body: &[u8]) -> Result<ConverseReply, Error> {
    serde_json::from_slice(body).map_err(|error| {
        Error::new(
            Kind::Upstream,
            "Bedrock sent a reply that could not be read.",
        )
        .with_code("upstream_malformed")
        .with_detail(format!(
            "{:?} at column {} of {} bytes",
            error.classify(),
            error.column(),
            body.len()
        ))
        .may_be_billed()
    })
}

/// The answer's text and what is wrong with it; none if it fits, or is a call, or was cut short or blocked.
fn misfit(schema: &Value, read: &Read) -> Option<(String, String)> {
    let text: String = read
        .chunks
        .iter()
        .filter_map(|chunk| {
            if let Chunk::Content(text) = chunk {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect();
    let is_answer = |chunk: &Chunk| *chunk == Chunk::Finish(FinishReason::Stop);
    if !read.chunks.iter().any(is_answer) {
        return None;
    }
    translate::misfit(schema, &text).map(|problem| (text, problem))
}

/// The same conversation, with the answer and what is wrong with it.
fn repair(body: &Bytes, answer: &str, problem: &str) -> Result<Bytes, Error> {
    let internal = |error: serde_json::Error| {
        Error::new(
            Kind::Internal,
            "The gateway could not ask for a better answer.",
        )
        .with_detail(error.to_string())
    };
    let mut request: Value = serde_json::from_slice(body).map_err(internal)?;
    let answer = if answer.trim().is_empty() {
        "."
    } else {
        answer.trim_end()
    };
    let text = format!(
        "That answer is not acceptable: {problem}. Answer again, with the corrected JSON and nothing else."
    );
    if let Some(messages) = request["messages"].as_array_mut() {
        // A prefill was ours, and is part of the answer now.
        if messages
            .last()
            .is_some_and(|last| last["role"] == "assistant")
        {
            messages.pop();
        }
        messages.push(json!({"role": "assistant", "content": [{"text": answer}]}));
        messages.push(json!({"role": "user", "content": [{"text": text}]}));
    }
    serde_json::to_vec(&request)
        .map(Bytes::from)
        .map_err(internal)
}

async fn send(
    transport: &dyn Transport,
    operation: Operation,
    call: &Call<ChatRequest>,
    body: Bytes,
) -> Result<SdkBody, Error> {
    call.upstream.attempt();
    let reply = transport
        .send(operation, &call.model.target, body)
        .await
        .map_err(failure::from_send)?;
    let (parts, body) = reply.into_parts();
    if parts.status.is_success() {
        return Ok(body);
    }
    let body = collected(body, MAX_REPLY_BYTES).await.unwrap_or_default();
    Err(failure::from_reply(parts.status, &parts.headers, &body))
}

/// All of a reply's body, if it has `max` bytes at most.
pub async fn collected(body: SdkBody, max: usize) -> Result<Bytes, Error> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(failure::truncated(error.to_string())),
    }
}

/// Counts a call to Bedrock however it ends; `abandoned` is one that the deadline or the client gave up. Only what the
/// service has refused is not on the bill.
struct Counted<'a> {
    call: &'a Call<ChatRequest>,
    ticket: Option<Ticket>,
    retried: bool,
    code: &'static str,
}

impl<'a> Counted<'a> {
    fn new(call: &'a Call<ChatRequest>, retried: bool) -> Self {
        Self {
            call,
            ticket: Some(call.spending.send()),
            retried,
            code: "abandoned",
        }
    }

    fn record<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result
            .as_ref()
            .is_err_and(|error| !error.is_perhaps_billed())
            && let Some(ticket) = self.ticket.take()
        {
            ticket.free();
        }
        self.code = result.as_ref().err().map_or("ok", |error| error.label());
        result
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        metrics::upstream_request(
            &self.call.model.target.region,
            self.call.model.label(),
            self.code,
            self.retried,
        );
    }
}
