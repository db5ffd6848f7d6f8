//! Converts content to parts.

use crate::{
    call::Warnings,
    error::Error,
    openai::{
        message::{File, MediaUrl},
        responses::served::{Content, ContentPart},
    },
    operation::chat::{Media, Part},
};

/// Who content is from. Only users and tools can send media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A user or a tool.
    Client,
    Model,
    Operator,
}

/// Converts the content of the item at the path `at`. `member` is the name of the content in the item.
///
/// # Errors
/// 400 with the path of a part that refers to a file that the gateway does not have.
pub fn parts(
    content: Option<Content>,
    author: Author,
    at: &str,
    member: &str,
    warnings: &Warnings,
) -> Result<Vec<Part>, Error> {
    let list = match content {
        None => return Ok(Vec::new()),
        Some(Content::Text(text)) => return Ok(text_part(text).into_iter().collect()),
        Some(Content::Parts(list)) => list,
    };
    let mut parts = Vec::with_capacity(list.len());
    for (index, part) in list.into_iter().enumerate() {
        let at = format!("{at}.{member}[{index}]");
        parts.extend(part_of(part, author, at, warnings)?);
    }
    Ok(parts)
}

/// Returns a text part, or `None` if it is empty, which no model accepts.
pub fn text_part(text: String) -> Option<Part> {
    (!text.is_empty()).then_some(Part::Text(text))
}

fn part_of(
    part: ContentPart,
    author: Author,
    at: String,
    warnings: &Warnings,
) -> Result<Option<Part>, Error> {
    let may_have_media = author == Author::Client;
    match part.kind.as_str() {
        "input_image" if may_have_media => image(part, at).map(Some),
        "input_file" if may_have_media => file(part, at).map(Some),
        "input_audio" if may_have_media => {
            let audio = part
                .input_audio
                .ok_or_else(|| missing(&at, "input_audio"))?;
            Ok(Some(Part::Audio(Media { value: audio, at })))
        }
        kind => match part.text.or(part.refusal) {
            Some(text) => Ok(text_part(text)),
            None => {
                let kind: String = kind.chars().take(40).collect();
                warnings.add(format!("{at}: ignored, '{kind}' is not supported here"));
                Ok(None)
            }
        },
    }
}

fn image(part: ContentPart, at: String) -> Result<Part, Error> {
    let Some(url) = part.image_url else {
        return Err(no_files(part.file_id.is_some(), &at, "image_url"));
    };
    let value = MediaUrl {
        url,
        detail: part.detail,
        bucket_owner: None,
    };
    Ok(Part::Image(Media { value, at }))
}

fn file(part: ContentPart, at: String) -> Result<Part, Error> {
    if part.file_url.is_some() {
        let text = "Files are not fetched. Send the content of the file as 'file_data'.";
        return Err(Error::invalid(format!("{at}.file_url"), text));
    }
    if part.file_data.is_none() {
        return Err(no_files(part.file_id.is_some(), &at, "file_data"));
    }
    let value = File {
        file_data: part.file_data,
        file_id: None,
        filename: part.filename,
        context: None,
        citations: None,
    };
    Ok(Part::File(Media { value, at }))
}

fn no_files(is_by_id: bool, at: &str, member: &'static str) -> Error {
    if !is_by_id {
        return missing(at, member);
    }
    let text = format!("This gateway does not store files. Send the content as '{member}'.");
    Error::invalid(format!("{at}.file_id"), text)
}

fn missing(at: &str, member: &'static str) -> Error {
    Error::invalid(
        format!("{at}.{member}"),
        format!("This part needs '{member}'."),
    )
}
