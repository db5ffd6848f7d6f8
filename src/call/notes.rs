use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

/// More than this is not read by anybody, and would let a request write a log line of any length.
const MAX_NOTES: usize = 32;
const MAX_CHARS: usize = 200;

/// Everything about a request that was dropped, clamped or emulated. Comes out in `x-lintel-warnings`.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<Note>>>);

#[derive(Clone, Debug)]
struct Note {
    text: Cow<'static, str>,
    /// The field that was left out, and why.
    dropped: Option<(Cow<'static, str>, &'static str)>,
}

impl Notes {
    /// Something was done in another way than asked.
    pub fn add(&self, text: impl Into<Cow<'static, str>>) {
        self.push(Note {
            text: text.into(),
            dropped: None,
        });
    }

    /// The field `param` cannot be honoured and was left out.
    pub fn dropped(&self, param: impl Into<Cow<'static, str>>, why: &'static str) {
        let param = param.into();
        self.push(Note {
            text: format!("{param}: ignored, {why}").into(),
            dropped: Some((param, why)),
        });
    }

    /// The first field that was left out, if any, and why: what `dropped_parameters = "refuse"` refuses.
    pub fn first_dropped(&self) -> Option<(String, String)> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes
            .iter()
            .find_map(|note| note.dropped.as_ref())
            .map(|(param, why)| (param.to_string(), (*why).to_owned()))
    }

    /// All texts, for one header value; `None` when there is nothing to say.
    pub fn joined(&self) -> Option<String> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.is_empty() {
            return None;
        }
        Some(
            notes
                .iter()
                .map(|note| note.text.as_ref())
                .collect::<Vec<_>>()
                .join("; "),
        )
    }

    fn push(&self, mut note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Said once is enough.
        if notes.iter().any(|known| known.text == note.text) {
            return;
        }
        match notes.len() {
            MAX_NOTES => {
                note = Note {
                    text: "and more".into(),
                    dropped: None,
                }
            }
            len if len > MAX_NOTES => return,
            _ => {}
        }
        if let Some((at, _)) = note.text.char_indices().nth(MAX_CHARS) {
            note.text = format!("{}…", &note.text[..at]).into();
        }
        notes.push(note);
    }
}
