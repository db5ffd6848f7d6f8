//! Searches of knowledge bases.

use std::time::Duration;

use metrics::{counter, histogram};

use super::{KB_CONTEXT, KB_DROPPED, KB_ERRORS, KB_RESULTS, KB_RETRIEVE};

/// Records the duration of a search, successful or not. `kb` is the configured name of the knowledge base.
pub fn kb_retrieved(kb: &str, took: Duration) {
    histogram!(KB_RETRIEVE, "kb" => kb.to_owned()).record(took);
}

/// Records the number of passages that a search found.
pub fn kb_results(kb: &str, count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    histogram!(KB_RESULTS, "kb" => kb.to_owned()).record(count as f64);
}

/// Counts passages that were dropped for a low score.
pub fn kb_dropped(kb: &str, count: usize) {
    counter!(KB_DROPPED, "kb" => kb.to_owned()).increment(count as u64);
}

/// Records the number of characters of passages that were put into a prompt.
pub fn kb_context(kb: &str, chars: usize) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    histogram!(KB_CONTEXT, "kb" => kb.to_owned()).record(chars as f64);
}

/// Counts a failed search. `code` is an error code of the gateway.
pub fn kb_error(kb: &str, code: &'static str) {
    counter!(KB_ERRORS, "kb" => kb.to_owned(), "code" => code).increment(1);
}
