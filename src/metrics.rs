//! Every metric of the gateway: its name, unit, labels, help, and the function that records it.
//!
//! Labels are bounded: a model is a configured name or `unknown`, a reason is one of a fixed list. Names follow
//! OpenTelemetry's `gen_ai` conventions where those have one, Prometheus naming otherwise.

mod model;

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use metrics::{
    Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

pub use model::ModelMetrics;

use crate::call::NanoUsd;

pub const HTTP_REQUESTS: &str = "lintel_http_requests_total";
pub const OVERHEAD: &str = "lintel_overhead_seconds";
pub const SHED: &str = "lintel_shed_total";
pub const AUTH_FAILURES: &str = "lintel_auth_failures_total";
pub const INFLIGHT_REQUESTS: &str = "lintel_inflight_requests";
pub const INFLIGHT_STREAMS: &str = "lintel_inflight_streams";
pub const STREAM_END: &str = "lintel_stream_end_total";
pub const UPSTREAM_REQUESTS: &str = "lintel_upstream_requests_total";
pub const UPSTREAM_RETRIES: &str = "lintel_upstream_retries_total";
pub const RETRY_BUDGET_EXHAUSTED: &str = "lintel_retry_budget_exhausted_total";
pub const BUDGET_LIMIT: &str = "lintel_budget_limit_usd";
pub const BUDGET_SETTLED: &str = "lintel_budget_settled_usd";
pub const BUDGET_RESERVED: &str = "lintel_budget_reserved_usd";
pub const BUDGET_RESET: &str = "lintel_budget_reset_timestamp_seconds";
pub const BUDGET_REFUSALS: &str = "lintel_budget_refusals_total";
pub const RATELIMIT_DECISIONS: &str = "lintel_ratelimit_decisions_total";
pub const ESTIMATE_ERROR: &str = "lintel_ratelimit_estimate_error_ratio";
pub const REFUSALS: &str = "lintel_refusals_total";
pub const HOLDS_OPEN: &str = "lintel_holds_open";
pub const HOLD_OLDEST: &str = "lintel_hold_oldest_seconds";
pub const HOLDS_PRESUMED: &str = "lintel_holds_presumed_total";
pub const LEDGER_APPEND: &str = "lintel_ledger_append_seconds";
pub const LEDGER_ERRORS: &str = "lintel_ledger_errors_total";
pub const LEDGER_LOST: &str = "lintel_ledger_records_lost_total";
pub const LEDGER_BYTES: &str = "lintel_ledger_bytes";
pub const STORE_FREE: &str = "lintel_store_free_bytes";
pub const LEDGER_BACKLOG: &str = "lintel_ledger_backlog";
pub const EXPENSIVE: &str = "lintel_expensive_requests_total";
pub const ALERTS: &str = "lintel_alerts_total";
pub const KB_RETRIEVE: &str = "lintel_kb_retrieve_seconds";
pub const KB_RESULTS: &str = "lintel_kb_results";
pub const KB_DROPPED: &str = "lintel_kb_dropped_total";
pub const KB_CONTEXT: &str = "lintel_kb_context_chars";
pub const KB_ERRORS: &str = "lintel_kb_errors_total";
pub const CONNECTIONS: &str = "lintel_connections";
pub const LOG_LINES_LOST: &str = "lintel_log_lines_lost_total";
pub const BUILD_INFO: &str = "lintel_build_info";
pub const TOKEN_USAGE: &str = "gen_ai_client_token_usage";
pub const REQUEST_DURATION: &str = "gen_ai_server_request_duration_seconds";
pub const TIME_TO_FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
pub const TIME_PER_OUTPUT_TOKEN: &str = "gen_ai_server_time_per_output_token_seconds";
pub const TOKENS: &str = "lintel_tokens_total";
pub const SPEND: &str = "lintel_spend_usd_total";

/// OpenTelemetry's advice for each histogram; seconds, but for tokens.
pub const BUCKETS: [(&str, &[f64]); 10] = [
    (
        TOKEN_USAGE,
        &[
            1.0,
            4.0,
            16.0,
            64.0,
            256.0,
            1024.0,
            4096.0,
            16384.0,
            65536.0,
            262_144.0,
            1_048_576.0,
            4_194_304.0,
            16_777_216.0,
            67_108_864.0,
        ],
    ),
    (
        REQUEST_DURATION,
        &[
            0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
            163.84, 327.68, 655.36,
        ],
    ),
    (
        TIME_TO_FIRST_TOKEN,
        &[
            0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
        ],
    ),
    (
        TIME_PER_OUTPUT_TOKEN,
        &[
            0.001, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
        ],
    ),
    (
        ESTIMATE_ERROR,
        &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 2.0],
    ),
    (
        LEDGER_APPEND,
        &[
            0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0,
        ],
    ),
    (
        KB_RETRIEVE,
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
    ),
    (
        KB_RESULTS,
        &[0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0],
    ),
    (
        KB_CONTEXT,
        &[
            0.0, 250.0, 500.0, 1000.0, 2000.0, 3000.0, 5000.0, 8000.0, 12_000.0, 30_000.0,
            100_000.0,
        ],
    ),
    (
        OVERHEAD,
        &[
            0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25,
        ],
    ),
];

