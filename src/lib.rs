//! lintel: an OpenAI-compatible gateway in front of Amazon Bedrock.
//!
//! A request changes type once, at a visible door. Outside the door it is HTTP ([`edge`]); inside it is
//! a [`call::Call`], which cannot exist without a caller, a resolved model and a parsed body. The
//! stack of its model ([`pipeline`]) wraps the one service that talks to Bedrock ([`bedrock`]).
//!
//! ```text
//! server > edge (access log, shed, auth, decode) > dispatch > pipeline (limits, budget, retrieve, …) > bedrock
//! ```
//!
//! Modules are listed by floor, top to bottom; imports go downward only (`tests/tidy.rs` checks it).

// Assembly: the only floor that sees `config::Config`.
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;

// All that knows HTTP.
pub mod edge;

// The inner stacks, and the choice between them.
pub mod dispatch;
pub mod pipeline;

pub mod middleware;

pub mod bedrock;
pub mod knowledge;
pub mod ledger;
pub mod remote_media;
pub mod webhook;

// Pure: values in, values out.
pub mod translate;

// What is known of models, as data.
pub mod catalogue;

// Vocabulary.
pub mod call;
pub mod converse;
pub mod error;
pub mod metrics;
pub mod openai;

// Beside the floors: a Bedrock that speaks the real wire protocol on loopback.
pub mod simulator;
