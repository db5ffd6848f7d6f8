//! The options of Anthropic's Messages that no other API has. Only routes that speak Messages carry them.

use serde_json::value::RawValue;

use crate::{call::Warnings, catalogue::betas};

/// The name of the member that defers tools, until a search finds them.
pub const DEFER_LOADING: &str = "tools.defer_loading";

/// The name of the member for edits of the context.
pub const CONTEXT_MANAGEMENT: &str = "context_management";

/// The name of the member that says what happens to thinking whose prefix has changed.
pub const BLOCK_BINDING: &str = "thinking.block_binding";

/// The name of the display of thinking that needs a beta flag.
pub const DISPLAY: &str = "thinking.display";

/// The name of a tool that controls a computer.
pub const COMPUTER: &str = "tools.computer";

/// The options of Messages.
#[derive(Clone, Debug, Default)]
pub struct MessagesOptions {
    /// The beta flags by Bedrock's names, each once, without those that have no effect there.
    pub betas: Vec<String>,
    pub members: Vec<BetaMember>,
}

/// A member that is valid only with a beta flag.
#[derive(Clone, Debug)]
pub struct BetaMember {
    /// The name that the catalog has for it.
    pub name: &'static str,
    /// The value. `None` for members of tools, which the chat's tools hold.
    pub value: Option<Box<RawValue>>,
}

/// What a request sends of its [`MessagesOptions`].
#[derive(Debug, Default)]
pub struct SentOptions<'a> {
    pub betas: Vec<&'a str>,
    members: Vec<&'a BetaMember>,
}

impl SentOptions<'_> {
    /// Reports whether the request has the member.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// Returns the value of a member.
    pub fn value(&self, name: &str) -> Option<&RawValue> {
        let member = self.members.iter().find(|member| member.name == name);
        member?.value.as_deref()
    }
}

impl MessagesOptions {
    /// Adds a member.
    pub fn add(&mut self, name: &'static str, value: Option<Box<RawValue>>) {
        if !self.members.iter().any(|known| known.name == name) {
            self.members.push(BetaMember { name, value });
        }
    }

    /// Returns what goes to a route that accepts the flags in `accepts`. A flag and its members go together: a flag whose
    /// members are absent is left out, and so is a member without its flag.
    pub fn sent(&self, accepts: &[String]) -> SentOptions<'_> {
        let is_sent = |flag: &&str| {
            let carried = betas::carried(flag);
            let has = |name: &String| self.members.iter().any(|member| member.name == name);
            accepts.iter().any(|known| known == flag)
                && (carried.is_empty() || carried.iter().any(has))
        };
        let betas: Vec<&str> = self
            .betas
            .iter()
            .map(String::as_str)
            .filter(is_sent)
            .collect();
        let is_carried = |member: &&BetaMember| betas.iter().any(|flag| carries(flag, member.name));
        SentOptions {
            members: self.members.iter().filter(is_carried).collect(),
            betas,
        }
    }

    /// Warns about everything that is not in `sent`.
    pub fn warn_of_rest(&self, sent: &SentOptions<'_>, warnings: &Warnings) {
        for flag in &self.betas {
            let is_alone = betas::carried(flag).is_empty();
            if is_alone && !sent.betas.contains(&flag.as_str()) {
                let flag: String = flag.chars().take(60).collect();
                warnings.add(format!(
                    "anthropic-beta: '{flag}' was not sent (this model does not accept it here)"
                ));
            }
        }
        for member in &self.members {
            let has_flag = self.betas.iter().any(|flag| carries(flag, member.name));
            let why = match has_flag {
                _ if sent.has(member.name) => continue,
                true => "this model does not accept its beta here",
                false => "its beta is not in 'anthropic-beta'",
            };
            match member.name {
                // What the client cannot see is no loss: these tools are sent as ordinary ones, once they are found.
                DEFER_LOADING | COMPUTER => {}
                DISPLAY => warnings.add(format!(
                    "{DISPLAY}: 'updates' was sent as 'summarized' ({why})"
                )),
                name => warnings.dropped(name, why),
            }
        }
    }
}

fn carries(flag: &str, member: &str) -> bool {
    betas::carried(flag).iter().any(|name| name == member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(betas: &[&str], members: &[&'static str]) -> MessagesOptions {
        let mut options = MessagesOptions {
            betas: betas.iter().map(|flag| (*flag).to_owned()).collect(),
            ..MessagesOptions::default()
        };
        for name in members {
            options.add(name, None);
        }
        options
    }

    #[test]
    fn flag_and_its_members_are_sent_together() {
        let accepts = [
            "interleaved-thinking-2025-05-14",
            "context-management-2025-06-27",
        ];
        let accepts = accepts.map(str::to_owned);
        let context = "context-management-2025-06-27";
        let both = options(&[context], &[CONTEXT_MANAGEMENT]);
        assert_eq!(both.sent(&accepts).betas, [context]);
        assert!(both.sent(&accepts).has(CONTEXT_MANAGEMENT));
        assert!(!both.sent(&accepts[..1]).has(CONTEXT_MANAGEMENT));
        assert!(options(&[context], &[]).sent(&accepts).betas.is_empty());
        let member = options(&[], &[CONTEXT_MANAGEMENT]);
        assert!(!member.sent(&accepts).has(CONTEXT_MANAGEMENT));
        let alone = options(&["interleaved-thinking-2025-05-14"], &[]);
        assert_eq!(alone.sent(&accepts).betas.len(), 1);
        assert!(
            options(&["unknown-2030-01-01"], &[])
                .sent(&accepts)
                .betas
                .is_empty()
        );
    }
}
