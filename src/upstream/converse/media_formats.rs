//! Maps file extensions and media types to the service's media formats.

/// A list of formats: the service's name, the file extensions, and the media types.
pub type Formats = [(
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
)];

/// Formats of images.
pub const IMAGES: [(&str, &[&str], &[&str]); 4] = [
    ("png", &["png"], &["image/png"]),
    ("jpeg", &["jpeg", "jpg"], &["image/jpeg"]),
    ("gif", &["gif"], &["image/gif"]),
    ("webp", &["webp"], &["image/webp"]),
];

/// Formats of documents.
pub const DOCUMENTS: [(&str, &[&str], &[&str]); 9] = [
    ("pdf", &["pdf"], &["application/pdf"]),
    ("csv", &["csv"], &["text/csv"]),
    ("doc", &["doc"], &["application/msword"]),
    (
        "docx",
        &["docx"],
        &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
    ),
    ("xls", &["xls"], &["application/vnd.ms-excel"]),
    (
        "xlsx",
        &["xlsx"],
        &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"],
    ),
    ("html", &["html", "htm"], &["text/html"]),
    ("txt", &["txt"], &["text/plain"]),
    (
        "md",
        &["md", "markdown"],
        &["text/markdown", "text/x-markdown"],
    ),
];

/// Formats of video.
pub const VIDEOS: [(&str, &[&str], &[&str]); 9] = [
    ("mkv", &["mkv"], &["video/x-matroska"]),
    ("mov", &["mov"], &["video/quicktime"]),
    ("mp4", &["mp4", "m4v"], &["video/mp4", "video/x-m4v"]),
    ("webm", &["webm"], &["video/webm"]),
    ("flv", &["flv"], &["video/x-flv"]),
    ("mpeg", &["mpeg"], &["video/mpeg"]),
    ("mpg", &["mpg"], &[]),
    ("wmv", &["wmv"], &["video/x-ms-wmv"]),
    ("three_gp", &["3gp", "three_gp"], &["video/3gpp"]),
];

/// Returns the format with media type `mime`.
pub fn by_media_type(mime: &str, formats: &Formats) -> Option<&'static str> {
    formats
        .iter()
        .find(|(_, _, mimes)| mimes.contains(&mime))
        .map(|(name, _, _)| *name)
}

/// Returns the format for the extension of the file name or URL `name`.
pub fn by_extension(name: &str, formats: &Formats) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    formats
        .iter()
        .find(|(_, extensions, _)| extensions.contains(&extension.as_str()))
        .map(|(name, _, _)| *name)
}

/// Converts a file name to the service's pattern for document names: letters, digits, single spaces and `- ( ) [ ]`, at
/// most 180 characters.
pub fn allowed_name(file_name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let name: String = file_name
        .chars()
        .map(|c| if fits(c) { c } else { ' ' })
        .collect();
    let words: Vec<&str> = name.split_ascii_whitespace().collect();
    words.join(" ").chars().take(180).collect()
}
