//! Requests for reasoning, in terms that every model family can translate.

/// All values of `reasoning_effort` that OpenAI and the model families define, weakest first.
pub const SCALE: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The smallest thinking budget that Claude accepts, in tokens.
pub const MIN_BUDGET: u32 = 1024;

/// The largest thinking budget that the gateway requests for an effort, in tokens.
pub const MAX_BUDGET: u32 = 16_384;

/// The tokens for the answer in addition to a thinking budget, if the client sets no limit.
pub const VISIBLE: u32 = 4096;

/// The reasoning that the client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasoningRequest {
    /// The member of the request, for warnings.
    pub param: &'static str,
    pub amount: Amount,
}

/// An amount of reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// As much as the model decides.
    Default,
    /// A value of [`SCALE`], of which `none` turns reasoning off.
    Effort(&'static str),
    /// A budget in tokens, at least 1.
    Budget(u32),
}

impl Amount {
    /// Reports whether reasoning is turned off.
    pub fn is_none(self) -> bool {
        self == Self::Effort("none")
    }

    /// Returns the value of [`SCALE`] that is nearest to this amount.
    pub fn as_effort(self) -> &'static str {
        match self {
            Self::Default => "medium",
            Self::Effort(effort) => effort,
            Self::Budget(tokens) => effort_for(tokens),
        }
    }
}

/// Returns the thinking budget for an effort, in tokens.
pub fn budget_of(effort: &str) -> u32 {
    match effort {
        "medium" => 2048,
        "high" => 4096,
        "xhigh" => 8192,
        "max" => MAX_BUDGET,
        _ => MIN_BUDGET,
    }
}

/// Returns the effort whose budget is nearest to `budget`, the weaker of two that are equally near.
pub fn effort_for(budget: u32) -> &'static str {
    let efforts = ["low", "medium", "high", "xhigh", "max"].into_iter();
    efforts
        .min_by_key(|effort| budget_of(effort).abs_diff(budget))
        .unwrap_or("low")
}

/// Returns the highest supported effort that is not above `requested`, else the lowest supported.
pub fn nearest_effort(requested: &'static str, efforts: &[String]) -> &'static str {
    let at = |effort: &str| SCALE.iter().position(|known| *known == effort);
    let known: Vec<usize> = efforts.iter().filter_map(|effort| at(effort)).collect();
    let requested_at = at(requested).unwrap_or_default();
    // `minimal` means little thinking, not none.
    let low = known.iter().copied().filter(|rank| *rank > 0);
    let below = low.clone().filter(|rank| *rank <= requested_at).max();
    let found = if requested == "none" && known.contains(&0) {
        Some(0)
    } else {
        below.or(low.min())
    };
    found.map_or(requested, |rank| SCALE[rank])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_become_the_nearest_effort() {
        for (budget, effort) in [
            (1, "low"),
            (1536, "low"),
            (1537, "medium"),
            (4000, "high"),
            (10_000, "xhigh"),
            (64_000, "max"),
        ] {
            assert_eq!(effort_for(budget), effort, "{budget}");
        }
    }
}
