//! Runs the gateway in process, on free ports, against the simulator. One module per subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "tests fail by panicking"
)]

mod admin;
mod auth;
mod bad_bodies;
mod budgets;
mod chat;
mod config;
mod errors;
mod faults;
#[path = "../golden/mod.rs"]
mod golden;
mod keys;
mod knowledge;
mod limits;
mod models;
mod regressions;
mod requests;
mod retries;
mod server;
mod settlements;
mod streams;
mod support;
mod translate;
