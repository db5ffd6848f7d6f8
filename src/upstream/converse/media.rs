//! Images, documents, video and audio. What the bytes are goes before what the client calls them; what the service
//! would refuse is refused here, with words that help.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::media_formats::{DOCUMENTS, IMAGES, VIDEOS, allowed_name, by_extension, named};
use crate::{
    bedrock::content::{
        CitationsConfig, ContentBlock, DocumentBlock, MediaBlock, MediaSource, S3Location,
        SearchResultBlock, TextBlock,
    },
    call::Warnings,
    error::Error,
    model::Facts,
    openai::message::{Content, File, InputAudio, MediaUrl, SearchResult},
    operation::chat::Part,
};

/// The service's own limits for one request, <https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html>.
pub const MAX_IMAGES: usize = 20;
const MAX_IMAGE_BYTES: usize = 3_932_160;
const MAX_IMAGE_SIDE: usize = 8000;
const MAX_DOCUMENTS: usize = 5;
const MAX_DOCUMENT_BYTES: usize = 4_718_592;
const MAX_VIDEO_BYTES: usize = 25_000_000;

/// Base64 as the service wants it, its bytes, and the declared type.
type Data<'a> = (Cow<'a, str>, Vec<u8>, Option<&'a str>);

/// Could a model that sees images be sent this data URL? For those that no client has sent, and that no client should be
/// refused for.
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

/// Builds the media blocks of one request.
pub struct Media<'a, 'n> {
    facts: &'n Facts,
    warnings: &'n Warnings,
    fetched: &'a HashMap<String, String>,
    keep_file_names: bool,
    images: usize,
    documents: usize,
    names: HashSet<String>,
}

impl<'a, 'n> Media<'a, 'n> {
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

