//! `[keys.*]`: static keys, and the settings that they share with virtual keys. The file holds the digest of a secret or
//! where to find it, never the secret.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use super::{
    Environment, Problem,
    diagnostics::Diagnostics,
    governance::{self, Teams},
    knowledge_bases, options,
    reader::Section,
    tree::Value,
};
use crate::{
    call::Caller,
    edge::{Key, virtual_key as virtual_secret},
};

/// A shorter secret could be guessed.
pub const MIN_SECRET: usize = 32;
/// A secret of fewer different characters was not drawn at random.
const MIN_VARIETY: usize = 10;

/// Says what is wrong with a secret that could be guessed.
pub fn weakness(secret: &str) -> Option<String> {
    let variety = secret.bytes().collect::<BTreeSet<u8>>().len();
    (secret.len() < MIN_SECRET || variety < MIN_VARIETY).then(|| {
        format!("must have at least {MIN_SECRET} random characters, for example from `openssl rand -hex 32`")
    })
}

pub fn keys(
    sections: Vec<(String, Section<'_>)>,
    teams: &Teams,
    environment: &Environment,
    diagnostics: &Diagnostics,
) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for (name, mut section) in sections {
        // `key:NAME/user:…` is the account of an end user.
        if name.contains('/') {
            section.problem("the name must not contain '/'");
        }
        let client_certificates = section.strings("client_certificates").unwrap_or_default();
        let digest = digest(&mut section, environment, !client_certificates.is_empty());
        section.never_here(
            "secret",
            "the file must not contain secrets; name an environment variable in secret_env, or set sha256 to the digest",
        );
        let settings = settings(&mut section, &name, teams);
        section.finish();
        let Some(digest) = digest else { continue };
        let key = Key {
            digest,
            client_certificates,
            expires: settings.expires,
            allow_ips: settings.allow_ips,
            caller: settings.caller,
        };
        if let Some(other) = keys.iter().find(|other| key.shares_login_with(other)) {
            diagnostics.problem(
                format!("keys.{name}"),
                None,
                format!(
                    "has the same secret or client certificate as keys.{}; every key needs its own",
                    other.caller.key_id
                ),
            );
        }
        keys.push(key);
    }
    keys
}

/// The settings of a key, without its secret.
#[derive(Clone, Debug)]
pub struct KeySettings {
    pub caller: Arc<Caller>,
    pub expires: Option<SystemTime>,
    pub allow_ips: Vec<IpNet>,
}

/// Reads the settings that static and virtual keys have in common.
pub fn settings(section: &mut Section<'_>, key_id: &str, teams: &Teams) -> KeySettings {
    let models = section
        .strings("models")
        .map(|globs| globs.iter().map(|glob| WildMatch::new(glob)).collect());
    let expires =
        section
            .string("expires")
            .and_then(|text| match humantime::parse_rfc3339(&text) {
                Ok(time) => Some(time),
                Err(error) => {
                    section.problem_at(
                        "expires",
                        format!("'{text}' is not a time such as \"2027-01-01T00:00:00Z\": {error}"),
                    );
                    None::<SystemTime>
                }
            });
    let allow_ips = options::networks(section, "allow_ips");
    let globs = section.strings("knowledge_bases").unwrap_or_default();
    let raw_fields = section.strings("raw_fields").unwrap_or_default();
    let (cache, guardrail) = (options::cache(section), options::guardrail(section));
    let caller = Caller {
        key_id: key_id.to_owned(),
        team: governance::team(section, teams),
        models,
        raw: section.boolean("raw", false),
        knowledge_bases: globs.iter().map(|glob| WildMatch::new(glob)).collect(),
        knowledge_base_filter: knowledge_bases::filter(section, "knowledge_base_filter"),
        knowledge_base_user: section.string("knowledge_base_user"),
        guardrail,
        cache,
        raw_fields: raw_fields.iter().map(|glob| WildMatch::new(glob)).collect(),
        limits: governance::limits(section),
        model_limits: governance::model_limits(section),
        budgets: governance::budgets(section, &format!("key:{key_id}")),
        end_users: governance::end_users(section, key_id),
    };
    KeySettings {
        caller: Arc::new(caller),
        expires,
        allow_ips,
    }
}

/// Reads the settings of a virtual key from JSON.
///
/// # Errors
/// Every problem in them.
pub fn virtual_key(
    json: serde_json::Value,
    key_id: &str,
    teams: &Teams,
) -> Result<KeySettings, Vec<Problem>> {
    let diagnostics = Diagnostics::default();
    let Ok(Value::Table(table)) = Value::try_from(json) else {
        diagnostics.problem("", None, "the settings of a key must be an object");
        return Err(diagnostics.into_parts().0);
    };
    let mut section = Section::root(table, &diagnostics);
    let settings = settings(&mut section, key_id, teams);
    section.finish();
    match diagnostics.into_parts().0 {
        problems if problems.is_empty() => Ok(settings),
        problems => Err(problems),
    }
}

/// Returns the digest of the secret: `Some(None)` if there is none and it `is_optional`, `None` if there is a problem.
fn digest(
    section: &mut Section<'_>,
    environment: &Environment,
    is_optional: bool,
) -> Option<Option<[u8; 32]>> {
    let (env, file, sha256) = (
        section.string("secret_env"),
        section.string("secret_file"),
        section.string("sha256"),
    );
    let secret = match (env, file, sha256) {
        (Some(name), None, None) => match environment.variable(&name) {
            Some(secret) => secret.to_owned(),
            None => {
                section.problem_at(
                    "secret_env",
                    format!("the environment variable {name} is not set"),
                );
                return None;
            }
        },
        (None, Some(path), None) => match std::fs::read_to_string(&path) {
            Ok(secret) => secret.trim_end_matches(['\r', '\n']).to_owned(),
            Err(error) => {
                section.problem_at("secret_file", format!("cannot read {path}: {error}"));
                return None;
            }
        },
        (None, None, Some(text)) => {
            let decoded = hex::decode(&text)
                .ok()
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            if decoded.is_none() {
                section.problem_at(
                    "sha256",
                    "must be the SHA-256 digest of the secret, as 64 hexadecimal digits",
                );
            }
            return decoded.map(Some);
        }
        (None, None, None) if is_optional => return Some(None),
        _ => {
            section.problem("needs exactly one of secret_env, secret_file and sha256");
            return None;
        }
    };
    if secret.bytes().any(|byte| !byte.is_ascii_graphic()) {
        section
            .problem("the secret contains white space or characters that an HTTP header cannot carry; check for a line break");
        return None;
    }
    if secret.starts_with(virtual_secret::PREFIX) {
        let prefix = virtual_secret::PREFIX;
        section.problem(format!(
            "the secret begins with {prefix}, as those of virtual keys do, so it would never be found here; choose another"
        ));
        return None;
    }
    if let Some(weakness) = weakness(&secret) {
        section.problem(format!("the secret {weakness}"));
        return None;
    }
    Some(Some(Sha256::digest(secret.as_bytes()).into()))
}
