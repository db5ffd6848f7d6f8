use crate::{
    money::Usage,
    operation::{CallEnd, EndReason, Reply},
};

/// One vector for each input, in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedReply {
    pub vectors: Vec<Vec<f32>>,
    pub usage: Usage,
}

impl Reply for EmbedReply {
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
