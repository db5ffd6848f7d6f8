//! lintel: an OpenAI-compatible gateway in front of Amazon Bedrock.
//!
//! A request changes type twice. It arrives as HTTP and is handled by [`edge`], which turns it into a
//! [`call::Call`]: a caller, a model and a parsed body. The stack of its model
//! ([`dispatch::pipeline`]) then adds a [`call::Plan`]: the route to Bedrock and the most that the call
//! can cost.
//!
//! ```text
//! server > edge (access log, shed, auth, dialect) > dispatch > middleware (limits, plan, budget, …) > upstream
//! ```
//!
//! Modules are listed by floor, from top to bottom. A module imports only from its own floor and from
//! the floors below it (`tests/tidy` checks this).

// Assembly: the only floor that uses `config::Config`.
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;

// HTTP on the data port.
pub mod edge;

// The middleware stacks of each model.
pub mod dispatch;

// Policies around a call, one per file.
pub mod middleware;

// Retrieval from Knowledge Bases.
pub mod knowledge;

// External dependencies: Bedrock, the ledger, other hosts.
pub mod governance;
pub mod remote_media;
pub mod upstream;
pub mod webhook;

// Operations (chat, embeddings), independent of the HTTP dialect and of the upstream route.
pub mod operation;

// Capabilities and prices of models, as data.
pub mod catalogue;

// Types that describe a call.
pub mod call;
pub mod model;
pub mod money;

// Wire types, errors and metrics.
pub mod anthropic;
pub mod bedrock;
pub mod error;
pub mod metrics;
pub mod openai;

// Outside the floors: a Bedrock simulator that serves the real wire protocol on loopback.
pub mod simulator;
