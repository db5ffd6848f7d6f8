//! Endpoints that ask no model, one file each.

pub mod knowledge_bases;
pub mod models;
pub mod usage;
