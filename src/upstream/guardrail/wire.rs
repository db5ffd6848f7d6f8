//! The wire format of ApplyGuardrail.

use bytes::Bytes;
use serde_json::Value;

use super::{APPLY, Action, Case, Content, Source, Verdict, failure::malformed};
use crate::{
    bedrock::{
        content::GuardrailQualifier,
        guardrail::{
            ApplyGuardrailReply, ApplyGuardrailRequest, GuardrailContentBlock, GuardrailImageBlock,
            GuardrailImageSource, GuardrailTextBlock,
        },
    },
    error::{Error, Kind},
    upstream::{Request, ServiceOperation},
};

/// Returns the request for `case`.
///
/// # Errors
/// If it cannot be serialized.
pub fn encode(case: Case<'_>) -> Result<Request, Error> {
    let compares = case
        .content
        .iter()
        .any(|content| matches!(content, Content::Grounding(_)));
    let full = case.guardrail.trace.as_deref() == Some("enabled_full");
    let request = ApplyGuardrailRequest {
        source: match case.source {
            Source::Input => "INPUT",
            Source::Output => "OUTPUT",
        },
        content: case
            .content
            .iter()
            .map(|content| block(content, compares))
            .collect(),
        output_scope: full.then_some("FULL"),
    };
    let body = serde_json::to_vec(&request).map(Bytes::from);
    Ok(Request {
        operation: ServiceOperation::ApplyGuardrail,
        headers: Vec::new(),
        body: body.map_err(|error| {
            let text = "The request to the guardrail could not be encoded.";
            Error::new(Kind::Internal, text).with_detail(error.to_string())
        })?,
    })
}

/// Returns the block for `content`. Only a comparison needs qualifiers.
fn block<'a>(content: &Content<'a>, compares: bool) -> GuardrailContentBlock<'a> {
    use GuardrailQualifier::{GroundingSource, GuardContent, Query};
    let (text, qualifiers): (_, &[GuardrailQualifier]) = match *content {
        Content::Text(text) if compares => (text, &[GuardContent]),
        Content::Text(text) => (text, &[]),
        Content::Grounding(text) => (text, &[GroundingSource]),
        Content::Query(text) => (text, &[Query]),
        Content::Image { format, data } => {
            let source = GuardrailImageSource { bytes: data };
            return GuardrailContentBlock::Image(GuardrailImageBlock { format, source });
        }
    };
    GuardrailContentBlock::Text(GuardrailTextBlock { text, qualifiers })
}

/// Reads a reply. An intervention that is not certainly a mask blocks.
///
/// # Errors
/// If the reply does not say which text has which mask.
pub fn verdict(reply: ApplyGuardrailReply, content: &[Content<'_>]) -> Result<Verdict, Error> {
    let action = match reply.action.as_str() {
        "NONE" => Action::Pass,
        _ if has_action(&reply.assessments, "ANONYMIZED")
            && !has_action(&reply.assessments, "BLOCKED") =>
        {
            let texts: Vec<String> = reply.outputs.into_iter().map(|one| one.text).collect();
            let expected = content
                .iter()
                .filter(|content| matches!(content, Content::Text(_)));
            if texts.len() != expected.count() {
                return Err(malformed(APPLY, "the number of masked texts is wrong"));
            }
            Action::Mask(texts)
        }
        _ => {
            let message = reply.outputs.into_iter().map(|one| one.text);
            Action::Block(message.collect::<Vec<_>>().join("\n"))
        }
    };
    Ok(Verdict {
        action,
        assessments: reply.assessments,
    })
}

/// Reports whether a filter in the assessments took this action.
pub fn has_action(assessments: &[Value], action: &str) -> bool {
    assessments.iter().any(|value| match value {
        Value::Object(members) => {
            members.get("action").is_some_and(|own| own == action)
                || members
                    .values()
                    .any(|member| has_action(std::slice::from_ref(member), action))
        }
        Value::Array(items) => has_action(items, action),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> ApplyGuardrailReply {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_intervention_blocks_unless_it_is_certainly_a_mask() {
        let content = [Content::Query("q"), Content::Text("a")];
        let masked = r#"{"usage": {}, "action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "{NAME}"}],
            "assessments": [{"sensitiveInformationPolicy": {"piiEntities": [{"action": "ANONYMIZED"}]}}]}"#;
        let action = |json: &str| verdict(reply(json), &content).map(|verdict| verdict.action);
        assert_eq!(
            action(masked).unwrap(),
            Action::Mask(vec!["{NAME}".to_owned()])
        );
        let both = masked.replace(
            "}]}}]",
            "}]}}, {\"wordPolicy\": {\"customWords\": [{\"action\": \"BLOCKED\"}]}}]",
        );
        assert_eq!(action(&both).unwrap(), Action::Block("{NAME}".to_owned()));
        let unknown = masked.replace("ANONYMIZED", "ALTERED");
        assert_eq!(
            action(&unknown).unwrap(),
            Action::Block("{NAME}".to_owned())
        );
        let two = masked.replace("[{\"text\"", "[{\"text\": \"x\"}, {\"text\"");
        assert!(action(&two).is_err(), "which text is masked is unknown");
    }
}
