//! The forms of model ids in Bedrock: base model ids, inference profile ids and ARNs.

/// The prefixes of geographic inference profiles. AWS adds some without notice, so a prefix before a model of the catalog
/// counts as one, too.
pub const PREFIXES: [&str; 11] = [
    "us", "us-gov", "eu", "apac", "jp", "au", "ca", "sa", "amer", "in", "global",
];

/// A parsed target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The id of the base model in the form that the catalog uses. None for ARNs of the account's own resources, which
    /// do not name their model.
    pub base: Option<&'a str>,
    /// The prefix of a geographic inference profile.
    pub prefix: Option<&'a str>,
}

/// Parses a model id, an inference profile id or an ARN. The version may be missing.
pub fn parse_reference(target: &str) -> Reference<'_> {
    let id = match target.strip_prefix("arn:") {
        None => target,
        Some(arn) => {
            let resource = arn.splitn(5, ':').nth(4).unwrap_or_default();
            match resource.split_once('/') {
                Some(("foundation-model" | "inference-profile", id)) => id,
                _ => {
                    return Reference {
                        base: None,
                        prefix: None,
                    };
                }
            }
        }
    };
    let (prefix, base) = match id.split_once('.') {
        Some((prefix, rest))
            if rest.contains('.') && (PREFIXES.contains(&prefix) || is_in_catalog(rest)) =>
        {
            (Some(prefix), rest)
        }
        _ => (None, id),
    };
    Reference {
        base: Some(catalog_form(base)),
        prefix,
    }
}

fn is_in_catalog(base: &str) -> bool {
    super::find_entry(catalog_form(base)).is_some()
}

/// Returns the form of `base` that is in the catalog, or `base` itself if there is none. `…-v1:0:200k` is `…-v1:0` with
/// a longer context window.
fn catalog_form(base: &str) -> &str {
    if super::find_entry(base).is_some() {
        return base;
    }
    let shorter = base.rsplit_once(':').map(|(shorter, _)| shorter);
    let bare = shorter
        .and_then(|shorter| shorter.rsplit_once("-v"))
        .map(|(bare, _)| bare);
    [shorter, bare]
        .into_iter()
        .flatten()
        .find(|form| super::find_entry(form).is_some())
        .unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_resolves_to_its_base_model() {
        for (target, base, prefix) in [
            (
                "anthropic.claude-opus-5-5",
                Some("anthropic.claude-opus-5-5"),
                None,
            ),
            (
                "us-gov.amazon.nova-lite-v1:0",
                Some("amazon.nova-lite-v1:0"),
                Some("us-gov"),
            ),
            (
                "global.amazon.nova-2-lite-v1:0",
                Some("amazon.nova-2-lite-v1:0"),
                Some("global"),
            ),
            (
                "anthropic.claude-3-sonnet-20240229-v1:0:200k",
                Some("anthropic.claude-3-sonnet-20240229-v1:0"),
                None,
            ),
            ("deepseek.v3.2", Some("deepseek.v3.2"), None),
            // Was a model that is not in the catalog.
            (
                "sa.amazon.nova-lite-v1:0",
                Some("amazon.nova-lite-v1:0"),
                Some("sa"),
            ),
            (
                "later.anthropic.claude-opus-5-5",
                Some("anthropic.claude-opus-5-5"),
                Some("later"),
            ),
            (
                "sa.somebody.new-v1:0",
                Some("somebody.new-v1:0"),
                Some("sa"),
            ),
            ("somebody.new.model", Some("somebody.new.model"), None),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
                Some("amazon.nova-lite-v1:0"),
                None,
            ),
            (
                "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.amazon.nova-lite-v1:0",
                Some("amazon.nova-lite-v1:0"),
                Some("us-gov"),
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
                None,
                None,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
                None,
                None,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDE:1",
                None,
                None,
            ),
        ] {
            assert_eq!(
                parse_reference(target),
                Reference { base, prefix },
                "{target}"
            );
        }
    }
}
