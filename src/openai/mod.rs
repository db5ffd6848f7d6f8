//! OpenAI's wire types, as its API reference defines them, and lintel's extensions of them. OpenAI has no reranking: its types
//! are Cohere's and Jina's.
//!
//! JSON that is forwarded to the model (schemas, arguments) stays raw text. This preserves the order of keys, on which the
//! prompt cache of Bedrock's models depends.

pub mod capped;
pub mod chat;
pub mod completion;
pub mod delta;
pub mod embedding;
pub mod error;
pub mod extension;
pub mod image;
pub mod json_text;
pub mod knowledge_base;
pub mod message;
pub mod models;
pub mod moderation;
pub mod object;
pub mod objects_only;
pub mod rerank;
pub mod responses;
pub mod schema_root;
pub mod stop;
pub mod text_completion;
pub mod texts;
pub mod tool_choice;
pub mod usage;
pub mod usage_page;
