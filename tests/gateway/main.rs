//! Runs the gateway in process, on free ports, against the simulator. One module per subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "tests fail by panicking"
)]

mod abandoned;
mod adapted;
mod admin;
mod admin_tokens;
mod auth;
mod automatic_limits;
mod aws_sdk;
mod bad_bodies;
mod budgets;
mod caps;
mod chaos;
mod chat;
mod command_r;
mod completion_families;
mod completions;
mod config;
mod content_order;
mod count_tokens;
mod debug_log;
mod delivery;
mod dialects;
mod discovery;
mod echo;
mod edge_faults;
mod embeddings;
mod errors;
mod every_model;
mod faults;
#[path = "../golden/mod.rs"]
mod golden;
mod guardrails;
mod histories;
mod http2_floods;
mod images;
mod imported;
mod invoke_chats;
mod keys;
mod kills;
mod knowledge;
mod last_cent;
mod limits;
mod messages;
mod messages_route;
mod misfits;
mod model_tests;
mod models;
mod moderations;
mod native;
mod proxies;
mod raw_ids;
mod reasoning_order;
mod regions;
mod regressions;
mod reload;
mod requests;
mod rerank;
mod response_api;
mod responses;
mod retries;
mod round_trips;
mod routes;
mod rows;
mod schemas;
mod server;
mod settlements;
mod siblings;
mod smuggling;
mod stops;
mod streams;
mod support;
mod sweep;
mod tier_prices;
mod time_limits;
mod tls;
mod translate;
mod twelvelabs;
mod unanswered;
mod unknown_members;
mod unread;
mod unread_tls;
mod upstream_access;
mod upstream_connections;
mod upstream_faults;
