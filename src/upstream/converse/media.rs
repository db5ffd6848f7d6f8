//! Translates images, documents, video and audio. The format detected from the bytes takes precedence over the declared
//! one. Media that Bedrock would reject are rejected here, because the gateway can name the field and the limit.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use sha2::{Digest, Sha256};

use super::media_formats::{DOCUMENTS, IMAGES, VIDEOS, allowed_name, by_extension, by_media_type};
use crate::{
    bedrock::content::{
        CitationsConfig, ContentBlock, DocumentBlock, MediaBlock, MediaSource, S3Location,
        SearchResultBlock, TextBlock,
    },
    call::Warnings,
    error::Error,
    model::Facts,
    openai::message::{Content, File, InputAudio, MediaUrl, SearchResult},
    operation::chat::{MediaData, Part},
};

/// Maximum number of images in a request. This and the following limits are the service's,
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html>.
pub const MAX_IMAGES: usize = 20;
const MAX_IMAGE_BYTES: usize = 3_932_160;
/// In pixels.
const MAX_IMAGE_SIDE: usize = 8000;
const MAX_DOCUMENTS: usize = 5;
const MAX_DOCUMENT_BYTES: usize = 4_718_592;
const MAX_VIDEO_BYTES: usize = 25_000_000;

/// Padded Base64 without whitespace, the decoded bytes, and the declared media type.
type Data<'a> = (Cow<'a, str>, Vec<u8>, Option<&'a str>);

/// Returns whether the data URL is an image that a model with image input accepts. Used for images that the gateway adds,
/// which must not cause an error for the client.
pub fn takes_image(url: &str) -> bool {
    let facts = Facts {
        image: true,
        ..Facts::default()
    };
    let image = MediaUrl {
        url: url.to_owned(),
        detail: None,
        bucket_owner: None,
    };
    Media::new(&facts, &Warnings::default(), &HashMap::new(), false)
        .image(&image, "")
        .is_ok()
}

/// Builds the media blocks of one request and enforces the limits per request.
pub struct Media<'a, 'n> {
    facts: &'n Facts,
    warnings: &'n Warnings,
    /// Base64 of fetched media, by URL.
    fetched: &'a HashMap<String, String>,
    keep_file_names: bool,
    /// Number of images so far.
    images: usize,
    /// Number of documents so far.
    documents: usize,
    /// Names of documents so far.
    names: HashSet<String>,
}

impl<'a, 'n> Media<'a, 'n> {
    /// Creates a builder for one request. `fetched` has the Base64 of fetched media by URL. `keep_file_names` sends the
    /// client's file names to Bedrock.
    pub fn new(
        facts: &'n Facts,
        warnings: &'n Warnings,
        fetched: &'a HashMap<String, String>,
        keep_file_names: bool,
    ) -> Self {
        Self {
            facts,
            warnings,
            fetched,
            keep_file_names,
            images: 0,
            documents: 0,
            names: HashSet::new(),
        }
    }

