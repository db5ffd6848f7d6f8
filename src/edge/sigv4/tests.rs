//! The judge is AWS's own signer: what it signs is accepted, and nothing else.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use proptest::prelude::*;

use super::*;

const ACCESS_KEY_ID: &str = "LNTL6369";
const SECRET: &str = "a-secret-access-key";
/// 2026-01-02T03:04:05Z
const NOW: u64 = 1_767_323_045;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The parts of a request that a signature covers, as text.
#[derive(Clone, Debug)]
struct Signed {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Signs a request at the time `NOW`.
fn signed(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Signed {
    let identity = Credentials::new(ACCESS_KEY_ID, SECRET, None, None, "tests").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("bedrock")
        .time(at(NOW))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let host = ("host", "gateway.example:8443");
    let mut headers = headers.to_vec();
    headers.push(host);
    let url = format!("https://{}{target}", host.1);
    let own = headers.iter().copied();
    let request = SignableRequest::new("POST", url, own, SignableBody::Bytes(body)).unwrap();
    let (added, _) = sign(request, &params).unwrap().into_parts();
    let (added, _) = added.into_parts();
    let added = added.iter().map(|header| (header.name(), header.value()));
    let all = headers.into_iter().chain(added);
    Signed {
        method: "POST".to_owned(),
        target: target.to_owned(),
        headers: all
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        body: body.to_vec(),
    }
}

impl Signed {
    /// Returns the value of a header, to change it.
    fn header(&mut self, name: &str) -> &mut String {
        let mut headers = self.headers.iter_mut();
        &mut headers.find(|(own, _)| own == name).unwrap().1
    }

    /// Returns whether the gateway accepts the request at `now`. `None` if it is not even HTTP.
    fn verdict(&self, now: SystemTime) -> Option<Result<bool, Fault>> {
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = self.target.parse::<Uri>().ok()?;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            request.headers_mut().append(name, value);
        }
        let (parts, ()) = request.into_parts();
        Some(Signature::read(&parts.headers, now).map(|signature| {
            let hash = hex::encode(Sha256::digest(&self.body));
            let text = signature.string_to_sign(&parts, &hash);
            signature.key_id.as_deref() == Some("ci")
                && text.is_some_and(|text| signature.is_made_with(SECRET, &text))
        }))
    }

    fn is_accepted(&self) -> bool {
        self.verdict(at(NOW)) == Some(Ok(true))
    }
}

const TARGET: &str = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x-v1%3A0/converse";

#[test]
fn requests_that_aws_signs_are_accepted() {
    for (target, headers, body) in [
        ("/model/claude/converse", &[][..], &b"{}"[..]),
        ("/model/amazon.nova-lite-v1%3A0/invoke", &[], b""),
        ("/model/amazon.nova-lite-v1:0/invoke", &[], b"{}"),
        (TARGET, &[("content-type", "application/json")], b"\xff"),
        ("/model/claude/invoke?b=2&a=1&a=0&c", &[], b"{}"),
        (
            "/model/%C3%A9~_-./invoke",
            &[
                ("x-amzn-bedrock-trace", "  a   b "),
                ("x-amz-a", "1"),
                ("x-amz-a", "2"),
            ],
            b"{}",
        ),
    ] {
        assert!(signed(target, headers, body).is_accepted(), "{target}");
    }
}

/// AWS's SDK for JavaScript (3.1163) signs the pseudo-header on HTTP/2. This is a request of it.
#[test]
fn signature_of_the_pseudo_header_of_http_2_is_accepted() {
    let headers = [
        ("content-type", "application/json"),
        ("content-length", "15"),
        ("x-amz-user-agent", "aws-sdk-js/3.1163.0"),
        (
            "amz-sdk-invocation-id",
            "059c52b5-e3fd-4b1c-bdd0-0ee383904b50",
        ),
        ("amz-sdk-request", "attempt=1; max=1"),
        ("x-amz-date", "20261126T170507Z"),
        (
            "x-amz-content-sha256",
            "5e4ce7b36ba37b78a5d5f9fd08e6b7b54ba6879d651aa46ec9e1d6fa24ebe30a",
        ),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=A/20261126/us-east-1/bedrock/aws4_request, \
             SignedHeaders=:authority;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;x-amz-content-sha256;x-amz-date;x-amz-user-agent, \
             Signature=b0e5e3e5a507e69fbba5cb2a53619263d8009ba237356a7b45064689e916099f",
        ),
    ];
    let mut request = Request::post(
        "http://127.0.0.1:45873/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x-v1%3A0/converse",
    );
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let signature = Signature::read(&parts.headers, at(1_795_712_707)).unwrap();
    let hash = hex::encode(Sha256::digest(br#"{"messages":[]}"#));
    let text = signature.string_to_sign(&parts, &hash).unwrap();
    assert!(signature.is_made_with("B", &text));
    assert!(!signature.is_made_with("C", &text));
}

#[test]
fn a_changed_byte_anywhere_is_rejected() {
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-bedrock-trace", "ENABLED"),
    ];
    let request = signed(&format!("{TARGET}?a=1"), &headers, b"{\"messages\": []}");
    let flipped = |text: &str| -> Vec<String> {
        let flip = |at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            String::from_utf8(bytes).unwrap()
        };
        (0..text.len()).map(flip).collect()
    };
    let mut changed = Vec::new();
    let mut add = |change: &dyn Fn(&mut Signed)| {
        let mut request = request.clone();
        change(&mut request);
        changed.push(request);
    };
    for method in flipped(&request.method) {
        add(&|request| request.method = method.clone());
    }
    for target in flipped(&request.target) {
        add(&|request| request.target = target.clone());
    }
    for at in 0..request.body.len() {
        add(&|request| request.body[at] ^= 1);
    }
    for at in 0..request.headers.len() {
        for name in flipped(&request.headers[at].0) {
            add(&|request| request.headers[at].0 = name.clone());
        }
        for value in flipped(&request.headers[at].1) {
            add(&|request| request.headers[at].1 = value.clone());
        }
    }
    assert!(request.is_accepted() && changed.len() > 400);
    for changed in changed {
        assert!(!changed.is_accepted(), "{changed:?}");
    }
}

