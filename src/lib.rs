//! lintel: an OpenAI-compatible gateway in front of Amazon Bedrock.
//!
//! A request changes type at two doors. Outside the first it is HTTP ([`edge`]); behind it, it is a
//! [`call::Call`], which cannot exist without a caller, a model and a parsed body. Behind the second
//! door, inside the stack of its model ([`dispatch::pipeline`]), it also has a [`call::Plan`]: the
//! route to Bedrock and the most it can cost.
//!
//! ```text
//! server > edge (access log, shed, auth, dialect) > dispatch > middleware (limits, plan, budget, …) > upstream
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

// The stacks of each model.
pub mod dispatch;

// What happens around a call, one file each.
pub mod middleware;

// Passages for a question.
pub mod knowledge;

// What the gateway depends on: Bedrock, the ledger, other hosts.
pub mod governance;
pub mod remote_media;
pub mod upstream;
pub mod webhook;

// What a call asks for, whatever the dialect and the route.
pub mod operation;

// Facts and prices of models, as data.
pub mod catalogue;

// The terms of a call.
pub mod call;
pub mod model;
pub mod money;

// Wire types and vocabulary.
pub mod bedrock;
pub mod error;
pub mod metrics;
pub mod openai;

// Beside the floors: a Bedrock that speaks the real wire protocol on loopback.
pub mod simulator;
