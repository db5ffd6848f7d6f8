//! The configured models with their health, and one paid call on request.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::HeaderMap,
    response::IntoResponse,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use ulid::Ulid;

use super::{Answer, Api, actor};
use crate::{
    admin::error::ApiError,
    call::{Call, Caller, Trace, Unplanned},
    dispatch::{Destination, Dispatchable},
    edge::{Edge, Peer},
    governance::Audit,
    middleware::RecentCalls,
    model::{Facts, Model},
    operation::{
        chat::{Chat, Message, Origin, Part, Role},
        embed::{Embed, Input},
        rank::Rank,
    },
};

/// The key that calls of tests are booked under. They count towards the budgets of their model and of the gateway.
const KEY: &str = "admin:test";

/// The question of a test. Short, because it is paid for.
const QUESTION: &str = "Reply with OK.";

/// The most output of a test, in tokens.
const MAX_TOKENS: u32 = 16;

/// Lists the configured models.
pub async fn list(State(api): State<Arc<Api>>) -> Answer {
    let gateway = edge(&api)?.gateway.load_full();
    let models = gateway.dispatch.models().named().map(|model| {
        let recent = gateway.dispatch.outcomes(model).recent();
        json!({
            "name": model.name,
            "target": model.target().id,
            "region": model.target().region,
            "health": health(&recent),
        })
    });
    Ok(Json(json!({"models": Value::from_iter(models)})).into_response())
}

fn health(recent: &RecentCalls) -> Value {
    json!({
        "calls": recent.calls,
        "failed": recent.failed(),
        "last_success": recent.last_success.map(|at| at.to_string()),
        "last_failure": recent.last_failure.map(|(at, code)| json!({"at": at.to_string(), "code": code})),
    })
}

/// Makes one call of the model, through its limits and budgets.
pub async fn test(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Answer {
    let edge = edge(&api)?;
    let gateway = edge.gateway.load_full();
    let caller = Arc::new(Caller {
        key_id: KEY.to_owned(),
        ..Caller::default()
    });
    let found = gateway.dispatch.resolve_for(&name, &caller).await;
    let destination = found.map_err(|_| {
        let text = format!("No model '{name}' is configured. GET /admin/models lists all.");
        ApiError::not_found(text)
    })?;
    // Another model's answer says nothing about this one.
    let destination = destination.alone();
    let model = destination.model();
    let facts = &model.facts;
    if facts.draw.is_some() || (facts.is_not_for_chats() && !is_plain(facts)) {
        return Err(ApiError::conflict(
            "Only models for chats, embeddings and reranking can be tested: one image costs as much as thousands of words.",
        ));
    }
    let audit = Audit {
        at: Timestamp::now().as_second(),
        who: actor(&headers, peer),
        action: "model.test",
        subject: format!("model:{}", model.name),
        before: None,
        after: None,
        reason: String::new(),
    };
    // Before the call, because it is paid for however it ends.
    api.ledger.put_audit(audit).await?;
    let outcome: BoxFuture<'static, Value> = if facts.embed.is_some() {
        let body = Embed {
            inputs: vec![Input::Text(QUESTION.to_owned())],
            ..Embed::default()
        };
        Box::pin(outcome(destination, caller, body))
    } else if facts.rerank.is_some() {
        let body = Rank {
            query: QUESTION.to_owned(),
            documents: vec![QUESTION.to_owned()],
            ..Rank::default()
        };
        Box::pin(outcome(destination, caller, body))
    } else {
        Box::pin(outcome(destination, caller, chat()))
    };
    let (sender, receiver) = oneshot::channel();
    let cut = edge.disconnect.cut.clone();
    // A task of its own: if the administrator disconnects, the call is read to its end and settled by what it used.
    edge.disconnect.tasks.spawn(async move {
        tokio::select! {
            outcome = outcome => drop(sender.send(outcome)),
            () = cut.cancelled() => {}
        }
    });
    let outcome = receiver
        .await
        .map_err(|_| ApiError::conflict("The gateway was shut down before the model answered."))?;
    Ok(Json(outcome).into_response())
}

/// Reports whether a model gives vectors or an order, which cost little.
fn is_plain(facts: &Facts) -> bool {
    facts.embed.is_some() || facts.rerank.is_some()
}

fn edge(api: &Api) -> Result<&Edge, ApiError> {
    api.edge
        .as_deref()
        .ok_or_else(|| ApiError::conflict("No gateway runs here, so there are no models to call."))
}

fn chat() -> Chat {
    let message = Message {
        role: Role::User,
        name: None,
        parts: vec![Part::Text(QUESTION.to_owned())],
        origin: Origin {
            list: "messages",
            index: 0,
        },
    };
    Chat {
        messages: vec![message],
        max_completion_tokens: Some(MAX_TOKENS),
        bytes: QUESTION.len(),
        ..Chat::default()
    }
}

/// Sends `body`, and returns what came of it.
async fn outcome<T: Dispatchable>(destination: Destination, caller: Arc<Caller>, body: T) -> Value {
    let (trace, model) = (Trace::default(), destination.model().clone());
    let call = Call {
        request_id: format!("test_{}", Ulid::generate()).into(),
        caller,
        model: model.clone(),
        body: Arc::new(body),
        plan: Unplanned,
        end_user: String::new(),
        trace: trace.clone(),
    };
    let request_id = call.request_id.to_string();
    let began = Instant::now();
    let result = destination.call(call).await;
    let latency = began.elapsed();
    let (served, route, error) = match result {
        Ok(served) => {
            let route = served.plan.route_header();
            // A reply that is not read to its end settles as one whose client has left.
            (served.on_end(|_| ()).model, Some(route), None)
        }
        Err(error) => (model.clone(), None, Some(error)),
    };
    json!({
        "ok": error.is_none(),
        "model": model.name,
        "request_id": request_id,
        "served_model": id(&served, &trace),
        "region": trace.target().map(|target| target.region.clone()),
        "route": route,
        "attempts": trace.attempts(),
        "latency_ms": u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        "cost_usd": trace.charged().map(|cost| cost.to_string()),
        "key": KEY,
        "warnings": trace.warnings().texts(),
        "error": error.map(|error| json!({
            "code": error.label(),
            "message": error.message(),
            "detail": error.detail(),
        })),
    })
}

/// The id that was called, or would have been.
fn id(model: &Model, trace: &Trace) -> String {
    let target = trace.target().unwrap_or_else(|| model.target().clone());
    target.id.clone()
}
