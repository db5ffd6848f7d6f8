//! OpenAI's wire types, as its API reference defines them. No behaviour.
//!
//! JSON that belongs to the client (schemas, arguments) stays raw text, so that key order survives: the
//! prompt cache of the models behind Bedrock sees bytes, not values.

pub mod chat;
pub mod completion;
pub mod delta;
pub mod embedding;
pub mod error;
pub mod extension;
pub mod knowledge_base;
pub mod message;
pub mod models;
pub mod object;
pub mod text_completion;
pub mod texts;
pub mod tool_choice;
pub mod usage;
pub mod usage_page;
