//! Reads requests as far as their cost must be bounded.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    bedrock::sdk_request::SdkConverse,
    call::Warnings,
    edge::{body, shape},
    error::Error,
    operation::{
        chat::raw_fields,
        passthrough::{Passthrough, SdkOperation, Size, invoke_size},
    },
};

/// The headers of InvokeModel that go on.
const HEADERS: [&str; 5] = [
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-trace",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
];

/// The header with the metadata of InvokeModel.
const METADATA: &str = "x-amzn-bedrock-request-metadata";

/// Returns the model that the path names, without escapes.
///
/// # Errors
/// 400 if the id is not UTF-8 after its escapes are resolved.
pub fn model_id(path: &str) -> Result<String, Error> {
    let id = path
        .strip_prefix("/model/")
        .and_then(|rest| rest.rsplit_once('/'))
        .map_or("", |(id, _)| id);
    unescaped(id)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Error::invalid("modelId", "The model id in the path is not valid."))
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, after) = match first {
            b'%' => {
                let (digits, after) = after.split_first_chunk::<2>()?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                (byte[0], after)
            }
            byte => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Parses a Converse request.
///
/// # Errors
/// 400 with the member that is not valid, or that the gateway does not know.
pub fn converse(json: &[u8], warnings: &Warnings, stream: bool) -> Result<Passthrough, Error> {
    let parsed: SdkConverse<'_> = body::parse(json, warnings)?;
    if let Some(fields) = &parsed.additional_model_request_fields {
        raw_fields::check_at(fields, "additionalModelRequestFields")?;
    }
    let size = Size::of(&parsed, json)?;
    Ok(Passthrough {
        operation: SdkOperation::Converse,
        stream,
        body: Bytes::copy_from_slice(json),
        headers: Vec::new(),
        metadata: pairs(parsed.request_metadata.unwrap_or_default()),
        size,
        limit: None,
    })
}

/// Parses an InvokeModel request, whose body is in the form of the model's family.
///
/// # Errors
/// 400 if the body is not a JSON object, or a header is not valid.
pub fn invoke(json: &[u8], sent: &HeaderMap, stream: bool) -> Result<Passthrough, Error> {
    shape::check(json)?;
    let members: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|_| Error::invalid("body", "The body must be a JSON object."))?;
    let header = |name: &str| text(sent, name);
    let size = invoke_size(&members, json, header)?;
    let metadata = header(METADATA).map(serde_json::from_str::<BTreeMap<String, String>>);
    let metadata = metadata.transpose().map_err(|_| {
        Error::invalid(
            METADATA,
            "The request metadata must be a JSON object of strings.",
        )
    })?;
    let headers = HEADERS.into_iter().filter_map(|name| {
        let value = sent.get(name)?.clone();
        Some((HeaderName::from_static(name), value))
    });
    Ok(Passthrough {
        operation: SdkOperation::InvokeModel,
        stream,
        body: Bytes::copy_from_slice(json),
        headers: headers.collect(),
        metadata: pairs(metadata.unwrap_or_default()),
        size,
        limit: None,
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?;
    std::str::from_utf8(value.as_bytes()).ok()
}

fn pairs(metadata: BTreeMap<String, String>) -> Vec<(String, String)> {
    metadata.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_in_the_path_is_unescaped() {
        let id = |path: &str| model_id(path).ok();
        let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x-v1:0";
        let escaped = arn.replace(':', "%3A").replace('/', "%2F");
        assert_eq!(
            id(&format!("/model/{escaped}/converse")).as_deref(),
            Some(arn)
        );
        assert_eq!(id("/model/nova/invoke").as_deref(), Some("nova"));
        for wrong in [
            "/model/%/invoke",
            "/model/%zz/invoke",
            "/model/%ff/invoke",
            "/model//invoke",
        ] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
    }
}
