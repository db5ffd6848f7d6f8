//! Removes what identifies the operator's account from texts of AWS that clients may read.

/// The most characters of a text that a client gets.
const MAX_CHARS: usize = 500;

/// The number of digits of an AWS account id.
const ACCOUNT_DIGITS: usize = 12;

/// Words that are followed by the name of an identity.
const IDENTITIES: [&str; 6] = ["role", "user", "principal", "profile", "session", "account"];

/// Parts of signed requests. What follows them is left out.
const SIGNED: [&str; 6] = [
    "credential=",
    "signature=",
    "signedheaders=",
    "aws4",
    "x-amz-",
    "authorization:",
];

/// Replaces ARNs, endpoints, account ids, resource ids and names of identities, leaves out what follows a part of a signed
/// request, and cuts the text to 500 characters.
pub fn redact(text: &str) -> String {
    let mut kept = String::new();
    let mut names_identity = false;
    for word in text.split_whitespace() {
        let lower = word.to_ascii_lowercase();
        if SIGNED.iter().any(|part| lower.contains(part)) {
            kept.push_str(if kept.is_empty() { "[…]" } else { " […]" });
            break;
        }
        let shown = match word {
            _ if word.contains("arn:") => "[arn]",
            _ if is_endpoint(word) => "[endpoint]",
            _ if is_id(word) => "[id]",
            _ if (names_identity && is_name(word)) || is_path_of_identity(&lower) => "[name]",
            _ => word,
        };
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(shown);
        // A full stop may follow a replaced word, and the texts of AWS are read as sentences.
        if shown != word && word.ends_with('.') {
            kept.push('.');
        }
        let plain = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        names_identity = IDENTITIES.contains(&plain.to_ascii_lowercase().as_str());
    }
    if let Some((at, _)) = kept.char_indices().nth(MAX_CHARS) {
        kept.truncate(at);
    }
    kept
}

/// Reports whether `word` is a URL, an internet address or a host name of AWS.
fn is_endpoint(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let host = lower.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let address = host.split(':').next().unwrap_or_default();
    lower.contains("://")
        || lower.contains(".amazonaws.")
        || lower.contains(".aws")
        || lower.contains(".amazon.com")
        || ["vpce-", "vpc-", "subnet-", "sg-", "eni-"]
            .iter()
            .any(|prefix| host.starts_with(prefix))
        || address.parse::<std::net::Ipv4Addr>().is_ok()
}

/// Reports whether `word` holds an account id, an id of IAM or the id of a Knowledge Base or of its index: ten uppercase
/// letters and digits.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let plain = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let upper = plain
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let iam = ["AKIA", "ASIA", "AROA", "AIDA", "AGPA"];
    digits >= ACCOUNT_DIGITS
        || (plain.len() == 10 && upper && plain.bytes().any(|byte| byte.is_ascii_digit()))
        || (plain.len() >= 16 && iam.iter().any(|prefix| plain.starts_with(prefix)))
        || is_token(plain)
}

/// Reports whether `word` looks like a credential: long, in Base64, with digits and letters of both cases.
fn is_token(word: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte);
    let has = |class: fn(&u8) -> bool| word.bytes().any(|byte| class(&byte));
    word.len() >= 40
        && word.bytes().all(is_base64)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
}

/// Reports whether a word in lower case names an identity by its path, such as `role/gateway`.
fn is_path_of_identity(lower: &str) -> bool {
    ["role/", "user/", "profile/", "group/", "session/"]
        .iter()
        .any(|path| lower.contains(path))
}

/// Reports whether `word` looks like a chosen name and not like a word of a sentence.
fn is_name(word: &str) -> bool {
    let plain = word.trim_end_matches(['.', ',', ';', ':']);
    plain.contains(['"', '\'', '-', '_', '/', '@'])
        || plain.bytes().any(|byte| byte.is_ascii_digit())
        || plain.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redact_replaces_what_identifies_the_account() {
        for (text, expected) in [
            (
                "User: arn:aws:sts::123456789012:assumed-role/x is not allowed in account 123456789012, sorry",
                "User: [arn] is not allowed in account [id] sorry",
            ),
            (
                "for index KCOEXQD1NV. Retry, EXCEPTIONS aside",
                "for index [id]. Retry, EXCEPTIONS aside",
            ),
            (
                "The role BedrockGateway-Prod must assume role 'x'; your role must exist",
                "The role [name] must assume role [name] your role must exist",
            ),
            (
                "See https://bedrock-runtime.us-east-1.amazonaws.com/model or 10.0.0.7:443.",
                "See [endpoint] or [endpoint].",
            ),
            (
                "at vpce-0a1.bedrock-runtime.eu-west-1.vpce.amazonaws.com for AROAEXAMPLEID12345:session",
                "at [endpoint] for [id]",
            ),
            (
                "Denied for role/lintel-prod and (user/alice) from vpce-0123456789abcdef0.",
                "Denied for [name] and [name] from [endpoint].",
            ),
            (
                "Not valid: Credential=AKIAIOSFODNN7/20261126/us-east-1, Signature=abc",
                "Not valid: […]",
            ),
            (
                "token IQoJb3JpZ2luX2VjEJr1234567890abcdefGHIJKLMNOP is expired",
                "token [id] is expired",
            ),
            (
                "messages.1.content.0.thinking.signature: Field required",
                "messages.1.content.0.thinking.signature: Field required",
            ),
            (
                "Too many tokens per day, please wait before trying again.",
                "Too many tokens per day, please wait before trying again.",
            ),
        ] {
            assert_eq!(redact(text), expected);
        }
        assert_eq!(redact(&"word ".repeat(200)).chars().count(), MAX_CHARS);
    }
}
