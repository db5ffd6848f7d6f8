use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::ServiceExt;

use super::*;
use crate::{
    call::{Delivery, Route, Secret},
    error::Kind,
    middleware::testing::{
        Next, caller, chat, complete, embed, embedder, model, streamed, unplanned, usage, vector,
        whole,
    },
    model::DroppedParameters,
    operation::chat::Chat,
    upstream::{AwsSettings, Clients, Endpoints, LearnedRoutes},
};

/// Looks models up at `endpoint_url`.
fn resolve_at(url: &str) -> Resolve {
    let settings = AwsSettings {
        endpoints: Endpoints::of_bedrock(url),
        static_credentials: Some(("AKIDEXAMPLE".to_owned(), Secret::new("secret"))),
        ..AwsSettings::default()
    };
    let clients = Clients::new(settings, "us-east-1".to_owned(), []);
    Resolve {
        lookup: ProfileLookup::new(Arc::new(clients)),
        learned: LearnedRoutes::default(),
    }
}

/// Looks nothing up: an attempt would fail.
fn offline() -> Resolve {
    resolve_at("http://lookup.invalid")
}

async fn send<T: Operation>(
    resolve: &Resolve,
    next: &Next<T>,
    call: Call<T, Unplanned>,
) -> Result<Reply<T>, Error> {
    resolve.layer(next.clone()).oneshot(call).await
}

#[tokio::test]
async fn next_receives_the_plan_of_a_chat() {
    let next = Next::new(streamed(|| complete(usage(1, 1))));
    let call = unplanned(&Arc::new(caller()), model(), chat(true));
    let served = send(&offline(), &next, call).await.unwrap();
    let plan = &next.last().plan;
    assert_eq!(
        (plan.route, plan.delivery),
        (Route::Converse, Delivery::Stream)
    );
    assert_eq!(plan.worst.output_tokens, 100);
    assert!(plan.worst.input_tokens >= 40, "{plan:?}");
    assert_eq!(served.trace.warnings().joined(), None);
}

#[tokio::test]
async fn next_receives_the_plan_of_an_embedding() {
    let next = Next::new(vector(usage(1, 0)));
    let call = unplanned(&Arc::new(caller()), embedder(), embed());
    send(&offline(), &next, call).await.unwrap();
    let plan = &next.last().plan;
    assert_eq!(
        (plan.route, plan.delivery),
        (Route::Invoke, Delivery::Whole)
    );
    assert_eq!((plan.worst.requests, plan.worst.output_tokens), (1, 0));
}

#[tokio::test]
async fn model_that_does_not_serve_the_operation_is_rejected() {
    let caller = Arc::new(caller());
    let chats = Next::new(whole(usage(1, 1)));
    let call = unplanned(&caller, embedder(), chat(false));
    let error = send(&offline(), &chats, call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (Kind::NotFound, Some("model_not_found"))
    );
    assert_eq!(error.param(), Some("model"));
    let embeddings = Next::new(vector(usage(1, 0)));
    let call = unplanned(&caller, model(), embed());
    let error = send(&offline(), &embeddings, call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (Kind::NotFound, Some("model_not_found"))
    );
    assert_eq!((chats.calls(), embeddings.calls()), (0, 0));
}

#[tokio::test]
async fn more_choices_than_the_model_allows_are_rejected() {
    let next = Next::new(whole(usage(1, 1)));
    let body = Chat {
        n: Some(17),
        ..chat(false)
    };
    let call = unplanned(&Arc::new(caller()), model(), body);
    let error = send(&offline(), &next, call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.param()),
        (Kind::InvalidRequest, Some("n"))
    );
    assert_eq!(next.calls(), 0);
}

#[tokio::test]
async fn dropped_parameter_is_rejected_only_if_the_operator_wants_that() {
    let next = Next::new(whole(usage(1, 1)));
    let caller = Arc::new(caller());
    let mut results = Vec::new();
    for dropped_parameters in [DroppedParameters::Warn, DroppedParameters::Refuse] {
        let model = Model {
            dropped_parameters,
            ..model()
        };
        let call = unplanned(&caller, model, chat(false));
        call.trace
            .warnings()
            .dropped("logprobs", "it is not supported");
        results.push(send(&offline(), &next, call).await);
    }
    assert!(results[0].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.code(), Some("unsupported_parameter"));
    assert_eq!(error.param(), Some("logprobs"));
    assert_eq!(next.calls(), 1);
}

#[tokio::test]
async fn unknown_model_is_passed_on_with_a_warning() {
    let next = Next::new(whole(usage(1, 1)));
    let target = Target::new("example.unknown-v1:0", "us-east-1");
    let call = unplanned(&Arc::new(caller()), Model::new("new", target), chat(false));
    let served = send(&offline(), &next, call).await.unwrap();
    let warnings = served.trace.warnings().joined().unwrap();
    assert!(warnings.contains("not in the catalogue"), "{warnings}");
    assert!(warnings.contains("no price"), "{warnings}");
    assert_eq!(next.last().model.base, None);
}

const PROFILE: &str =
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefgh";

/// Answers one request for the profile with its model, and closes. Returns the path of the request.
async fn answer_one_lookup(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let body = r#"{"models": [{"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"}]}"#;
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(reply.as_bytes()).await.unwrap();
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn inference_profile_gets_the_facts_and_the_price_of_its_model() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let resolve = resolve_at(&format!("http://{}", listener.local_addr().unwrap()));
    let next = Next::new(whole(usage(1, 1)));
    let profile = || Model::new("mine", Target::new(PROFILE, "us-east-1"));
    let caller = Arc::new(caller());
    let call = unplanned(&caller, profile(), chat(false));
    let (path, served) = tokio::join!(answer_one_lookup(listener), send(&resolve, &next, call));
    assert!(path.starts_with("/inference-profiles/arn%3Aaws"), "{path}");
    let known = catalogue::lookup(&Target::new("amazon.nova-lite-v1:0", "us-east-1"));
    let served = served.unwrap();
    assert_eq!(served.model.base.as_deref(), known.base);
    assert_eq!(served.model.facts, known.facts);
    assert_eq!(served.model.price, known.price);
    assert_eq!(served.model.target().id, PROFILE, "the profile is called");
    // The server is gone, so this must come from memory. The operator's facts and price stay.
    let own = Model {
        facts: Arc::new(Facts {
            tools: false,
            ..Facts::default()
        }),
        price: model().price,
        ..profile()
    };
    let served = send(
        &resolve,
        &next,
        unplanned(&caller, own.clone(), chat(false)),
    )
    .await;
    let served = served.unwrap();
    assert_eq!(served.model.base.as_deref(), known.base);
    assert_eq!(served.model.facts, own.facts);
    assert_eq!(served.model.price, own.price);
}

#[tokio::test]
async fn failed_lookup_does_not_fail_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let resolve = resolve_at(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let next = Next::new(whole(usage(1, 1)));
    let model = Model::new("mine", Target::new(PROFILE, "us-east-1"));
    let call = unplanned(&Arc::new(caller()), model, chat(false));
    let served = send(&resolve, &next, call).await.unwrap();
    assert_eq!(served.model.base, None);
    assert_eq!(*served.model.facts, Facts::default());
}
