//! Descriptions of tools and answers.

/// Appends `note` to `description`, unless it repeats it. Returns `None` if both are blank.
pub fn with_note(description: Option<&str>, note: Option<String>) -> Option<String> {
    let description = description.filter(|text| !text.trim().is_empty());
    let note = note.filter(|note| !note.trim().is_empty());
    match (description, note) {
        (Some(text), Some(note)) if !text.contains(&note) => Some(format!("{text}\n{note}")),
        (Some(text), _) => Some(text.to_owned()),
        (None, note) => note,
    }
}
