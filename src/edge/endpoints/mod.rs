//! Endpoints that do not call a model, one per file.

mod anthropic_models;
pub mod knowledge_bases;
pub mod models;
pub mod responses;
pub mod stored_responses;
pub mod usage;
