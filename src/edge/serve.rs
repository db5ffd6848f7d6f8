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

use tokio_util::sync::CancellationToken;

use super::{
    Edge,
    access_log::Entry,
    auth, body,
    body_guard::until_end,
    dialect::{
        Dialect, EventSource, Incoming, Media, Outgoing, ParsedRequest, RecallContext, ReplyContext,
    },
    json_response,
    late::{self, Answer},
    own_timeout,
    receive::{BodyPermit, BufferedBody, receive},
    reply_headers, rescue, sse,
};
use crate::{
    call::{Call, Unplanned},
    dispatch::Destination,
    error::{Error, Kind},
    metrics,
    operation::{Operation as _, Reply as _},
};

/// Handles every route that calls a model.
pub async fn serve<D: Dialect>(
    State(edge): State<Arc<Edge>>,
    Extension(entry): Extension<Entry>,
    request: Request,
) -> Response {
    let mut response = match answer::<D>(&edge, &entry, request).await {
        Ok(response) => response,
        Err(error) => {
            entry.set_stream(false);
            rescue::respond(D::adapt(error), D::error)
        }
    };
    let trace = entry.trace();
    reply_headers::add_rate_limits(&mut response, &trace.rate_limits());
    reply_headers::add_attempts(&mut response, trace.attempts());
    response
}

async fn answer<D: Dialect>(
    edge: &Arc<Edge>,
    entry: &Entry,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    body::check_headers(&parts.headers, edge.limits.max_body, D::MEDIA)?;
    let BufferedBody { bytes, mut permit } = receive(body, &edge.limits).await?;
    let received = Instant::now();
    let trace = entry.trace();
    trace.set_body_size(bytes.len());
    let caller = auth::caller_of(edge, entry, &parts, &bytes).await?;
    // Loaded once, so that a reload does not affect this request.
    let gateway = edge.gateway.load_full();
    let recall = RecallContext {
        responses: &edge.responses,
        caller: &caller,
        trace,
        room: &edge.limits.room,
        permit: &mut permit,
        max_body: edge.limits.max_body,
    };
    let (bytes, recalled) = D::recall(bytes, recall).await?;
    trace.warnings().name_by(D::path, D::explanation);
    let json = matches!(D::MEDIA, Media::Json).then_some(&*bytes);
    if let Some(limit) = own_timeout::of(&parts.headers, json)? {
        trace.set_own_timeout(limit);
    }
    let parse = {
        let (caller, gateway, trace) = (caller.clone(), gateway.clone(), trace.clone());
        let (seals, policies) = (edge.seals.clone(), edge.policies);
        let responses = edge.responses.clone();
        move || {
            D::parse(&Incoming {
                path: parts.uri.path(),
                headers: &parts.headers,
                body: &bytes,
                caller: &caller,
                recalled: &recalled,
                responses: Some(&responses),
                knowledge_bases: &gateway.knowledge_bases,
                seals: &seals,
                policies,
                warnings: trace.warnings(),
            })
        }
    };
    let ParsedRequest {
        operation,
        model,
        end_user,
        view,
    } = trace.compute(parse).await?;
    let known = D::model_name(model.clone(), gateway.dispatch.models(), &caller);
    let destination = match gateway.dispatch.resolve_for(&known, &caller).await {
        // The error names the model as the client does.
        Err(_) if known != model => gateway.dispatch.resolve_for(&model, &caller).await?,
        destination => destination?,
    };
    let destination = match D::fallbacks(&view) {
        None => destination,
        Some([]) => destination.alone(),
        Some(fallbacks) => {
            let chosen = gateway.dispatch.chosen(fallbacks, &caller, trace).await;
            trace.set_chosen_fallbacks();
            destination.with_fallbacks(chosen)
        }
    };
    let users = caller.end_users.as_ref().zip(end_user);
    let call = Call {
        request_id: entry.request_id().clone(),
        end_user: users
            .map(|(users, name)| users.account(&name, SystemTime::now()))
            .unwrap_or_default(),
        caller,
        model: destination.model().clone(),
        body: Arc::new(operation),
        plan: Unplanned,
        trace: trace.clone(),
    };
    entry.set_model(&call.model);
    // The client may leave before the response begins.
    entry.set_stream(call.body.is_stream());
    let cx = ReplyTask {
        edge: edge.clone(),
        entry: entry.clone(),
        received,
    };
    let cut = edge.disconnect.cut.clone();
    let commits = D::IS_SSE && call.body.is_stream();
    let commit_after = edge.limits.commit_after.filter(|_| commits);
    let permit = Arc::new(permit);
    let finished = finish::<D>(cx, destination, call, permit.clone(), view);
    let response = match commit_after {
        None => finished.await?.respond(entry, cut),
        Some(limit) => match late::within::<D, _>(finished, limit, ReadyReply::events).await {
            Answer::Known(finished) => finished?.respond(entry, cut),
            Answer::Committed(source) => {
                entry.set_stream(true);
                sse::response(entry, source, cut)
            }
        },
    };
    // What was parsed from the body lives as long as the call.
    Ok(until_end(response, permit))
}

