use super::Warnings;

/// The most that a request may set for the options of a Knowledge Base. Without a cap, budgets alone bound an option.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caps {
    pub max_results: Option<u32>,
    pub max_context_chars: Option<u32>,
    pub max_context_tokens: Option<u32>,
    /// The lowest score that a request may accept.
    pub min_score: Option<f64>,
}

impl Caps {
    /// Returns the tighter of each pair of caps.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        Self {
            max_results: least(self.max_results, other.max_results),
            max_context_chars: least(self.max_context_chars, other.max_context_chars),
            max_context_tokens: least(self.max_context_tokens, other.max_context_tokens),
            min_score: self
                .min_score
                .into_iter()
                .chain(other.min_score)
                .reduce(f64::max),
        }
    }
}

/// Lowers an option of a request to its cap, but never below the configured value. `param` is the option's path.
pub fn lowered(
    requested: Option<u32>,
    cap: Option<u32>,
    configured: u32,
    param: &str,
    warnings: &Warnings,
) -> Option<u32> {
    let (requested, cap) = (requested?, cap.unwrap_or(u32::MAX).max(configured));
    if requested > cap {
        warnings.add(format!(
            "{param}: lowered to {cap} (the operator's limit for this knowledge base)"
        ));
    }
    Some(requested.min(cap))
}

/// Raises the `min_score` of a request to its cap, but never above the configured value.
pub fn raised(
    requested: Option<f64>,
    cap: Option<f64>,
    configured: f64,
    param: &str,
    warnings: &Warnings,
) -> Option<f64> {
    let (requested, cap) = (requested?, cap.unwrap_or(0.0).min(configured));
    if requested < cap {
        warnings.add(format!(
            "{param}: raised to {cap} (the operator's limit for this knowledge base)"
        ));
    }
    Some(requested.max(cap))
}
