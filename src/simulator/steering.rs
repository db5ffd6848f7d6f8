//! Paths below `/_simulator/` that steer the simulator from outside and show what it has received.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{ScriptedReply, Simulator, encode_event};

pub fn router() -> Router<Simulator> {
    Router::new()
        .route("/_simulator/replies", post(add_reply))
        .route("/_simulator/requests", get(list_requests))
        .route("/_simulator/invocations", get(list_invocations))
        .route("/_simulator/guardrails", get(list_guardrails))
}

/// Scripts the reply to the next request: `{"status": 200, "body": {…}}` or `{"events": [["messageStart", {…}], …]}`.
async fn add_reply(State(simulator): State<Simulator>, Json(reply): Json<Value>) -> Response {
    let events = reply["events"].as_array().map(|events| {
        let frames = events.iter().map(|event| {
            encode_event(event[0].as_str().unwrap_or_default(), &event[1].to_string())
        });
        ScriptedReply::stream(frames.collect())
    });
    let status = reply["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(200);
    let mut scripted =
        events.unwrap_or_else(|| ScriptedReply::json(status, reply["body"].to_string()));
    for (name, value) in reply["headers"].as_object().into_iter().flatten() {
        scripted
            .headers
            .push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    simulator.script(scripted);
    StatusCode::NO_CONTENT.into_response()
}

/// The invocation log, one JSON object per line.
async fn list_invocations(State(simulator): State<Simulator>) -> String {
    simulator
        .invocations()
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The usage of every evaluation by a guardrail, one JSON object per line.
async fn list_guardrails(State(simulator): State<Simulator>) -> String {
    let lines = simulator.guardrails();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn list_requests(State(simulator): State<Simulator>) -> Response {
    let received = simulator.received();
    let list = received.iter().map(|request| {
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        json!({"path": request.path, "model_id": request.model_id, "body": body})
    });
    Json(list.collect::<Vec<_>>()).into_response()
}
