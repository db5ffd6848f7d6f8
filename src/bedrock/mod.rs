//! Wire types of Bedrock's Converse and ConverseStream (service model `bedrock-runtime` 2023-09-30), without behavior.
//! Types are named after the shapes of the service model, which documents their members.
//!
//! Requests borrow from the client's request and carry its JSON as raw text. Replies declare only the members that
//! lintel reads and ignore all others, because the service adds members and enum values without notice.

pub mod content;
pub mod count_tokens;
pub mod event;
pub mod guardrail;
pub mod guardrail_checks;
pub mod reply;
pub mod request;
pub mod sdk_request;
