//! Removes turns that Converse rejects.

use crate::{
    bedrock::content::{ContentBlock, ConversationRole, Message},
    call::Warnings,
};

const TRAILING_REASONING: &str =
    "messages: reasoning was dropped (an assistant turn cannot end with it)";

/// Returns the turns without assistant turns that have no content, and with their neighbors merged.
pub fn without_empty_turns<'a>(
    messages: Vec<Message<'a>>,
    warnings: &Warnings,
) -> Vec<Message<'a>> {
    let mut kept: Vec<Message<'a>> = Vec::with_capacity(messages.len());
    for mut message in messages {
        if message.role == ConversationRole::Assistant {
            // Claude rejects a turn that ends with reasoning, such as that of a call that is gone.
            while message.content.pop_if(|last| is_reasoning(last)).is_some() {
                warnings.add(TRAILING_REASONING);
            }
            if message.content.is_empty() {
                continue;
            }
        }
        match kept.last_mut() {
            Some(last) if last.role == message.role && last.role != ConversationRole::System => {
                last.content.extend(message.content);
            }
            _ => kept.push(message),
        }
    }
    kept
}

fn is_reasoning(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::ReasoningContent(_))
}
