use std::{sync::Arc, time::Duration};

use wildmatch::WildMatch;

use super::*;
use crate::{
    call::Route,
    error::Kind,
    middleware::testing::{Next, caller, chat, message, model, planned, send, text, usage, whole},
    model::{Facts, Model},
    openai::message::MediaUrl,
    operation::chat::{Media as ChatMedia, Role, ToolResult},
    remote_media::FetchSettings,
    upstream::Exchange,
};

const DATA: &str = "data:image/png;base64,iVBORw0KGgo=";

/// Fetches from no host, and lets Bedrock read these buckets.
fn allowing(s3: &[&str]) -> Media {
    let settings = FetchSettings {
        hosts: Vec::new(),
        s3: s3.iter().map(|glob| WildMatch::new(glob)).collect(),
        max_size: 1000,
        timeout: Duration::from_secs(1),
        allow_http: false,
        ports: vec![443],
    };
    Media(Some(RemoteMedia::new(settings).unwrap()))
}

fn image(url: &str, at: &str) -> Part {
    let value = MediaUrl {
        url: url.to_owned(),
        detail: None,
        bucket_owner: None,
    };
    Part::Image(ChatMedia {
        value,
        at: at.to_owned(),
    })
}

fn chat_with(parts: Vec<Part>) -> Chat {
    Chat {
        messages: vec![message(Role::User, parts)],
        ..chat(false)
    }
}

async fn ask(media: &Media, next: &Next<Chat>, body: Chat) -> Result<Reply<Chat>, Error> {
    send(media, next, planned(&Arc::new(caller()), model(), body)).await
}

fn url(part: &Part) -> Option<&str> {
    match part {
        Part::Image(image) => Some(&image.value.url),
        _ => None,
    }
}

fn urls_of(chat: &Chat) -> Vec<&str> {
    let parts = chat.messages.iter().flat_map(|message| &message.parts);
    parts.filter_map(url).collect()
}

#[tokio::test]
async fn data_url_is_left_alone() {
    for media in [Media(None), allowing(&[])] {
        let next = Next::new(whole(usage(1, 1)));
        let body = chat_with(vec![text("What is this?"), image(DATA, "messages[0]")]);
        ask(&media, &next, body).await.unwrap();
        let received = next.last();
        assert_eq!(urls_of(&received.body), [DATA]);
        assert!(received.body.fetched.is_empty());
    }
}

#[tokio::test]
async fn url_of_a_host_that_is_not_allowed_is_rejected() {
    let next = Next::new(whole(usage(1, 1)));
    for url in ["https://example.com/a.png", "http://127.0.0.1/a.png"] {
        let parts = vec![text("What is this?"), image(url, "messages[0].content[1]")];
        let error = ask(&allowing(&[]), &next, chat_with(parts)).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidRequest);
        assert_eq!(error.code(), Some("unsupported_url"));
        assert_eq!(error.param(), Some("messages[0].content[1].image_url.url"));
        assert!(!error.message().contains("127.0.0.1"), "{error}");
    }
    assert_eq!(next.calls(), 0);
}

#[tokio::test]
async fn url_in_the_result_of_a_tool_is_checked_too() {
    let next = Next::new(whole(usage(1, 1)));
    let result = Part::ToolResult(ToolResult {
        id: "call_1".to_owned(),
        content: vec![image("https://example.com/a.png", "messages[2].content[0]")],
        is_error: false,
    });
    let error = ask(&allowing(&[]), &next, chat_with(vec![result])).await;
    let error = error.unwrap_err();
    assert_eq!(error.param(), Some("messages[2].content[0].image_url.url"));
    assert_eq!(next.calls(), 0);
}

#[tokio::test]
async fn more_urls_than_a_model_takes_are_rejected_before_any_is_fetched() {
    let next = Next::new(whole(usage(1, 1)));
    let urls = |count: usize| {
        let url = |n| image(&format!("https://example.com/{n}"), "messages[0]");
        chat_with((0..count).map(url).collect())
    };
    let many = ask(&allowing(&[]), &next, urls(MAX_URLS + 1)).await;
    assert_eq!(many.unwrap_err().param(), Some("messages"));
    let allowed = ask(&allowing(&[]), &next, urls(MAX_URLS)).await;
    assert_eq!(allowed.unwrap_err().code(), Some("unsupported_url"));
    assert_eq!(next.calls(), 0);
}

#[tokio::test]
async fn bucket_is_passed_on_only_if_the_operator_allows_it() {
    let next = Next::new(whole(usage(1, 1)));
    let (open, closed) = ("s3://open/a.png", "s3://closed/a.png");
    let body = |url| chat_with(vec![image(url, "messages[0].content[0]")]);
    for media in [Media(None), allowing(&["s3://open/*"])] {
        let error = ask(&media, &next, body(closed)).await.unwrap_err();
        assert_eq!(error.code(), Some("unsupported_url"));
        assert_eq!(error.param(), Some("messages[0].content[0].image_url.url"));
    }
    assert_eq!(next.calls(), 0);
    ask(&allowing(&["s3://open/*"]), &next, body(open))
        .await
        .unwrap();
    assert_eq!(urls_of(&next.last().body), [open]);
}

#[tokio::test]
async fn nothing_is_fetched_for_a_model_that_takes_no_media() {
    let next = Next::new(whole(usage(1, 1)));
    let facts = Facts {
        image: false,
        video: false,
        ..Facts::default()
    };
    let blind = Model {
        facts: Arc::new(facts),
        ..model()
    };
    let body = chat_with(vec![image("https://example.com/a.png", "messages[0]")]);
    let call = planned(&Arc::new(caller()), blind, body);
    send(&allowing(&[]), &next, call).await.unwrap();
    assert!(next.last().body.fetched.is_empty());
}

#[tokio::test]
async fn without_allowed_hosts_the_codec_rejects_the_url_before_it_sends_anything() {
    let next = Next::new(|call: &Call<Chat>, ticket| {
        ticket.free();
        let codec = Chat::codec(Route::Converse).unwrap();
        let error = codec.encode(call).map(drop).unwrap_err();
        Err(error)
    });
    let body = chat_with(vec![image("https://example.com/a.png", "messages[0]")]);
    let error = ask(&Media(None), &next, body).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidRequest);
    assert_eq!(error.code(), Some("unsupported_url"));
}
