use crate::{
    money::Usage,
    operation::{CallEnd, EndReason, Reply},
};

/// The images of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrawReply {
    pub images: Vec<Image>,
    pub usage: Usage,
}

/// An image that the model made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The bytes of the image, as Base64.
    pub data: String,
    /// `png`, `jpeg` or `webp`.
    pub format: &'static str,
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
