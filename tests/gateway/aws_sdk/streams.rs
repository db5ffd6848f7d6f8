//! Event streams that pass through, complete or broken.

use bytes::Bytes;
use http::StatusCode;
use lintel::upstream::{Frame, FrameReader};

use super::{ask, call, claude, error_type, money::settled, say, start};
use crate::support::money::{budget, key};

/// Returns the types of the events of a body, and the type of the exception that ends it.
fn frames(body: &Bytes) -> (Vec<String>, Option<String>) {
    let mut reader = FrameReader::default();
    reader.push(body.clone());
    let mut events = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        match frame {
            Frame::Event { event_type, .. } => events.push(event_type.into_owned()),
            Frame::Exception { exception_type, .. } => {
                assert!(!reader.has_leftover(), "nothing follows an exception");
                return (events, Some(exception_type));
            }
            Frame::Error { code, .. } => panic!("{code}"),
        }
    }
    assert!(!reader.has_leftover(), "a stream ends between two frames");
    (events, None)
}

#[tokio::test]
async fn frames_pass_unchanged() {
    let gateway = start().await;
    let reply = ask(&gateway, "lite", "converse-stream", &say("Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let kind = reply.header("content-type");
    assert_eq!(kind, Some("application/vnd.amazon.eventstream"));
    let (events, failure) = frames(&reply.body);
    assert_eq!(events.first().map(String::as_str), Some("messageStart"));
    assert_eq!(events.last().map(String::as_str), Some("metadata"));
    assert_eq!(failure, None);
    let operation = "invoke-with-response-stream";
    let reply = ask(&gateway, "sonnet", operation, &claude("Hi")).await;
    let (events, failure) = frames(&reply.body);
    assert!(events.len() > 3 && events.iter().all(|event| event == "chunk"));
    assert_eq!(failure, None);
}

#[tokio::test]
async fn broken_stream_ends_with_an_exception_and_is_booked_as_lost() {
    let gateway = start().await;
    for (path, is_converse) in [
        ("/model/lite/converse-stream", true),
        ("/model/sonnet/invoke-with-response-stream", false),
    ] {
        for (fault, exception) in [
            ("cut", "internalServerException"),
            ("reset", "internalServerException"),
            ("truncate", "internalServerException"),
            ("bad-crc", "internalServerException"),
            ("no-metadata", "internalServerException"),
            ("exception throttlingException", "throttlingException"),
            (
                "exception modelStreamErrorException",
                "modelStreamErrorException",
            ),
            ("exception validationException", "validationException"),
        ] {
            let (id, secret) = key(&gateway, budget(1.0)).await;
            let text = format!("[simulate words 40] [simulate {fault}]");
            let body = if is_converse {
                say(&text)
            } else {
                claude(&text)
            };
            let reply = call(&gateway, &secret, path, &body).await;
            assert_eq!(reply.status, StatusCode::OK, "{path} {fault}");
            let (events, failure) = frames(&reply.body);
            assert_eq!(failure.as_deref(), Some(exception), "{path} {fault}");
            assert!(!events.contains(&"metadata".to_owned()), "{path} {fault}");
            let (kind, cost) = settled(&gateway, &id).await;
            assert_eq!(kind, "presumed", "{path} {fault}");
            // All of the output that was reserved.
            let most = if is_converse { 100 } else { 50 } * 10_000;
            assert!(cost >= most, "{path} {fault}: {cost}");
        }
    }
}

#[tokio::test]
async fn failure_before_the_first_frame_is_an_error_with_a_status() {
    let gateway = start().await;
    let text = "[simulate first-exception throttlingException]";
    let reply = ask(&gateway, "lite", "converse-stream", &say(text)).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error_type(&reply), "ThrottlingException");
}

#[tokio::test]
async fn rest_of_a_stream_is_read_after_its_client_has_left() {
    let gateway = start().await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = http::Request::post(format!(
        "http://{}/model/lite/converse-stream",
        gateway.data
    ))
    .header("authorization", format!("Bearer {secret}"));
    let body = say("[simulate words 20] [simulate pace 5ms]").to_string();
    let response = gateway.client.request(request.body(body.into()).unwrap());
    drop(response.await.unwrap());
    let (kind, cost) = settled(&gateway, &id).await;
    let (input, output) = gateway.billed();
    assert_eq!(kind, "actual");
    assert_eq!(cost, input * 2000 + output * 10_000);
}
