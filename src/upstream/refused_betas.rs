//! Beta flags that the service refuses, although the catalog lists them. The first refusal is answered by sending the request
//! once more without the flag and what it carries, and is remembered.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::failure;
use crate::{
    call::Call,
    catalogue::betas::{self, BINDING_CONTROLS},
    error::{Error, Kind},
    model::Model,
    operation::chat::Chat,
};

/// How long a refusal is remembered. Bedrock adds betas to models.
const TTL: Duration = Duration::from_secs(3600);

/// Capacity of the cache, in targets on a route. Bounded because clients may send raw model ids.
const CAPACITY: usize = 1000;

/// The refusals of all targets. Cheap to clone.
#[derive(Clone)]
pub struct RefusedBetas(Arc<Cache<String, Vec<(String, Instant)>>>);

impl Default for RefusedBetas {
    fn default() -> Self {
        Self(Arc::new(Cache::new(CAPACITY)))
    }
}

impl RefusedBetas {
    /// Returns `call` with what is known about its target, for its codec.
    pub(super) fn told<T>(&self, mut call: Call<T>) -> Call<T> {
        if self.0.is_empty() {
            return call;
        }
        let now = Instant::now();
        let known = self.0.get(&key(&call)).unwrap_or_default();
        let known = known.into_iter().filter(|(_, until)| *until > now);
        let refused: Vec<String> = known.map(|(flag, _)| flag).collect();
        if !refused.is_empty() {
            call.model = without(&call.model, refused);
        }
        call
    }

    /// Remembers that the target of `call` refuses these flags. Call it only after the request without them succeeded: the
    /// error may have been about the content of one request.
    pub(super) fn learn<T>(&self, call: &Call<T>, flags: Vec<String>) {
        let now = Instant::now();
        let mut known = self.0.get(&key(call)).unwrap_or_default();
        known.retain(|(flag, until)| *until > now && !flags.contains(flag));
        known.extend(flags.into_iter().map(|flag| (flag, now + TTL)));
        self.0.insert(key(call), known);
    }
}

fn key<T>(call: &Call<T>) -> String {
    let target = call.model.target();
    format!(
        "{} {} {}",
        call.plan.route.as_str(),
        target.region,
        target.id
    )
}

fn without(model: &Model, flags: Vec<String>) -> Arc<Model> {
    let mut model = model.clone();
    model.refused_betas.extend(flags);
    Arc::new(model)
}

/// Returns `call` without the flags that `error` refuses, and these flags. `None` if the error has another cause.
pub fn reduced(call: &Call<Chat>, error: &Error) -> Option<(Call<Chat>, Vec<String>)> {
    if error.kind() != Kind::InvalidRequest {
        return None;
    }
    let own = call.body.messages_options.betas.iter().map(String::as_str);
    // The gateway may have added this one itself.
    let own = own.chain([BINDING_CONTROLS]);
    let sent = own.filter(|flag| !call.model.refused_betas.iter().any(|known| known == flag));
    let message = error.message().strip_prefix(failure::REJECTED)?;
    let flags = refused(message, &sent.collect::<Vec<_>>())?;
    for flag in &flags {
        let flag: String = flag.chars().take(60).collect();
        let warnings = call.trace.warnings();
        warnings.add(format!(
            "anthropic-beta: '{flag}' was dropped with what it carries (Bedrock refuses it for this model)"
        ));
    }
    let reduced = Call {
        request_id: call.request_id.clone(),
        caller: call.caller.clone(),
        model: without(&call.model, flags.clone()),
        body: call.body.clone(),
        plan: call.plan.clone(),
        end_user: call.end_user.clone(),
        trace: call.trace.clone(),
    };
    Some((reduced, flags))
}

/// Returns the flags among `sent` that a message refuses: by name, all of them, or those that carry the refused member.
fn refused(message: &str, sent: &[&str]) -> Option<Vec<String>> {
    let lower = message.to_ascii_lowercase();
    let named = |flag: &&&str| lower.contains(&format!("`{flag}`"));
    let flags: Vec<&str> = if lower.contains("anthropic-beta") && lower.contains("unexpected value")
    {
        sent.iter().filter(named).copied().collect()
    } else if lower.starts_with("invalid beta flag") {
        sent.to_vec()
    } else {
        let extraneous = || {
            let (_, rest) = lower.split_once("extraneous key [")?;
            rest.split_once("] is not permitted")
        };
        let extra = lower.split_once(": extra inputs are not permitted");
        let (path, _) = extra.or_else(extraneous)?;
        let is_in_path = |member: &String| {
            let name = member.rsplit('.').next().unwrap_or_default();
            path.split('.').any(|segment| segment == name)
        };
        let carries = |flag: &&&str| betas::carried(flag).iter().any(is_in_path);
        sent.iter().filter(carries).copied().collect()
    };
    (!flags.is_empty()).then(|| flags.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_flags_are_read_from_messages_of_a_known_form() {
        let sent = [
            "context-management-2025-06-27",
            "tool-search-tool-2025-10-19",
        ];
        let all = sent.map(str::to_owned).to_vec();
        for (message, expected) in [
            ("invalid beta flag", Some(all.clone())),
            (
                "Unexpected value(s) `tool-search-tool-2025-10-19` for the `anthropic-beta` header. Please consult our documentation",
                Some(all[1..].to_vec()),
            ),
            (
                "context_management: Extra inputs are not permitted",
                Some(all[..1].to_vec()),
            ),
            (
                "tools.3.custom.defer_loading: Extra inputs are not permitted",
                Some(all[1..].to_vec()),
            ),
            (
                "Malformed input request: #: extraneous key [context_management] is not permitted, please reformat your input and try again.",
                Some(all[..1].to_vec()),
            ),
            ("messages.0.content: Extra inputs are not permitted", None),
            ("prompt is too long: the user wrote invalid beta flag", None),
        ] {
            assert_eq!(refused(message, &sent), expected, "{message}");
        }
    }
}
