//! The reply to a request.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// A complete reply.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns the data of all server-sent events, in order.
    pub fn events(&self) -> Vec<&str> {
        assert_eq!(
            self.header("content-type"),
            Some("text/event-stream; charset=utf-8"),
            "{}",
            self.text()
        );
        let text = self.text();
        assert!(text.ends_with("\n\n"), "the last event is complete");
        text.trim_end()
            .split("\n\n")
            .map(|event| {
                event
                    .strip_prefix("data: ")
                    .expect("an event has only a data field")
            })
            .collect()
    }

    /// Returns the text of the first choice, of a whole reply or of a stream.
    pub fn content(&self) -> String {
        if let Ok(whole) = serde_json::from_slice::<Value>(&self.body) {
            let text = whole["choices"][0]["message"]["content"].as_str();
            return text.unwrap_or_default().to_owned();
        }
        let events = self.events();
        let chunks = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok());
        chunks
            .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect()
    }

    /// Checks that the body is an error in OpenAI's form, and returns the `error` object.
    pub fn error(&self) -> Value {
        let envelope = self.json();
        assert_eq!(envelope.as_object().unwrap().len(), 1, "{envelope}");
        let error = envelope["error"].as_object().expect("an error");
        assert_eq!(
            error.keys().collect::<Vec<_>>(),
            ["message", "type", "param", "code"],
            "an error has four members: {envelope}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert!(error["type"].is_string());
        assert!(
            self.header("x-request-id")
                .is_some_and(|id| id.starts_with("req_"))
        );
        envelope["error"].clone()
    }
}
