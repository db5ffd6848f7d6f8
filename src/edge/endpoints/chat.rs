//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use crate::{
    call::{Call, Caller, ChatReply, Ending},
    edge::{Edge, access_log::Entry, decode, encode, labels, sse},
    error::Error,
    metrics,
    openai::chat::ChatRequest,
};

pub async fn create(
    State(edge): State<Arc<Edge>>,
    Extension(entry): Extension<Entry>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Result<Response, Error> {
    let call = decode::chat(&edge, &entry, caller, request).await?;
    let (allowance, upstream) = (call.allowance.clone(), call.upstream.clone());
    let mut response = match answer(&edge, &entry, call).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    encode::add_rate_limits(&mut response, &allowance.get());
    encode::add_attempts(&mut response, upstream.attempts());
    Ok(response)
}

async fn answer(edge: &Edge, entry: &Entry, call: Call<ChatRequest>) -> Result<Response, Error> {
    let (chat, model, notes, upstream) = (
        call.body.clone(),
        call.model.clone(),
        call.notes.clone(),
        call.upstream.clone(),
    );
    let retrieved = call.retrieved.clone();
    let received = call.received;
    entry.call(&call);
    let watcher = entry.clone();
    let on_end = move |ending: &Ending| watcher.ending(ending);
    let (phase, response) = match edge.calls.run(edge.dispatch.clone(), call, on_end).await? {
        ChatReply::Whole(reply) => {
            let mut response = encode::whole(entry, &chat.model, &reply, retrieved.get())?;
            encode::add_headers(&mut response, &model, "converse", &notes, Some(&reply));
            ("request", response)
        }
        ChatReply::Stream(stream) => {
            let route = if model.answers_whole(&chat) {
                "converse; reason=stream_not_offered"
            } else {
                "converse"
            };
            let mut response = sse::response(
                entry,
                &chat,
                stream,
                retrieved.get(),
                edge.calls.cut.clone(),
            );
            encode::add_headers(&mut response, &model, route, &notes, None);
            ("first_chunk", response)
        }
    };
    let own = received.elapsed().saturating_sub(upstream.waited());
    metrics::overhead(labels::CHAT_COMPLETIONS, phase, own);
    Ok(response)
}
