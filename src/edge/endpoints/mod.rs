//! One file an endpoint: decode, dispatch, encode.

pub mod chat;
pub mod knowledge_bases;
pub mod models;
pub mod usage;
