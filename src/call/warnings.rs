use crate::{
    error::Error,
    model::{DroppedParameters, Model},
};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// The most warnings of a call. Bounds the header and the log line that a request can cause.
const MAX_WARNINGS: usize = 32;

/// The most characters of one warning.
const MAX_CHARS: usize = 200;

/// The warnings about everything in a request that was dropped, clamped or emulated. Returned in `x-lintel-warnings`.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    list: Mutex<Vec<Warning>>,
    names: OnceLock<Names>,
}

/// Returns the client's path of a member, or a text with the client's names, if it differs from the given one of chat
/// completions.
type Rename = fn(&str) -> Option<String>;

#[derive(Clone, Copy, Debug)]
struct Names {
    path: Rename,
    explanation: Rename,
}

#[derive(Clone, Debug)]
struct Warning {
    text: Cow<'static, str>,
    /// The dropped field, and why it was dropped.
    dropped: Option<(Cow<'static, str>, &'static str)>,
}

impl Warnings {
    /// Adds a warning in the form `member: what happened (why)`.
    pub fn add(&self, text: impl Into<Cow<'static, str>>) {
        self.push(Warning {
            text: text.into(),
            dropped: None,
        });
    }

    /// Adds a warning that the field `param` was dropped.
    pub fn dropped(&self, param: impl Into<Cow<'static, str>>, why: &'static str) {
        let param = param.into();
        self.push(Warning {
            text: format!("{param}: ignored, {why}").into(),
            dropped: Some((param, why)),
        });
    }

    /// Returns the first dropped field, and why it was dropped.
    pub fn first_dropped(&self) -> Option<(String, String)> {
        let warnings = self.lock();
        warnings
            .iter()
            .find_map(|warning| warning.dropped.as_ref())
            .map(|(param, why)| (param.to_string(), (*why).to_owned()))
    }

    /// Rejects the request if a field was dropped and the model is configured with `dropped_parameters = "refuse"`.
    ///
    /// # Errors
    /// 400 with the path of the first dropped field.
    pub fn refuse_dropped(&self, model: &Model) -> Result<(), Error> {
        if model.dropped_parameters == DroppedParameters::Refuse
            && let Some((param, why)) = self.first_dropped()
        {
            let text = format!(
                "Not supported here: {why}. Omit it: this model is configured to reject unsupported parameters."
            );
            return Err(Error::invalid(param, text).with_code("unsupported_parameter"));
        }
        Ok(())
    }

    /// Adds warnings about the lifecycle, the catalogue entry and the price of `model`.
    pub fn about_model(&self, model: &Model) {
        if let Some(warning) = model.facts.lifecycle.warning() {
            self.add(format!("model: {warning}"));
        }
        if model.base.is_none() {
            self.add("model: not in the catalogue, what it can do is guessed");
        }
        if model.price.is_none() {
            self.add("usage.cost: left out, no price of this model is known");
        }
    }

    /// Returns the texts of all warnings.
    pub fn texts(&self) -> Vec<String> {
        let warnings = self.lock();
        warnings
            .iter()
            .map(|warning| warning.text.clone().into_owned())
            .collect()
    }

    /// Returns all warnings as one header value, or `None` if there are none.
    pub fn joined(&self) -> Option<String> {
        let warnings = self.lock();
        if warnings.is_empty() {
            return None;
        }
        Some(
            warnings
                .iter()
                .map(|warning| warning.text.as_ref())
                .collect::<Vec<_>>()
                .join("; "),
        )
    }

    /// Sets the names that the client has for members, in a path and in the rest of a warning. The first call decides.
    pub fn name_by(&self, path: Rename, explanation: Rename) {
        // A call has one dialect.
        let _ = self.0.names.set(Names { path, explanation });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Warning>> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the member as the client does.
    fn renamed(&self, warning: Warning) -> Warning {
        let Some(names) = self.0.names.get() else {
            return warning;
        };
        let text = warning.text.split_once(": ").and_then(|(path, rest)| {
            let (own, explained) = ((names.path)(path), (names.explanation)(rest));
            if own.is_none() && explained.is_none() {
                return None;
            }
            let own = own.as_deref().unwrap_or(path);
            let rest = explained.as_deref().unwrap_or(rest);
            Some(Cow::Owned(format!("{own}: {rest}")))
        });
        let param = |(path, why): (Cow<'static, str>, _)| match (names.path)(&path) {
            Some(own) => (Cow::Owned(own), why),
            None => (path, why),
        };
        Warning {
            text: text.unwrap_or(warning.text),
            dropped: warning.dropped.map(param),
        }
    }

    fn push(&self, warning: Warning) {
        let mut warning = self.renamed(warning);
        let mut warnings = self.lock();
        // One mention of each is enough: several choices cause the same warnings.
        if warnings.iter().any(|known| known.text == warning.text) {
            return;
        }
        if warnings.len() > MAX_WARNINGS {
            // Kept without its text, because a request with a dropped field may have to be rejected.
            if let Some(last) = warnings.last_mut() {
                last.dropped = last.dropped.take().or(warning.dropped);
            }
            return;
        }
        if warnings.len() == MAX_WARNINGS {
            warning.text = "and more".into();
        } else if let Some((at, _)) = warning.text.char_indices().nth(MAX_CHARS) {
            warning.text = format!("{}…", &warning.text[..at]).into();
        }
        warnings.push(warning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_field_is_remembered_after_the_last_warning() {
        let warnings = Warnings::default();
        for n in 0..2 * MAX_WARNINGS {
            warnings.add(format!("warning {n}"));
        }
        assert_eq!(warnings.first_dropped(), None);
        warnings.dropped("seed", "not supported");
        warnings.dropped("top_k", "not supported");
        let (param, _) = warnings.first_dropped().unwrap();
        assert_eq!(param, "seed");
        let joined = warnings.joined().unwrap();
        assert!(joined.ends_with("; and more"), "{joined}");
        assert_eq!(joined.split("; ").count(), MAX_WARNINGS + 1);
    }
}
