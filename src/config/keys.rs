//! `[keys.*]`: static keys. The file never holds a secret, only its digest or where to find it.

use std::{sync::Arc, time::SystemTime};

use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use super::{
    Surroundings, options,
    reader::{Report, Section},
};
use crate::{call::Caller, edge::Key};

/// A guess at a shorter secret could succeed.
const MIN_SECRET: usize = 16;

pub fn keys(sections: Vec<(String, Section<'_>)>, surroundings: &Surroundings, report: &Report) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    if sections.is_empty() {
        report.problem(
            "keys",
            None,
            "no key is configured, so every request would be refused; add [keys.NAME] with secret_env",
        );
    }
    for (name, section) in sections {
        let Some(key) = key(&name, section, surroundings) else { continue };
        if let Some(other) = keys.iter().find(|other| other.digest == key.digest) {
            report.problem(
                format!("keys.{name}"),
                None,
                format!("has the same secret as keys.{}", other.caller.key_id),
            );
        }
        keys.push(key);
    }
    keys
}

fn key(name: &str, mut section: Section<'_>, surroundings: &Surroundings) -> Option<Key> {
    let digest = digest(&mut section, surroundings);
    let models = section.strings("models").map(|globs| globs.iter().map(|glob| WildMatch::new(glob)).collect());
    let expires = section.string("expires").and_then(|text| match humantime::parse_rfc3339(&text) {
        Ok(time) => Some(time),
        Err(error) => {
            section.problem_at("expires", format!("'{text}' is not a time such as \"2027-01-01T00:00:00Z\": {error}"));
            None::<SystemTime>
        }
    });
    let (cache, guardrail) = (options::cache(&mut section), options::guardrail(&mut section));
    section.never_here(
        "secret",
        "a secret never stands in the file: name an environment variable with secret_env, or give its sha256",
    );
    section.not_supported(&["team", "limits", "budget", "knowledge_bases"]);
    section.finish();
    Some(Key {
        digest: digest?,
        expires,
        caller: Arc::new(Caller { key_id: name.to_owned(), models, guardrail, cache, ..Caller::default() }),
    })
}

fn digest(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<[u8; 32]> {
    let (env, file, sha256) = (section.string("secret_env"), section.string("secret_file"), section.string("sha256"));
    let secret = match (env, file, sha256) {
        (Some(name), None, None) => match surroundings.variable(&name) {
            Some(secret) => secret.to_owned(),
            None => {
                section.problem_at("secret_env", format!("the environment variable {name} is not set"));
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
            let decoded = hex::decode(&text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            if decoded.is_none() {
                section.problem_at("sha256", "must be the SHA-256 of the secret, as 64 hexadecimal digits");
            }
            return decoded;
        }
        _ => {
            section.problem("needs exactly one of secret_env, secret_file and sha256");
            return None;
        }
    };
    if secret.bytes().any(|byte| !byte.is_ascii_graphic()) {
        section
            .problem("the secret holds white space or characters that no HTTP header can carry (a line end, perhaps)");
        return None;
    }
    if secret.len() < MIN_SECRET {
        section.problem(format!("the secret has fewer than {MIN_SECRET} characters"));
        return None;
    }
    Some(Sha256::digest(secret.as_bytes()).into())
}