/// Registers the help texts, and what is known at the start. Call it once the recorder is installed.
pub fn describe() {
    describe_counter!(
        HTTP_REQUESTS,
        "Requests answered on the data port, by route, method, status and reason"
    );
    describe_histogram!(
        OVERHEAD,
        Unit::Seconds,
        "Time to the reply's headers that was not spent waiting for Bedrock"
    );
    describe_counter!(
        SHED,
        "Requests refused because the gateway had no room, by cause"
    );
    describe_counter!(AUTH_FAILURES, "Requests without a valid key, by why");
    describe_gauge!(
        INFLIGHT_REQUESTS,
        "Calls from their admission to their last byte, by model"
    );
    describe_gauge!(INFLIGHT_STREAMS, "Streams that are open, by model");
    describe_counter!(STREAM_END, "Streams that have ended, by model and how");
    describe_counter!(
        UPSTREAM_REQUESTS,
        "Calls to Bedrock, by region, model, code, and whether made again"
    );
    describe_counter!(
        UPSTREAM_RETRIES,
        "Calls to Bedrock that were made again, by region and model"
    );
    describe_counter!(
        RETRY_BUDGET_EXHAUSTED,
        "Failures that were not tried again because too many calls fail"
    );
    describe_gauge!(
        BUDGET_LIMIT,
        "The limit of a budget in US dollars, overrides included"
    );
    describe_gauge!(
        BUDGET_SETTLED,
        "Spent of a budget in its current window, in US dollars"
    );
    describe_gauge!(
        BUDGET_RESERVED,
        "Set aside of a budget for running calls, in US dollars"
    );
    describe_gauge!(
        BUDGET_RESET,
        Unit::Seconds,
        "When the current window of a budget ends, in Unix time"
    );
    describe_counter!(BUDGET_REFUSALS, "Calls that a budget has refused, by why");
    describe_counter!(
        RATELIMIT_DECISIONS,
        "Decisions of rate limits, by limit, kind and outcome"
    );
    describe_histogram!(
        ESTIMATE_ERROR,
        "Tokens of a call as a part of what a token limit expected, by model"
    );
    describe_counter!(
        REFUSALS,
        "Calls that the gateway's own limits and budgets have refused, by team, key and why"
    );
    describe_gauge!(
        HOLDS_OPEN,
        "Calls for which something is set aside in the ledger"
    );
    describe_gauge!(HOLD_OLDEST, Unit::Seconds, "Age of the oldest of them");
    describe_counter!(
        HOLDS_PRESUMED,
        "Calls of which nobody knows how they ended; their whole hold counts as spent"
    );
    describe_histogram!(
        LEDGER_APPEND,
        Unit::Seconds,
        "Time to write one batch to the ledger"
    );
    describe_counter!(
        LEDGER_ERRORS,
        "Batches that could not be written to the ledger"
    );
    describe_counter!(
        LEDGER_LOST,
        "Records that were given up because the ledger could not be written for too long"
    );
    describe_gauge!(LEDGER_BYTES, Unit::Bytes, "Size of the ledger's file");
    describe_gauge!(
        STORE_FREE,
        Unit::Bytes,
        "Free space of the disk that the ledger is on"
    );
    describe_gauge!(
        LEDGER_BACKLOG,
        "Records that wait for the ledger to be written again"
    );
    describe_counter!(EXPENSIVE, "Requests that cost more than alert_request_usd");
    describe_counter!(ALERTS, "Alerts for the webhook, by kind and outcome");
    describe_histogram!(
        KB_RETRIEVE,
        Unit::Seconds,
        "Time to search a knowledge base, pages and retries included"
    );
    describe_histogram!(
        KB_RESULTS,
        "Passages that a knowledge base has found for one question"
    );
    describe_counter!(
        KB_DROPPED,
        "Passages that scored too low to be used, by knowledge base"
    );
    describe_histogram!(
        KB_CONTEXT,
        "Characters of a knowledge base's passages that a model was given"
    );
    describe_counter!(
        KB_ERRORS,
        "Searches of a knowledge base that have failed, by code"
    );
    describe_gauge!(CONNECTIONS, "Client connections that are open");
    describe_counter!(
        LOG_LINES_LOST,
        "Lines of the log that were dropped because nobody read them fast enough"
    );
    describe_gauge!(BUILD_INFO, "Always 1; the version is a label");
    describe_histogram!(TOKEN_USAGE, "Tokens of one call, by type");
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "Duration of a call, to its last byte"
    );
    describe_histogram!(
        TIME_TO_FIRST_TOKEN,
        Unit::Seconds,
        "Time to the first token of a stream"
    );
    describe_histogram!(
        TIME_PER_OUTPUT_TOKEN,
        Unit::Seconds,
        "Time between the tokens of a stream, after the first"
    );
    describe_counter!(
        TOKENS,
        "Tokens, by team, key, model and type; reasoning is part of output"
    );
    describe_gauge!(
        SPEND,
        "US dollars, by team, key, model and kind: actual, estimated or presumed"
    );
    // A first failure is an increase only if there was a zero before it.
    for name in [LEDGER_ERRORS, LEDGER_LOST, HOLDS_PRESUMED] {
        counter!(name).increment(0);
    }
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// One answered request.
pub fn http_request(route: &'static str, method: &'static str, status: u16, reason: &'static str) {
    counter!(HTTP_REQUESTS, "route" => route, "method" => method, "status" => status.to_string(), "reason" => reason)
        .increment(1);
}

