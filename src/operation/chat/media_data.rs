//! How the text of an image or other media becomes bytes. Codec, guardrail and search by image all ask here, so that they
//! see the same bytes.

use std::{borrow::Cow, collections::HashMap};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

use crate::error::Error;

/// The data of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaData<'a> {
    /// Padded Base64 without white space.
    pub base64: Cow<'a, str>,
    pub bytes: Vec<u8>,
    /// The media type that a data URL declares.
    pub declared: Option<&'a str>,
}

impl<'a> MediaData<'a> {
    /// Returns the data of a data URL, of a URL that was fetched, or of bare Base64. `fetched` has the Base64 of fetched
    /// media by URL.
    ///
    /// # Errors
    /// 400 with the path `at` if there are no data or they are not Base64.
    pub fn of(url: &'a str, fetched: &'a HashMap<String, String>, at: &str) -> Result<Self, Error> {
        if is_inline(url) {
            return Self::read(url, at);
        }
        match fetched.get(url) {
            Some(data) => Self::decode(data, at),
            None => Err(Error::invalid(
                at,
                "This gateway does not fetch this URL. Send the content as a data URL (data:image/png;base64,…).",
            )
            .with_code("unsupported_url")),
        }
    }

    /// Returns the data of a data URL or of bare Base64, if they are valid.
    pub fn inline(text: &'a str) -> Option<Self> {
        Self::read(text, "").ok()
    }

    fn read(text: &'a str, at: &str) -> Result<Self, Error> {
        let Some(rest) = text.strip_prefix("data:") else {
            return Self::decode(text, at);
        };
        let (head, data) = rest
            .split_once(',')
            .ok_or_else(|| Error::invalid(at, "The data URL has no data."))?;
        let Some(mime) = head.strip_suffix(";base64") else {
            let text = "A data URL must be Base64 (…;base64,…).";
            return Err(Error::invalid(at, text));
        };
        let declared = mime.split(';').next().filter(|mime| !mime.is_empty());
        Ok(Self {
            declared,
            ..Self::decode(data, at)?
        })
    }

    /// Decodes Base64. Does not copy text that already has the form of `base64`.
    ///
    /// # Errors
    /// 400 with the path `at` if the text is not Base64, or empty.
    pub fn decode(text: &'a str, at: &str) -> Result<Self, Error> {
        let wrong =
            || Error::invalid(at, "The data is not valid Base64.").with_code("invalid_base64");
        let (base64, bytes) = match STANDARD.decode(text) {
            Ok(bytes) => (Cow::Borrowed(text), bytes),
            // Some clients send line breaks or omit the padding.
            Err(_) => {
                let plain: String = text
                    .chars()
                    .filter(|c| !c.is_ascii_whitespace() && *c != '=')
                    .collect();
                let bytes = STANDARD_NO_PAD.decode(plain).map_err(|_| wrong())?;
                (Cow::Owned(STANDARD.encode(&bytes)), bytes)
            }
        };
        if bytes.is_empty() {
            return Err(Error::invalid(at, "The data is empty."));
        }
        Ok(Self {
            base64,
            bytes,
            declared: None,
        })
    }

    /// Returns the format of an image, as its bytes say: `png`, `jpeg`, `gif` or `webp`.
    pub fn image_format(&self) -> Option<&'static str> {
        match infer::get(&self.bytes)?.mime_type() {
            "image/png" => Some("png"),
            "image/jpeg" => Some("jpeg"),
            "image/gif" => Some("gif"),
            "image/webp" => Some("webp"),
            _ => None,
        }
    }
}

/// Reports whether the text contains the data itself, as opposed to the address of the data.
pub fn is_inline(url: &str) -> bool {
    url.starts_with("data:") || !url.contains("://")
}
