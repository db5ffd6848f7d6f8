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

/// Converts a file name to the service's pattern for document names: letters and digits of ASCII, single spaces and
/// `- ( ) [ ]`, at most 180 characters. `fallback` replaces a name of which only the extension would remain.
pub fn allowed_name(file_name: &str, fallback: &str) -> String {
    let is_extension = |text: &str| !text.is_empty() && text.len() <= 8 && !text.contains(' ');
    let (stem, extension) = match file_name.rsplit_once('.') {
        Some((stem, extension)) if is_extension(extension) => (allowed(stem), allowed(extension)),
        _ => (allowed(file_name), String::new()),
    };
    let stem = if stem.chars().any(|c| c.is_ascii_alphanumeric()) {
        stem
    } else {
        fallback.to_owned()
    };
    let name: String = format!("{stem} {extension}").chars().take(180).collect();
    name.trim_end().to_owned()
}

fn allowed(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let fitting: String = text
        .chars()
        .map(|c| if fits(c) { c } else { ' ' })
        .collect();
    let words: Vec<&str> = fitting.split_ascii_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_what_the_service_allows() {
        for (file_name, name) in [
            ("report.pdf", "report pdf"),
            ("Q3  (final).tar.gz", "Q3 (final) tar gz"),
            ("2024年报告.pdf", "2024 pdf"),
            // Was "pdf".
            ("报告.pdf", "document-1 pdf"),
            ("--.pdf", "document-1 pdf"),
            (".pdf", "document-1 pdf"),
            ("レポート", "document-1"),
            ("", "document-1"),
            ("notes", "notes"),
            ("résumé v1. draft", "r sum v1 draft"),
        ] {
            assert_eq!(allowed_name(file_name, "document-1"), name, "{file_name}");
        }
    }
}