/// Our own share of the time to the reply's headers.
pub fn overhead(route: &'static str, phase: &'static str, own: Duration) {
    histogram!(OVERHEAD, "route" => route, "phase" => phase).record(own);
}

/// A request refused for lack of room.
pub fn shed(cause: &'static str) {
    counter!(SHED, "cause" => cause).increment(1);
}

/// A request without a valid key.
pub fn auth_failure(why: &'static str) {
    counter!(AUTH_FAILURES, "why" => why).increment(1);
}

/// One call to Bedrock; `code` is `ok` or an error code of ours.
pub fn upstream_request(region: &str, model: &str, code: &'static str, retried: bool) {
    let retried = if retried { "true" } else { "false" };
    counter!(UPSTREAM_REQUESTS, "region" => region.to_owned(), "model" => model.to_owned(), "code" => code, "retried" => retried)
        .increment(1);
}

/// A call to Bedrock is made again.
pub fn upstream_retry(region: &str, model: &str) {
    counter!(UPSTREAM_RETRIES, "region" => region.to_owned(), "model" => model.to_owned())
        .increment(1);
}

/// A failure was not tried again, because the gateway retries too much already.
pub fn retry_budget_exhausted(region: &str, model: &str) {
    counter!(RETRY_BUDGET_EXHAUSTED, "region" => region.to_owned(), "model" => model.to_owned())
        .increment(1);
}

/// How a budget stands; money in nano-dollars, the reset in Unix seconds.
pub fn budget(id: &str, limit: NanoUsd, settled: NanoUsd, reserved: NanoUsd, resets_at: i64) {
    let set =
        |name: &'static str, value: f64| gauge!(name, "budget_id" => id.to_owned()).set(value);
    set(BUDGET_LIMIT, limit.as_usd());
    set(BUDGET_SETTLED, settled.as_usd());
    set(BUDGET_RESERVED, reserved.as_usd());
    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
    set(BUDGET_RESET, resets_at as f64);
}

/// What a call has cost; `kind` is how sure that is.
pub fn spent(team: &str, key_id: &str, model: &str, kind: &'static str, cost: NanoUsd) {
    gauge!(SPEND, "team" => team.to_owned(), "key_id" => key_label(key_id), "model" => model.to_owned(), "kind" => kind)
        .increment(cost.as_usd());
}

/// Keys that have series of their own; all others are `other`.
const MAX_KEYS: usize = 1000;

