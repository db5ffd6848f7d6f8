//! The form of a guardrail's identifier and version: `GuardrailIdentifier` and `GuardrailVersion` of the service model.

/// Why an identifier or a version is not valid, in the words of both configuration and API.
pub const IDENTIFIER: &str = "must be the id or the ARN of a guardrail";
pub const VERSION: &str = "must be 'DRAFT' or a version number such as '1'";

/// Reports whether the text is the id or the ARN of a guardrail.
pub fn is_identifier(text: &str) -> bool {
    let is_id = |id: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !id.is_empty() && id.bytes().all(plain)
    };
    let parts: Vec<&str> = text.split(':').collect();
    text.len() <= 2048
        && match parts[..] {
            [id] => is_id(id),
            ["arn", partition, "bedrock", region, account, resource] => {
                partition.starts_with("aws")
                    && !region.is_empty()
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && resource.strip_prefix("guardrail/").is_some_and(is_id)
            }
            _ => false,
        }
}

/// Reports whether the text is a version of a guardrail.
pub fn is_version(text: &str) -> bool {
    let number = |text: &str| {
        (1..=8).contains(&text.len())
            && !text.starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit())
    };
    text == "DRAFT" || number(text)
}
