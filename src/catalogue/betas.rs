//! Beta flags of Anthropic's Messages: the members that they carry, and those without effect on Bedrock.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

/// The flag with which Claude thinks between calls of tools.
pub const INTERLEAVED_THINKING: &str = "interleaved-thinking";

/// The flag with which Claude drops thinking whose prefix has changed, instead of rejecting the request.
pub const BINDING_CONTROLS: &str = "thinking-binding-controls-2026-08-01";

#[derive(Default, Deserialize)]
struct File {
    renamed: HashMap<String, String>,
    carries: HashMap<String, Vec<String>>,
    quiet: Vec<String>,
}

static FILE: LazyLock<File> =
    // The file is compiled in, and a test parses it, so parsing cannot fail here.
    LazyLock::new(|| serde_json::from_str(include_str!("betas.json")).unwrap_or_default());

/// Returns the name by which Bedrock knows a flag.
pub fn current(flag: &str) -> &str {
    FILE.renamed.get(flag).map_or(flag, String::as_str)
}

/// Returns the names of the members that are valid only with this flag. Empty for a flag that has its effect alone.
pub fn carried(flag: &str) -> &'static [String] {
    FILE.carries.get(flag).map_or(&[], Vec::as_slice)
}

/// Reports whether a request does not change if this flag is left out.
pub fn is_quiet(flag: &str) -> bool {
    FILE.quiet.iter().any(|known| known == flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read() {
        assert_eq!(
            current("advanced-tool-use-2025-11-20"),
            "tool-search-tool-2025-10-19"
        );
        assert_eq!(carried(BINDING_CONTROLS), ["thinking.block_binding"]);
        assert!(is_quiet("claude-code-20250219"));
    }
}
