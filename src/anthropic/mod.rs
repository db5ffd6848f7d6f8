//! Wire types of Anthropic's Messages API, <https://platform.claude.com/docs/en/api/messages>. Members that mean the same
//! as in OpenAI's API, and lintel's extensions, have the types of [`crate::openai`].

pub mod content;
pub mod error;
pub mod event;
pub mod models;
pub mod reply;
pub mod request;