    /// Returns the block for a media part, or `None` if the part is not media.
    ///
    /// # Errors
    /// 400 with the part's path.
    pub fn block(&mut self, part: &'a Part) -> Result<Option<ContentBlock<'a>>, Error> {
        Ok(Some(match part {
            Part::Image(image) => {
                let detail = image.value.detail.as_deref();
                if detail.is_some_and(|detail| detail != "auto") {
                    let param = format!("{}.image_url.detail", image.at);
                    self.warnings
                        .dropped(param, "Converse has no such parameter");
                }
                let at = format!("{}.image_url.url", image.at);
                ContentBlock::Image(self.image(&image.value, &at)?)
            }
            Part::File(file) => ContentBlock::Document(self.document(&file.value, &file.at)?),
            Part::Video(video) => {
                let at = format!("{}.video_url.url", video.at);
                ContentBlock::Video(self.video(&video.value, &at)?)
            }
            Part::Audio(audio) => ContentBlock::Audio(self.audio(&audio.value, &audio.at)?),
            Part::SearchResult(result) => {
                ContentBlock::SearchResult(self.search_result(&result.value, &result.at)?)
            }
            _ => return Ok(None),
        }))
    }

    fn image(&mut self, image: &'a MediaUrl, at: &str) -> Result<MediaBlock<'a>, Error> {
        self.require_support(self.facts.image, "images", at)?;
        self.images += 1;
        if self.images > MAX_IMAGES {
            return Err(Error::invalid(
                at,
                format!("A request may have at most {MAX_IMAGES} images."),
            ));
        }
        if let Some(source) = s3(image) {
            return Ok(MediaBlock {
                format: by_extension(&image.url, &IMAGES).unwrap_or("png"),
                source,
            });
        }
        let (text, bytes, _) = self.data(&image.url, at)?;
        let Some(format) =
            infer::get(&bytes).and_then(|kind| by_media_type(kind.mime_type(), &IMAGES))
        else {
            return Err(Error::invalid(
                at,
                "The image is not a PNG, JPEG, GIF or WebP.",
            ));
        };
        check_size(bytes.len(), MAX_IMAGE_BYTES, "an image", at)?;
        let size = imagesize::blob_size(&bytes).map_err(|_| {
            Error::invalid(at, "The image is corrupted: its dimensions cannot be read.")
        })?;
        if size.width > MAX_IMAGE_SIDE || size.height > MAX_IMAGE_SIDE {
            return Err(Error::invalid(
                at,
                format!(
                    "The image has {} x {} pixels; at most {MAX_IMAGE_SIDE} per side are allowed.",
                    size.width, size.height
                ),
            ));
        }
        Ok(MediaBlock {
            format,
            source: MediaSource::Bytes(text),
        })
    }

    fn document(&mut self, file: &'a File, at: &str) -> Result<DocumentBlock<'a>, Error> {
        let here = format!("{at}.file.file_data");
        if file.file_id.is_some() {
            return Err(Error::invalid(
                format!("{at}.file.file_id"),
                "This gateway does not store files. Send the content of the file as 'file_data'.",
            ));
        }
        let Some(data) = &file.file_data else {
            return Err(Error::invalid(
                here,
                "A part of type 'file' requires 'file_data'.",
            ));
        };
        self.require_support(self.facts.document, "documents", &here)?;
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            return Err(Error::invalid(
                here,
                format!("A request may have at most {MAX_DOCUMENTS} documents."),
            ));
        }
        let (text, bytes, declared) = self.data(data, &here)?;
        check_size(bytes.len(), MAX_DOCUMENT_BYTES, "a document", &here)?;
        let file_name = file.filename.as_deref();
        // Text formats cannot be told apart by their bytes, so the declared format takes precedence for them.
        let sniffed =
            infer::get(&bytes).and_then(|kind| by_media_type(kind.mime_type(), &DOCUMENTS));
        let sniffed = sniffed.filter(|format| !["html", "txt", "csv", "md"].contains(format));
        let declared_as = declared.and_then(|mime| by_media_type(mime, &DOCUMENTS));
        let by_name = file_name.and_then(|name| by_extension(name, &DOCUMENTS));
        if sniffed != Some("pdf") && (declared_as == Some("pdf") || by_name == Some("pdf")) {
            return Err(Error::invalid(
                here,
                "The file is declared as a PDF, but its content is not a PDF.",
            ));
        }
        // JSON and source code are sent as text. Control characters indicate a binary file.
        let control = |c: char| c.is_control() && !c.is_whitespace();
        let is_text = std::str::from_utf8(&bytes).is_ok_and(|text| !text.contains(control));
        let Some(format) = sniffed
            .or(declared_as)
            .or(by_name)
            .or(is_text.then_some("txt"))
        else {
            return Err(Error::invalid(
                here,
                "The file is not a PDF, CSV, DOC, DOCX, XLS, XLSX, HTML, TXT or Markdown file.",
            ));
        };
        Ok(DocumentBlock {
            format,
            name: self.document_name(&bytes, file_name),
            source: MediaSource::Bytes(text),
            context: file.context.as_deref(),
            citations: file.citations.map(|citations| CitationsConfig {
                enabled: citations.enabled,
            }),
        })
    }

    /// Returns a name that is unique in the request. It is derived from the content, so that prompt caches match and the
    /// client's file name stays private unless `keep_file_names` is set.
    fn document_name(&mut self, bytes: &[u8], file_name: Option<&str>) -> String {
        let generated = format!("document-{}", &hex::encode(Sha256::digest(bytes))[..12]);
        let kept = file_name
            .filter(|_| self.keep_file_names)
            .map(|name| allowed_name(name, &generated));
        let name = kept.unwrap_or(generated);
        let unique = (2..).map(|n| format!("{name}-{n}"));
        let name = std::iter::once(name.clone())
            .chain(unique)
            .find(|name| !self.names.contains(name));
        let name = name.unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    fn video(&mut self, video: &'a MediaUrl, at: &str) -> Result<MediaBlock<'a>, Error> {
        self.require_support(self.facts.video, "video", at)?;
        let by_name = by_extension(&video.url, &VIDEOS);
        if let Some(source) = s3(video) {
            return Ok(MediaBlock {
                format: by_name.unwrap_or("mp4"),
                source,
            });
        }
        let (text, bytes, declared) = self.data(&video.url, at)?;
        let sniffed = infer::get(&bytes).and_then(|kind| by_media_type(kind.mime_type(), &VIDEOS));
        let Some(format) = sniffed
            .or(declared.and_then(|mime| by_media_type(mime, &VIDEOS)))
            .or(by_name)
        else {
            return Err(Error::invalid(
                at,
                "The video is not an MKV, MOV, MP4, WebM, FLV, MPEG, WMV or 3GP file.",
            ));
        };
        check_size(bytes.len(), MAX_VIDEO_BYTES, "a video", at)?;
        Ok(MediaBlock {
            format,
            source: MediaSource::Bytes(text),
        })
    }

    fn audio(&mut self, audio: &'a InputAudio, at: &str) -> Result<MediaBlock<'a>, Error> {
        self.require_support(self.facts.audio, "audio", &format!("{at}.input_audio"))?;
        let format = match audio.format.as_str() {
            "wav" => "wav",
            "mp3" => "mp3",
            _ => {
                return Err(Error::invalid(
                    format!("{at}.input_audio.format"),
                    "'format' of audio must be 'wav' or 'mp3'.",
                ));
            }
        };
        let at_data = format!("{at}.input_audio.data");
        let MediaData {
            base64: text,
            bytes,
            ..
        } = MediaData::decode(&audio.data, &at_data)?;
        check_size(bytes.len(), MAX_VIDEO_BYTES, "audio", at)?;
        Ok(MediaBlock {
            format,
            source: MediaSource::Bytes(text),
        })
    }

    fn search_result(
        &mut self,
        result: &'a SearchResult,
        at: &str,
    ) -> Result<SearchResultBlock<'a>, Error> {
        self.require_support(self.facts.search_result, "search results", at)?;
        let content: Vec<&str> = match &result.content {
            Content::Text(text) => vec![text],
            Content::Parts(parts) => parts
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect(),
        };
        Ok(SearchResultBlock {
            source: &result.source,
            title: &result.title,
            content: content
                .into_iter()
                .filter(|text| !text.trim().is_empty())
                .map(|text| TextBlock { text })
                .collect(),
            citations: result.citations.map(|citations| CitationsConfig {
                enabled: citations.enabled,
            }),
        })
    }

    fn require_support(&self, supported: bool, what: &str, at: &str) -> Result<(), Error> {
        match supported {
            true => Ok(()),
            false => Err(
                Error::invalid(at, format!("This model does not support {what}."))
                    .with_code("unsupported_content"),
            ),
        }
    }

    fn data(&self, url: &'a str, at: &str) -> Result<Data<'a>, Error> {
        let data = MediaData::of(url, self.fetched, at)?;
        Ok((data.base64, data.bytes, data.declared))
    }
}

fn s3(media: &MediaUrl) -> Option<MediaSource<'_>> {
    media.url.starts_with("s3://").then(|| {
        MediaSource::S3Location(S3Location {
            uri: &media.url,
            bucket_owner: media.bucket_owner.as_deref(),
        })
    })
}

fn check_size(len: usize, max: usize, what: &str, at: &str) -> Result<(), Error> {
    match len > max {
        true => Err(Error::invalid(
            at,
            format!("{len} bytes are too many; {what} may have at most {max} bytes."),
        )),
        false => Ok(()),
    }
}
