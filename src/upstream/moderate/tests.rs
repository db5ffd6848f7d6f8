use std::{future::pending, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    call::{Caller, SentMark, Trace},
    model::{Facts, Guardrail, Model, ModelOptions},
    operation::{
        Operation,
        moderate::{MODALITY, Part},
    },
    upstream::{Response, SendError, Transport},
};

/// Receives requests and never answers.
struct Hanging;

impl Transport for Hanging {
    fn send<'a>(
        &'a self,
        _: Request,
        _: &'a Target,
        _: Option<&'a Caller>,
        sent: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        sent.set();
        Box::pin(pending())
    }

    fn refresh(&self, _: ServiceOperation, _: &Target, _: Option<&Caller>) {}
}

fn call(guardrail: Option<Guardrail>) -> Arc<Call<Moderate>> {
    let facts = Facts {
        modality: MODALITY.to_owned(),
        ..Facts::default()
    };
    let model = Model {
        facts: Arc::new(facts),
        options: ModelOptions {
            guardrail,
            ..ModelOptions::default()
        },
        ..Model::new("m", Target::new("m", "us-east-1"))
    };
    let body = Moderate {
        inputs: vec![vec![Part::Text("calm".to_owned())]],
        max_cost: None,
    };
    let caller = Caller::default();
    let plan = body.plan(&model, &caller).unwrap();
    Arc::new(Call {
        request_id: "req".into(),
        caller: Arc::new(caller),
        model: Arc::new(model),
        body: Arc::new(body),
        plan,
        end_user: String::new(),
        trace: Trace::default(),
    })
}

/// The call ended after 300 seconds, and its cost was booked as reported.
#[tokio::test(start_paused = true)]
async fn guardrail_that_hangs_ends_the_call_after_ten_seconds() {
    let guardrail = Guardrail {
        identifier: "abc123".to_owned(),
        version: "1".to_owned(),
        trace: None,
        stream_processing_mode: None,
        show_trace: false,
        apply: None,
    };
    for guardrail in [None, Some(guardrail)] {
        let upstream = Upstream::new(Arc::new(Hanging), TaskTracker::new());
        let call = call(guardrail);
        let requests = Moderate::codec(call.plan.route)
            .unwrap()
            .encode(&call)
            .unwrap();
        let began = Instant::now();
        let ended = Moderate::exchange(&upstream, &call, requests).await;
        assert_eq!(ended.unwrap_err().code(), Some("guardrail_timeout"));
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        let spend = call.trace.spending().total();
        assert!(spend.presumed_guardrails && spend.guardrails > NanoUsd(0));
    }
}