    /// Returns the block of a part that is media; `None` if it is something else.
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
        self.supports(self.facts.image, "images", at)?;
        self.images += 1;
        if self.images > MAX_IMAGES {
            return Err(Error::invalid(
                at,
                format!("A request may hold {MAX_IMAGES} images at most."),
            ));
        }
        if let Some(source) = s3(image) {
            return Ok(MediaBlock {
                format: by_extension(&image.url, &IMAGES).unwrap_or("png"),
                source,
            });
        }
        let (text, bytes, _) = self.data(&image.url, at)?;
        let Some(format) = infer::get(&bytes).and_then(|kind| named(kind.mime_type(), &IMAGES))
        else {
            return Err(Error::invalid(
                at,
                "The image is not a PNG, JPEG, GIF or WebP.",
            ));
        };
        within(bytes.len(), MAX_IMAGE_BYTES, "an image", at)?;
        let size = imagesize::blob_size(&bytes)
            .map_err(|_| Error::invalid(at, "The image is damaged: its size cannot be read."))?;
        if size.width > MAX_IMAGE_SIDE || size.height > MAX_IMAGE_SIDE {
            return Err(Error::invalid(
                at,
                format!(
                    "The image has {} x {} pixels; {MAX_IMAGE_SIDE} a side is the most.",
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
                "This gateway keeps no files: send the file itself as 'file_data'.",
            ));
        }
        let Some(data) = &file.file_data else {
            return Err(Error::invalid(
                here,
                "A part of type 'file' needs 'file_data'.",
            ));
        };
        self.supports(self.facts.document, "documents", &here)?;
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            return Err(Error::invalid(
                here,
                format!("A request may hold {MAX_DOCUMENTS} documents at most."),
            ));
        }
        let (text, bytes, declared) = self.data(data, &here)?;
        within(bytes.len(), MAX_DOCUMENT_BYTES, "a document", &here)?;
        let file_name = file.filename.as_deref();
        // Text looks like anything: of text, what the client calls it is the better guess.
        let sniffed = infer::get(&bytes).and_then(|kind| named(kind.mime_type(), &DOCUMENTS));
        let sniffed = sniffed.filter(|format| !["html", "txt", "csv", "md"].contains(format));
        let declared_as = declared.and_then(|mime| named(mime, &DOCUMENTS));
        let named = file_name.and_then(|name| by_extension(name, &DOCUMENTS));
        if sniffed != Some("pdf") && (declared_as == Some("pdf") || named == Some("pdf")) {
            return Err(Error::invalid(
                here,
                "The file is called a PDF, but is none.",
            ));
        }
        // JSON and source code are text too; a file of another kind shows by its control characters.
        let control = |c: char| c.is_control() && !c.is_whitespace();
        let is_text = std::str::from_utf8(&bytes).is_ok_and(|text| !text.contains(control));
        let Some(format) = sniffed
            .or(declared_as)
            .or(named)
            .or(is_text.then_some("txt"))
        else {
            return Err(Error::invalid(
                here,
                "The file is none of PDF, CSV, DOC, DOCX, XLS, XLSX, HTML, TXT and Markdown.",
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

    /// Stable for the prompt cache, unique in the request, and without the name of the file unless that is wanted.
    fn document_name(&mut self, bytes: &[u8], file_name: Option<&str>) -> String {
        let kept = file_name
            .filter(|_| self.keep_file_names)
            .map(allowed_name)
            .filter(|name| !name.is_empty());
        let name = kept
            .unwrap_or_else(|| format!("document-{}", &hex::encode(Sha256::digest(bytes))[..12]));
        let unique = (2..).map(|n| format!("{name}-{n}"));
        let name = std::iter::once(name.clone())
            .chain(unique)
            .find(|name| !self.names.contains(name));
        let name = name.unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    fn video(&mut self, video: &'a MediaUrl, at: &str) -> Result<MediaBlock<'a>, Error> {
        self.supports(self.facts.video, "video", at)?;
        let by_name = by_extension(&video.url, &VIDEOS);
        if let Some(source) = s3(video) {
            return Ok(MediaBlock {
                format: by_name.unwrap_or("mp4"),
                source,
            });
        }
        let (text, bytes, declared) = self.data(&video.url, at)?;
        let sniffed = infer::get(&bytes).and_then(|kind| named(kind.mime_type(), &VIDEOS));
        let Some(format) = sniffed
            .or(declared.and_then(|mime| named(mime, &VIDEOS)))
            .or(by_name)
        else {
            return Err(Error::invalid(
                at,
                "The video is none of MKV, MOV, MP4, WebM, FLV, MPEG, WMV and 3GP.",
            ));
        };
        within(bytes.len(), MAX_VIDEO_BYTES, "a video", at)?;
        Ok(MediaBlock {
            format,
            source: MediaSource::Bytes(text),
        })
    }

    fn audio(&mut self, audio: &'a InputAudio, at: &str) -> Result<MediaBlock<'a>, Error> {
        self.supports(self.facts.audio, "audio", &format!("{at}.input_audio"))?;
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
        let (text, bytes) = decoded(&audio.data, &format!("{at}.input_audio.data"))?;
        within(bytes.len(), MAX_VIDEO_BYTES, "audio", at)?;
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
        self.supports(self.facts.search_result, "search results", at)?;
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

    fn supports(&self, supported: bool, what: &str, at: &str) -> Result<(), Error> {
        match supported {
            true => Ok(()),
            false => Err(Error::invalid(at, format!("This model takes no {what}."))
                .with_code("unsupported_content")),
        }
    }

    fn data(&self, url: &'a str, at: &str) -> Result<Data<'a>, Error> {
        if let Some(rest) = url.strip_prefix("data:") {
            let (head, data) = rest
                .split_once(',')
                .ok_or_else(|| Error::invalid(at, "The data URL has no data."))?;
            let Some(mime) = head.strip_suffix(";base64") else {
                return Err(Error::invalid(
                    at,
                    "A data URL must be Base64 (…;base64,…).",
                ));
            };
            let (text, bytes) = decoded(data, at)?;
            return Ok((
                text,
                bytes,
                mime.split(';').next().filter(|mime| !mime.is_empty()),
            ));
        }
        if let Some(data) = self.fetched.get(url).map(String::as_str) {
            let (text, bytes) = decoded(data, at)?;
            return Ok((text, bytes, None));
        }
        if url.contains("://") {
            return Err(Error::invalid(
                at,
                "This gateway does not fetch URLs like this one: send the bytes as a data URL (data:image/png;base64,…).",
            )
            .with_code("unsupported_url"));
        }
        let (text, bytes) = decoded(url, at)?;
        Ok((text, bytes, None))
    }
}

/// Text that is already what the service wants is not copied.
fn decoded<'a>(text: &'a str, at: &str) -> Result<(Cow<'a, str>, Vec<u8>), Error> {
    let wrong = || Error::invalid(at, "The data is not valid Base64.").with_code("invalid_base64");
    let (text, bytes) = match STANDARD.decode(text) {
        Ok(bytes) => (Cow::Borrowed(text), bytes),
        // Line breaks, or without padding: meant well.
        Err(_) => {
            let plain: String = text
                .chars()
                .filter(|c| !c.is_ascii_whitespace() && *c != '=')
                .collect();
            let bytes = base64::engine::general_purpose::STANDARD_NO_PAD
                .decode(plain)
                .map_err(|_| wrong())?;
            (Cow::Owned(STANDARD.encode(&bytes)), bytes)
        }
    };
    if bytes.is_empty() {
        return Err(Error::invalid(at, "The data is empty."));
    }
    Ok((text, bytes))
}

fn s3(media: &MediaUrl) -> Option<MediaSource<'_>> {
    media.url.starts_with("s3://").then(|| {
        MediaSource::S3Location(S3Location {
            uri: &media.url,
            bucket_owner: media.bucket_owner.as_deref(),
        })
    })
}

fn within(len: usize, max: usize, what: &str, at: &str) -> Result<(), Error> {
    match len > max {
        true => Err(Error::invalid(
            at,
            format!("{len} bytes are too many: {what} may have {max} at most."),
        )),
        false => Ok(()),
    }
}
