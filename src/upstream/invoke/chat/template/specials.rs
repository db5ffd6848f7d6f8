//! The special tokens of a family, which must not come from the text of a conversation. The families' own tokenizers never
//! read them out of text, but those behind a prompt do. Source: llama-models 0.3, mistral-common 1.13, DeepSeek's
//! tokenizer_config.json, 2026-11.

use crate::model::InvokeFamily;

/// Breaks a token without being visible.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// `*` stands for any letters, digits and underscores.
const LLAMA3: &[&str] = &[
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<|image|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|reserved_special_token_*|>",
];

const LLAMA4: &[&str] = &[
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eot|>",
    "<|eom|>",
    "<|step|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|finetune_right_pad|>",
    "<|image_start|>",
    "<|image_end|>",
    "<|image|>",
    "<|patch|>",
    "<|tile_*|>",
    "<|reasoning_thinking_*|>",
    "<|fim_*|>",
    "<|reserved_special_token_*|>",
    "<|text_post_train_reserved_special_token_*|>",
    "<|vision_reserved_special_token_*|>",
];

const MISTRAL: &[&str] = &[
    "<s>",
    "</s>",
    "<unk>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
];

const DEEPSEEK: &[&str] = &[
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜tool▁*｜>",
    "<｜▁pad▁｜>",
    "<｜fim▁*｜>",
    "<|EOT|>",
    "<think>",
    "</think>",
];

/// What begins a turn, after an empty line.
const CLAUDE: &[&str] = &["Human:", "Assistant:"];

/// What begins a line that is a turn.
const TITAN: &[&str] = &["User:", "Bot:"];

/// Neutralizes the special tokens of one family.
pub struct Specials {
    tokens: &'static [&'static str],
    has_neutralized: bool,
}

impl Specials {
    /// Returns the special tokens of `family`, none of which has been found yet.
    pub fn of(family: InvokeFamily) -> Self {
        Self {
            tokens: tokens(family),
            has_neutralized: false,
        }
    }

    /// Returns whether any text had a special token.
    pub fn has_neutralized(&self) -> bool {
        self.has_neutralized
    }

    /// Returns the text with a zero width space after the first character of each special token. One pass is enough: what
    /// is inserted is part of no token, so no token can arise from it.
    pub fn neutralized(&mut self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let begins = self.tokens.iter().any(|token| begins_with(rest, token));
            safe.push(first);
            if begins {
                safe.push(ZERO_WIDTH_SPACE);
                self.has_neutralized = true;
            }
            rest = &rest[first.len_utf8()..];
        }
        safe
    }
}

/// Returns the special tokens of a family; none if its body has messages.
pub fn tokens(family: InvokeFamily) -> &'static [&'static str] {
    match family {
        InvokeFamily::Llama3 => LLAMA3,
        InvokeFamily::Llama4 => LLAMA4,
        // Llama 2 has the marks of Mistral, and those of its system text.
        InvokeFamily::Llama2 | InvokeFamily::MistralText => MISTRAL,
        InvokeFamily::ClaudeText => CLAUDE,
        InvokeFamily::DeepseekR1 => DEEPSEEK,
        InvokeFamily::TitanText => TITAN,
        InvokeFamily::Anthropic
        | InvokeFamily::MistralChat
        | InvokeFamily::OpenaiChat
        | InvokeFamily::Nova
        | InvokeFamily::Command
        | InvokeFamily::CommandR
        | InvokeFamily::Jurassic
        | InvokeFamily::Pegasus => &[],
    }
}

/// Reports whether `text` begins with the token, of which a part may be `*`.
pub fn begins_with(text: &str, token: &str) -> bool {
    match token.split_once('*') {
        None => text.starts_with(token),
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '▁';
            rest.trim_start_matches(is_part).starts_with(after)
        }),
    }
}