#[test]
fn signature_must_cover_what_decides_about_a_request() {
    let incomplete = |change: &dyn Fn(&mut Signed), part: &str| {
        let mut request = signed("/model/claude/converse", &[("x-amz-a", "1")], b"{}");
        change(&mut request);
        let verdict = request.verdict(at(NOW));
        let is_expected =
            matches!(verdict, Some(Err(Fault::Incomplete(text))) if text.contains(part));
        assert!(is_expected, "{part}: {verdict:?}");
    };
    let add = |name: &'static str, value: &'static str| {
        move |request: &mut Signed| request.headers.push((name.into(), value.into()))
    };
    let replace = |from: &'static str, to: &'static str| {
        move |request: &mut Signed| {
            let header = request.header("authorization");
            assert!(header.contains(from), "{header}");
            *header = header.replace(from, to);
        }
    };
    incomplete(&add("x-amz-security-token", "x"), "must be signed");
    incomplete(&add("x-amzn-bedrock-trace", "DISABLED"), "must be signed");
    incomplete(&add("x-amz-date", "20260102T030405Z"), "one X-Amz-Date");
    incomplete(
        &add("authorization", "AWS4-HMAC-SHA256 x"),
        "one Authorization",
    );
    incomplete(&add("x-api-key", "sk-x"), "no API key");
    incomplete(&replace("host;", ""), "Host header must be signed");
    incomplete(&replace("host;", "x-z;host;"), "sorted");
    incomplete(
        &replace("/bedrock/", "/s3/"),
        "ACCESS_KEY_ID/DATE/REGION/bedrock",
    );
    incomplete(
        &replace("/20260102/", "/20260103/"),
        "with the date of X-Amz-Date",
    );
    incomplete(&replace("Signature=", "Sign="), "Authorization header");
    let unsigned = |request: &mut Signed| {
        request
            .headers
            .push(("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into()));
        let header = request.header("authorization");
        *header = header.replace("x-amz-a;", "x-amz-a;x-amz-content-sha256;");
    };
    incomplete(&unsigned, "unsigned and chunked payloads");
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    let request = signed("/model/claude/converse", &[], b"{}");
    for (now, verdict) in [
        (NOW - 300, Ok(true)),
        (NOW + 300, Ok(true)),
        (NOW - 301, Err(Fault::Skewed)),
        (NOW + 301, Err(Fault::Skewed)),
    ] {
        assert_eq!(request.verdict(at(now)), Some(verdict));
    }
}

proptest! {
    /// Canonical forms of AWS's signer and of the gateway are the same.
    #[test]
    fn any_request_that_aws_signs_is_accepted(
        id in "([a-zA-Z0-9:~!$'()*,;=@_-]|%[0-9A-F]{2}){1,40}",
        values in prop::collection::vec("[ -~]{0,20}", 0..4),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let names = ["accept", "content-type", "x-amz-b", "x-amzn-bedrock-c"];
        let headers: Vec<_> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
        let request = signed(&format!("/model/{id}/invoke"), &headers, &body);
        prop_assert!(request.is_accepted(), "{request:?}");
    }
}
