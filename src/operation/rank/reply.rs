use crate::{
    money::Usage,
    operation::{CallEnd, EndReason, Reply},
};

/// Documents in the order of their relevance, the most relevant first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankReply {
    pub results: Vec<Ranked>,
    pub usage: Usage,
}

/// A document and its relevance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The position of the document in the request.
    pub index: usize,
    /// 0 to 1.
    pub score: f64,
}

impl Reply for RankReply {
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self {
        f(&CallEnd {
            reason: EndReason::Complete,
            usage: Some(self.usage),
            finish_reason: None,
        });
        self
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn usage(&self) -> Option<Usage> {
        Some(self.usage)
    }
}
