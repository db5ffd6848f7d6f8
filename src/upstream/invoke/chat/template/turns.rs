//! The templates. Sources: llama-models 0.3, mistral-common 1.13, DeepSeek's tokenizer_config.json, and the Bedrock user
//! guide for Claude's text completions, 2026-11.

use std::fmt::Write;

use super::specials::Specials;
use crate::bedrock::content::{
    ContentBlock, ConversationRole, GuardrailConverseContentBlock, Message, ToolResultContentBlock,
};

/// One turn, with a text that has no special token.
pub struct Turn {
    pub is_user: bool,
    pub text: String,
}

impl Turn {
    /// Joins the texts of a turn. The facts of this route allow no other content.
    pub fn of(message: &Message<'_>, specials: &mut Specials) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        for block in &message.content {
            match block {
                ContentBlock::Text(text) => texts.push(text),
                ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => {
                    texts.push(&text.text);
                }
                ContentBlock::ToolResult(result) => {
                    texts.extend(result.content.iter().filter_map(|content| match content {
                        ToolResultContentBlock::Text(text) => Some(text.as_ref()),
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
        Self {
            is_user: message.role != ConversationRole::Assistant,
            text: specials.neutralized(&texts.join("\n\n")),
        }
    }
}

/// The tokens around a role and after a turn.
pub struct LlamaTokens {
    begin: &'static str,
    header: (&'static str, &'static str),
    end: &'static str,
}

pub const LLAMA3: LlamaTokens = LlamaTokens {
    begin: "<|begin_of_text|>",
    header: ("<|start_header_id|>", "<|end_header_id|>"),
    end: "<|eot_id|>",
};

pub const LLAMA4: LlamaTokens = LlamaTokens {
    begin: "<|begin_of_text|>",
    header: ("<|header_start|>", "<|header_end|>"),
    end: "<|eot|>",
};

/// Returns a prompt for Llama. The model continues a final assistant turn.
pub fn llama(system: &str, turns: &[Turn], tokens: &LlamaTokens) -> String {
    let mut prompt = tokens.begin.to_owned();
    let header = |role: &str| format!("{}{role}{}\n\n", tokens.header.0, tokens.header.1);
    let system = system.trim();
    if !system.is_empty() {
        // Writing to a string cannot fail, here and below.
        let _ = write!(prompt, "{}{system}{}", header("system"), tokens.end);
    }
    for (nth, turn) in turns.iter().enumerate() {
        let role = if turn.is_user { "user" } else { "assistant" };
        let _ = write!(prompt, "{}{}", header(role), turn.text.trim());
        if turn.is_user || nth + 1 < turns.len() {
            prompt.push_str(tokens.end);
        }
    }
    if turns.last().is_none_or(|last| last.is_user) {
        prompt.push_str(&header("assistant"));
    }
    prompt
}

/// Returns a prompt for Llama 2, whose system text is in the first turn of the user. Each turn of the user begins a sequence.
pub fn llama2(system: &str, turns: &[Turn]) -> String {
    let mut prompt = String::new();
    let system = system.trim();
    for (nth, Turn { is_user, text }) in turns.iter().enumerate() {
        let text = text.trim();
        let _ = match (is_user, nth + 1 < turns.len()) {
            (true, _) if nth == 0 && !system.is_empty() => {
                write!(
                    prompt,
                    "<s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{text} [/INST]"
                )
            }
            (true, _) => write!(prompt, "<s>[INST] {text} [/INST]"),
            (false, true) => write!(prompt, " {text} </s>"),
            (false, false) => write!(prompt, " {text}"),
        };
    }
    prompt
}

/// Returns a prompt for Claude's text completions, which continues a final turn of its own. The system text is before the
/// first turn.
pub fn claude(system: &str, turns: &[Turn]) -> String {
    let mut prompt = system.trim().to_owned();
    for Turn { is_user, text } in turns {
        let role = if *is_user { "Human" } else { "Assistant" };
        let _ = write!(prompt, "\n\n{role}: {}", text.trim());
    }
    if turns.last().is_none_or(|last| last.is_user) {
        prompt.push_str("\n\nAssistant:");
    }
    prompt
}

/// Returns a prompt for Mistral. The system text joins the first turn of the user, or the last.
pub fn mistral(system: &str, turns: &[Turn], system_last: bool) -> String {
    let mut prompt = "<s>".to_owned();
    let at = match system_last {
        true => turns.iter().rposition(|turn| turn.is_user),
        false => turns.iter().position(|turn| turn.is_user),
    };
    for (nth, turn) in turns.iter().enumerate() {
        let text = &turn.text;
        let _ = match (turn.is_user, nth + 1 < turns.len()) {
            (true, _) if Some(nth) == at && !system.is_empty() => {
                write!(prompt, "[INST] {system}\n\n{text} [/INST]")
            }
            (true, _) => write!(prompt, "[INST] {text} [/INST]"),
            (false, true) => write!(prompt, " {text}</s>"),
            (false, false) => write!(prompt, " {text}"),
        };
    }
    prompt
}

/// Returns a prompt for Titan Text, which continues a final turn of its own.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html>
pub fn titan(turns: &[Turn]) -> String {
    let mut prompt = String::new();
    for (nth, Turn { is_user, text }) in turns.iter().enumerate() {
        let text = text.trim();
        let _ = match (is_user, nth + 1 < turns.len()) {
            (true, _) => writeln!(prompt, "User: {text}"),
            (false, true) => writeln!(prompt, "Bot: {text}"),
            (false, false) => write!(prompt, "Bot: {text}"),
        };
    }
    if turns.last().is_none_or(|last| last.is_user) {
        prompt.push_str("Bot:");
    }
    prompt
}

/// Returns a prompt for DeepSeek R1, which ends with the start of the reasoning.
pub fn deepseek(system: &str, turns: &[Turn]) -> String {
    let mut prompt = format!("<｜begin▁of▁sentence｜>{system}");
    for Turn { is_user, text } in turns {
        let _ = match is_user {
            true => write!(prompt, "<｜User｜>{text}"),
            false => write!(prompt, "<｜Assistant｜>{text}<｜end▁of▁sentence｜>"),
        };
    }
    prompt.push_str("<｜Assistant｜><think>\n");
    prompt
}
