use wildmatch::WildMatch;

use super::{CachePolicy, Guardrail};

/// Whoever holds a key: what is known of it after authentication.
#[derive(Debug, Default)]
pub struct Caller {
    /// The configured name of the key. Never any text of the secret.
    pub key_id: String,
    /// Globs over configured model names and raw ids; none: every configured name, no raw id.
    pub models: Option<Vec<WildMatch>>,
    /// Goes before the model's.
    pub guardrail: Option<Guardrail>,
    pub cache: CachePolicy,
}

impl Caller {
    /// May this caller use the model called `name` (`raw`: a Bedrock id or ARN, not a configured name)?
    pub fn may_use(&self, name: &str, raw: bool) -> bool {
        match &self.models {
            Some(globs) => globs.iter().any(|glob| glob.matches(name)),
            None => !raw,
        }
    }
}
