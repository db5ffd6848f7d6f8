//! `[admin.tokens.*]`: named tokens of the admin API.

use sha2::{Digest, Sha256};

use super::{AdminToken, Environment, keys::weakness, reader::Section};

/// Reads the tokens. The secret of each is in an environment variable or in a file.
pub fn tokens(sections: Vec<(String, Section<'_>)>, environment: &Environment) -> Vec<AdminToken> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    for (name, mut section) in sections {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name.is_empty() || name.len() > 56 || !name.chars().all(plain) {
            section.problem(
                "the name is written to the audit log, so it must be at most 56 letters, digits, and the characters - _ . @",
            );
        }
        let secret = secret(&mut section, environment);
        section.never_here(
            "token",
            "the file must not contain secrets; name an environment variable in token_env, or a file in token_file",
        );
        let may_write = section.choice("role", &[("full", true), ("read", false)], false);
        if let Some(secret) = secret {
            let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
            if let Some(other) = tokens.iter().find(|other| other.digest == digest) {
                section.problem(format!(
                    "has the same secret as admin.tokens.{}",
                    other.name
                ));
            }
            tokens.push(AdminToken {
                name,
                digest,
                may_write,
            });
        }
        section.finish();
    }
    tokens
}

fn secret(section: &mut Section<'_>, environment: &Environment) -> Option<String> {
    let (env, file) = (section.string("token_env"), section.string("token_file"));
    let (key, secret) = match (env, file) {
        (Some(name), None) => match environment.variable(&name) {
            Some(secret) => ("token_env", secret.to_owned()),
            None => {
                let text = format!("the environment variable {name} is not set");
                section.problem_at("token_env", text);
                return None;
            }
        },
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(secret) => (
                "token_file",
                secret.trim_end_matches(['\r', '\n']).to_owned(),
            ),
            Err(error) => {
                section.problem_at("token_file", format!("cannot read {path}: {error}"));
                return None;
            }
        },
        _ => {
            section.problem("needs exactly one of token_env and token_file");
            return None;
        }
    };
    let has_spaces = secret.bytes().any(|byte| !byte.is_ascii_graphic());
    let weakness =
        weakness(&secret).or_else(|| has_spaces.then(|| "must not contain white space".to_owned()));
    if let Some(weakness) = weakness {
        section.problem_at(key, format!("the token {weakness}"));
        return None;
    }
    Some(secret)
}
