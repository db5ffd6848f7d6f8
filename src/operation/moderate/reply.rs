use crate::{
    money::{Cost, NanoUsd, Usage},
    operation::{CallEnd, EndReason, Reply},
};

/// The categories of OpenAI that Bedrock evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Harassment,
    Hate,
    Illicit,
    Sexual,
    Violence,
}

impl Category {
    pub const ALL: [Self; 5] = [
        Self::Harassment,
        Self::Hate,
        Self::Illicit,
        Self::Sexual,
        Self::Violence,
    ];

    /// OpenAI's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Harassment => "harassment",
            Self::Hate => "hate",
            Self::Illicit => "illicit",
            Self::Sexual => "sexual",
            Self::Violence => "violence",
        }
    }

    /// The name of the content filter in Bedrock.
    pub fn bedrock_name(self) -> &'static str {
        match self {
            Self::Harassment => "INSULTS",
            Self::Hate => "HATE",
            Self::Illicit => "MISCONDUCT",
            Self::Sexual => "SEXUAL",
            Self::Violence => "VIOLENCE",
        }
    }

    /// Returns the category of a content filter. `None` for filters that OpenAI has no category for.
    pub fn of_bedrock(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.bedrock_name() == name)
    }
}

/// What was found in one input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// By the order of [`Category::ALL`], from 0 to 1.
    pub scores: [f64; Category::ALL.len()],
    /// The categories that the input falls into, by the same order.
    pub found: [bool; Category::ALL.len()],
    /// The input falls into a category, or a guardrail blocks it for another reason.
    pub is_flagged: bool,
}

impl Verdict {
    /// Records a finding in `category`. The highest score counts.
    pub fn add(&mut self, category: Category, score: f64, is_found: bool) {
        let at = category as usize;
        self.scores[at] = self.scores[at].max(score);
        self.found[at] |= is_found;
        self.is_flagged |= is_found;
    }

    /// Adds what was found in another part of the same input.
    pub fn join(&mut self, other: &Self) {
        for (at, category) in Category::ALL.into_iter().enumerate() {
            self.add(category, other.scores[at], other.found[at]);
        }
        self.is_flagged |= other.is_flagged;
    }
}

/// One verdict for each input, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModerationReply {
    pub verdicts: Vec<Verdict>,
    /// The cost of all requests.
    pub cost: NanoUsd,
}

impl Reply for ModerationReply {
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self {
        f(&CallEnd {
            reason: EndReason::Complete,
            usage: self.usage(),
            finish_reason: None,
        });
        self
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn usage(&self) -> Option<Usage> {
        Some(Usage {
            cost: Some(Cost {
                guardrails: self.cost,
                ..Cost::default()
            }),
            ..Usage::default()
        })
    }
}
