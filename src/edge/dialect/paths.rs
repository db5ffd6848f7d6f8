//! The names of members in a client's own body. The rules of chats, and the codecs, name members as chat completions do.

use std::borrow::Cow;

/// How one API names members.
#[derive(Debug)]
pub struct Paths {
    /// Members of the request by their names in chat completions, from the beginning of the path.
    pub members: &'static [(&'static str, &'static str)],
    /// Parts within a path.
    pub parts: &'static [(&'static str, &'static str)],
}

impl Paths {
    /// Returns the client's path for a path of chat completions, or `None` if it is the same.
    pub fn of(&self, path: &str) -> Option<String> {
        let mut renamed = path.to_owned();
        for (chat, own) in self.parts {
            if let Some(at) = renamed.find(chat) {
                renamed.replace_range(at..at + chat.len(), own);
                break;
            }
        }
        for (chat, own) in self.members {
            let rest = renamed.strip_prefix(chat);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])) {
                renamed.replace_range(..chat.len(), own);
                break;
            }
        }
        (renamed != path).then_some(renamed)
    }

    /// Returns a text with the client's names of the members that it quotes, or `None` if it quotes none. Names of one word
    /// stay, except `messages`, because they are values, too.
    pub fn in_text(&self, text: &str) -> Option<String> {
        let mut renamed = Cow::Borrowed(text);
        for (chat, own) in self.members {
            if !chat.contains('_') && *chat != "messages" {
                continue;
            }
            for quote in ['\'', '`'] {
                let quoted = format!("{quote}{chat}{quote}");
                if renamed.contains(&quoted) {
                    let own = format!("{quote}{own}{quote}");
                    renamed = renamed.replace(&quoted, &own).into();
                }
            }
        }
        match renamed {
            Cow::Owned(renamed) => Some(renamed),
            Cow::Borrowed(_) => None,
        }
    }
}

impl Paths {
    /// Returns a warning of the gateway with the client's names of the members in its explanation, or `None` if it has none.
    /// There, names are not quoted. Names of one word stay, because they are words, except with an index.
    pub fn in_warning(&self, text: &str) -> Option<String> {
        let mut renamed = String::new();
        let mut rest = text;
        let mut is_changed = false;
        while let Some(start) = rest.find(is_of_name) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c| !is_of_name(c)).unwrap_or(from.len());
            let (name, after) = from.split_at(end);
            // What is quoted is the client's own.
            let is_quoted = before.ends_with(['\'', '`']);
            let is_path = !is_quoted && (name.contains('_') || after.starts_with('['));
            let own = Some(name.trim_end_matches('.')).filter(|_| is_path);
            let own = own.and_then(|name| Some((self.of(name)?, &from[name.len()..])));
            renamed.push_str(before);
            rest = match own {
                Some((own, after)) => {
                    is_changed = true;
                    renamed.push_str(&own);
                    after
                }
                None => {
                    renamed.push_str(name);
                    after
                }
            };
        }
        renamed.push_str(rest);
        is_changed.then_some(renamed)
    }
}

/// Reports whether a name of a member, or a path, can have the character.
fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_renamed() {
        let paths = Paths {
            members: &[("max_tokens", "max_output_tokens"), ("stop", "stops")],
            parts: &[(".file.", ".")],
        };
        for (chat, own) in [
            ("max_tokens", Some("max_output_tokens")),
            ("stop[0]", Some("stops[0]")),
            ("stop_reason", None),
            (
                "input[0].content[1].file.file_data",
                Some("input[0].content[1].file_data"),
            ),
        ] {
            assert_eq!(paths.of(chat).as_deref(), own, "{chat}");
        }
        let text = "Lower 'max_tokens' or `max_tokens`, not 'max_tokens_to_sample' or 'stop'.";
        let own = "Lower 'max_output_tokens' or `max_output_tokens`, not 'max_tokens_to_sample' or 'stop'.";
        assert_eq!(paths.in_text(text).as_deref(), Some(own));
        assert_eq!(paths.in_text("max_tokens"), None);
        let text = "ignored (max_tokens is 9, see max_tokens. 'max_tokens', stop, stop[0] stay)";
        let own = "ignored (max_output_tokens is 9, see max_output_tokens. 'max_tokens', stop, stops[0] stay)";
        assert_eq!(paths.in_warning(text).as_deref(), Some(own));
        assert_eq!(paths.in_warning("1 of 2 choices..."), None);
    }
}
