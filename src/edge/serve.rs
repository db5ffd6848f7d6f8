//! Serves one request of any dialect: parses it, dispatches the call, writes the response.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};

use super::{
    Edge,
    access_log::Entry,
    auth, body,
    dialect::{Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext},
    json_response, reply_headers, rescue, sse,
};
use crate::{
    call::{Call, Unplanned},
    error::Error,
    metrics,
    operation::Reply as _,
};

/// Handles every route that calls a model.
pub async fn serve<D: Dialect>(
    State(edge): State<Arc<Edge>>,
    Extension(entry): Extension<Entry>,
    request: Request,
) -> Response {
    let mut response = match answer::<D>(&edge, &entry, request).await {
        Ok(response) => response,
        Err(error) => rescue::respond(with_input_param::<D>(error), D::error),
    };
    let trace = entry.trace();
    reply_headers::add_rate_limits(&mut response, &trace.rate_limits());
    reply_headers::add_attempts(&mut response, trace.attempts());
    response
}

async fn answer<D: Dialect>(
    edge: &Edge,
    entry: &Entry,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    body::check_headers(&parts.headers, edge.limits.max_body)?;
    let bytes = body::read(body, edge.limits).await?;
    let received = Instant::now();
    let caller = auth::again(edge, entry, &parts.headers)?;
    // Loaded once, so that a reload does not affect this request.
    let gateway = edge.gateway.load_full();
    let trace = entry.trace();
    let ParsedRequest {
        operation,
        model,
        end_user,
        view,
    } = D::parse(&Incoming {
        headers: &parts.headers,
        body: &bytes,
        caller: &caller,
        knowledge_bases: &gateway.knowledge_bases,
        warnings: trace.warnings(),
    })?;
    drop(bytes);
    let destination = gateway.dispatch.resolve_for(&model, &caller).await?;
    let users = caller.end_users.as_ref().zip(end_user);
    let call = Call {
        request_id: entry.request_id().clone(),
        end_user: users
            .map(|(users, name)| users.account(&name, SystemTime::now()))
            .unwrap_or_default(),
        caller,
        model: destination.model.clone(),
        body: Arc::new(operation),
        plan: Unplanned,
        trace: trace.clone(),
    };
    entry.set_model(&call.model);
    let log_entry = entry.clone();
    let served = edge
        .disconnect
        .run(destination, call, move |end| log_entry.set_end(end))
        .await?;
    let (is_stream, usage) = (served.reply.is_stream(), served.reply.usage());
    let headers = reply_headers::Headers::of(&served.model, &served.plan, trace, usage);
    let cx = ReplyContext {
        id: entry.id(),
        created: body::unix_seconds(),
        trace,
    };
    let mut response = match D::reply(served.reply, view, cx)? {
        Outgoing::Whole(body) => json_response(body),
        Outgoing::Events(source) => sse::response(entry, source, edge.disconnect.cut.clone()),
    };
    headers.add_to(&mut response);
    let phase = if is_stream { "first_chunk" } else { "request" };
    entry.set_stream(is_stream);
    metrics::overhead(
        D::ROUTE,
        phase,
        received.elapsed().saturating_sub(trace.waited()),
    );
    Ok(response)
}

/// Sets the parameter of an error about too long an input. Only the dialect knows the member's name: the
/// same chat arrives as `messages` or as `prompt`.
fn with_input_param<D: Dialect>(error: Error) -> Error {
    match error.code() == Some("context_length_exceeded") && error.param().is_none() {
        true => error.with_param(D::INPUT),
        false => error,
    }
}
