//! Facts about imported models.

use super::Facts;

impl Facts {
    /// Reports whether Converse does not serve the architecture of an imported model. Punctuation and case do not matter,
    /// because the service's pages and its replies differ in them.
    pub fn is_not_on_converse(&self) -> bool {
        let plain = |name: &str| -> String {
            let letters = name.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        self.architecture.as_deref().is_some_and(|own| {
            let own = plain(own);
            self.not_on_converse.iter().any(|other| plain(other) == own)
        })
    }
}