fn key_label(key_id: &str) -> String {
    static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.contains(key_id) || (seen.len() < MAX_KEYS && seen.insert(key_id.to_owned())) {
        return key_id.to_owned();
    }
    "other".to_owned()
}

/// End users are no labels: clients choose how many there are.
fn without_user(id: &str) -> String {
    match id.split_once("/user:") {
        Some((key, rest)) => format!("{key}/user{}", rest.find('/').map_or("", |at| &rest[at..])),
        None => id.to_owned(),
    }
}

/// A budget has refused a call: `settled`, `reserved`, `unpriced` or `backend`.
pub fn budget_refusal(id: &str, why: &'static str) {
    counter!(BUDGET_REFUSALS, "budget_id" => without_user(id), "why" => why).increment(1);
}

/// A rate limit has decided: `kind` is `rpm`, `tpm` or `concurrency`.
pub fn rate_limit(limit_id: &str, kind: &'static str, admitted: bool) {
    let outcome = if admitted { "admitted" } else { "refused" };
    counter!(RATELIMIT_DECISIONS, "limit_id" => without_user(limit_id), "kind" => kind, "outcome" => outcome)
        .increment(1);
}

/// Tokens that a call took, as a part of what was expected of it.
pub fn estimate_error(model: &str, ratio: f64) {
    histogram!(ESTIMATE_ERROR, "model" => model.to_owned()).record(ratio);
}

/// The gateway's own limits have refused a call.
pub fn refusal(team: &str, key_id: &str, why: &'static str) {
    counter!(REFUSALS, "team" => team.to_owned(), "key_id" => key_label(key_id), "why" => why)
        .increment(1);
}

/// Calls that are running under the ledger.
pub fn holds(open: usize, oldest: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    gauge!(HOLDS_OPEN).set(open as f64);
    gauge!(HOLD_OLDEST).set(oldest.as_secs_f64());
}

/// A hold ended with nobody knowing what its call has cost.
pub fn hold_presumed() {
    counter!(HOLDS_PRESUMED).increment(1);
}

/// One batch was written to the ledger, or failed to be.
pub fn ledger_append(took: Duration) {
    histogram!(LEDGER_APPEND).record(took);
}

pub fn ledger_error() {
    counter!(LEDGER_ERRORS).increment(1);
}

/// A record is in no ledger.
pub fn ledger_record_lost() {
    counter!(LEDGER_LOST).increment(1);
}

/// The ledger's file, and what is not in it yet.
#[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^53")]
pub fn ledger_state(bytes: u64, free: Option<u64>, backlog: usize) {
    gauge!(LEDGER_BYTES).set(bytes as f64);
    if let Some(free) = free {
        gauge!(STORE_FREE).set(free as f64);
    }
    gauge!(LEDGER_BACKLOG).set(backlog as f64);
}

/// A request cost more than `alert_request_usd`.
pub fn expensive_request(model: &str) {
    counter!(EXPENSIVE, "model" => model.to_owned()).increment(1);
}

/// An alert was sent, given up, or dropped.
pub fn alert(kind: &'static str, outcome: &'static str) {
    counter!(ALERTS, "kind" => kind, "outcome" => outcome).increment(1);
}

/// A knowledge base was searched, with what success ever; `kb` is its configured name.
pub fn kb_retrieved(kb: &str, took: Duration) {
    histogram!(KB_RETRIEVE, "kb" => kb.to_owned()).record(took);
}

/// Passages that it has found.
pub fn kb_results(kb: &str, count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    histogram!(KB_RESULTS, "kb" => kb.to_owned()).record(count as f64);
}

/// Passages that scored too low.
pub fn kb_dropped(kb: &str, count: usize) {
    counter!(KB_DROPPED, "kb" => kb.to_owned()).increment(count as u64);
}

/// Characters of its passages that a model was given.
pub fn kb_context(kb: &str, chars: usize) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    histogram!(KB_CONTEXT, "kb" => kb.to_owned()).record(chars as f64);
}

/// A search has failed; `code` is one of ours.
pub fn kb_error(kb: &str, code: &'static str) {
    counter!(KB_ERRORS, "kb" => kb.to_owned(), "code" => code).increment(1);
}

/// Lines of the log that were dropped since the start.
pub fn log_lines_lost(count: usize) {
    counter!(LOG_LINES_LOST).absolute(count as u64);
}

/// Open client connections.
pub fn connections() -> Gauge {
    gauge!(CONNECTIONS)
}
