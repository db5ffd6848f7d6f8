use crate::{
    error::Error,
    model::{DroppedParameters, Model},
};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

/// The most warnings of a call. Bounds the header and the log line that a request can cause.
const MAX_WARNINGS: usize = 32;

/// The most characters of one warning.
const MAX_CHARS: usize = 200;

/// The warnings about everything in a request that was dropped, clamped or emulated. Returned in `x-lintel-warnings`.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<Warning>>>);

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
        let warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Returns all warnings as one header value, or `None` if there are none.
    pub fn joined(&self) -> Option<String> {
        let warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn push(&self, mut warning: Warning) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One mention of each is enough: several choices cause the same warnings.
        if warnings.iter().any(|known| known.text == warning.text) {
            return;
        }
        match warnings.len() {
            MAX_WARNINGS => {
                warning = Warning {
                    text: "and more".into(),
                    dropped: None,
                }
            }
            len if len > MAX_WARNINGS => return,
            _ => {}
        }
        if let Some((at, _)) = warning.text.char_indices().nth(MAX_CHARS) {
            warning.text = format!("{}…", &warning.text[..at]).into();
        }
        warnings.push(warning);
    }
}
