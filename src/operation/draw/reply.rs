use crate::{
    money::Usage,
    operation::{CallEnd, EndReason, Reply},
};

/// The images of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrawReply {
    /// Each image as Base64.
    pub images: Vec<String>,
    pub usage: Usage,
}

impl Reply for DrawReply {
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