/// What outlives the handler of a request.
struct ReplyTask {
    edge: Arc<Edge>,
    entry: Entry,
    /// When the request was received.
    received: Instant,
}

/// A reply that is ready to be sent.
struct ReadyReply {
    outgoing: Outgoing,
    headers: reply_headers::Headers,
}

impl ReadyReply {
    fn respond(self, entry: &Entry, cut: CancellationToken) -> Response {
        let mut response = match self.outgoing {
            Outgoing::Whole(body) => json_response(body),
            Outgoing::Events(source) => sse::response(entry, source, cut),
            Outgoing::Raw(headers, body) => {
                let mut response = Response::new(body.into());
                *response.headers_mut() = headers;
                response
            }
            Outgoing::RawEvents(headers, source) => {
                let mut response = sse::response(entry, source, cut);
                response.headers_mut().extend(headers);
                response
            }
        };
        self.headers.add_to(&mut response);
        response
    }

    /// The events of a streamed reply whose headers were sent already.
    fn events(self) -> Result<Box<dyn EventSource>, Error> {
        match self.outgoing {
            Outgoing::Events(source) => Ok(source),
            _ => Err(Error::new(
                Kind::Internal,
                "The gateway answered a streamed request with a whole reply.",
            )),
        }
    }
}

/// Sends the call, and writes its reply.
async fn finish<D: Dialect>(
    cx: ReplyTask,
    destination: Destination,
    call: Call<D::Operation, Unplanned>,
    body: Arc<BodyPermit>,
    view: D::View,
) -> Result<ReadyReply, Error> {
    let (entry, log_entry) = (cx.entry.clone(), cx.entry);
    let (disconnect, received) = (&cx.edge.disconnect, cx.received);
    let asked = call.model.name.clone();
    let served = disconnect
        .run(destination, call, body, move |end| log_entry.set_end(end))
        .await
        // Here, because an error may also arrive as an event.
        .map_err(with_own_param::<D>)?;
    let trace = &served.trace;
    let is_fallback = served.model.name != asked;
    if is_fallback {
        entry.set_model(&served.model);
    }
    let (is_stream, usage) = (served.reply.is_stream(), served.reply.usage());
    let reply_cx = ReplyContext {
        id: entry.id(),
        created: body::unix_seconds(),
        model: &served.model,
        trace,
    };
    let outgoing = D::reply(served.reply, view, reply_cx)?;
    // Afterwards, because writing a whole reply can add warnings.
    let headers =
        reply_headers::Headers::of(&served.model, &served.plan, trace, usage, is_fallback);
    let phase = if is_stream { "first_chunk" } else { "request" };
    entry.set_stream(is_stream);
    metrics::overhead(
        D::ROUTE,
        phase,
        received.elapsed().saturating_sub(trace.waited()),
    );
    Ok(ReadyReply { outgoing, headers })
}

/// Names the parameter of an error as the client does. Only the dialect knows the member's name: the same chat arrives as
/// `messages` or as `prompt`.
fn with_own_param<D: Dialect>(error: Error) -> Error {
    let is_too_long = error.code() == Some("context_length_exceeded");
    let own = match error.param() {
        None if is_too_long => Some(D::INPUT.to_owned()),
        None => None,
        Some(param) => D::path(param),
    };
    let error = match D::text(error.message()) {
        Some(text) => error.with_message(text),
        None => error,
    };
    match own {
        Some(own) => error.with_param(own),
        None => error,
    }
}
