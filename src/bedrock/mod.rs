//! Wire types of Bedrock's Converse and ConverseStream (service model `bedrock-runtime` 2023-09-30). No behaviour.
//!
//! Requests borrow from the client's request and carry its JSON as raw text. Replies know only what lintel
//! reads and tolerate the rest: the service adds members and enum values without notice.

pub mod content;
pub mod event;
pub mod reply;
pub mod request;
