use crate::{
    error::Error,
    model::{DroppedParameters, Model},
};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

/// More than this is not read by anybody, and would let a request write a log line of any length.
const MAX_WARNINGS: usize = 32;
const MAX_CHARS: usize = 200;

/// Everything about a request that was dropped, clamped or emulated. Comes out in `x-lintel-warnings`.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<Warning>>>);

#[derive(Clone, Debug)]
struct Warning {
    text: Cow<'static, str>,
    /// The field that was left out, and why.
    dropped: Option<(Cow<'static, str>, &'static str)>,
}

impl Warnings {
    /// Something was done in another way than asked.
    pub fn add(&self, text: impl Into<Cow<'static, str>>) {
        self.push(Warning {
            text: text.into(),
            dropped: None,
        });
    }

    /// The field `param` cannot be honoured and was left out.
    pub fn dropped(&self, param: impl Into<Cow<'static, str>>, why: &'static str) {
        let param = param.into();
        self.push(Warning {
            text: format!("{param}: ignored, {why}").into(),
            dropped: Some((param, why)),
        });
    }

    /// The first field that was left out, if any, and why: what `dropped_parameters = "refuse"` refuses.
    pub fn first_dropped(&self) -> Option<(String, String)> {
        let warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        warnings
            .iter()
            .find_map(|note| note.dropped.as_ref())
            .map(|(param, why)| (param.to_string(), (*why).to_owned()))
    }

    /// Rejects the request if a field was dropped and the operator does not allow that.
    ///
    /// # Errors
    /// 400 with the path of the first dropped field.
    pub fn refuse_dropped(&self, model: &Model) -> Result<(), Error> {
        if model.dropped_parameters == DroppedParameters::Refuse
            && let Some((param, why)) = self.first_dropped()
        {
            let text = format!(
                "Not supported here: {why}. Leave it out; this gateway refuses what it would have to ignore."
            );
            return Err(Error::invalid(param, text).with_code("unsupported_parameter"));
        }
        Ok(())
    }

    /// Adds what users of `model` should know about it.
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

    /// All texts, for one header value; `None` when there is nothing to say.
    pub fn joined(&self) -> Option<String> {
        let warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.is_empty() {
            return None;
        }
        Some(
            warnings
                .iter()
                .map(|note| note.text.as_ref())
                .collect::<Vec<_>>()
                .join("; "),
        )
    }

    fn push(&self, mut note: Warning) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Said once is enough.
        if warnings.iter().any(|known| known.text == note.text) {
            return;
        }
        match warnings.len() {
            MAX_WARNINGS => {
                note = Warning {
                    text: "and more".into(),
                    dropped: None,
                }
            }
            len if len > MAX_WARNINGS => return,
            _ => {}
        }
        if let Some((at, _)) = note.text.char_indices().nth(MAX_CHARS) {
            note.text = format!("{}…", &note.text[..at]).into();
        }
        warnings.push(note);
    }
}
