//! Every metric of the gateway: its name, unit and help text. [`describe`] documents each name. The functions that
//! record the metrics are in the submodules.
//!
//! Labels are bounded: a model is a configured name or `unknown`, and a reason comes from a fixed list. Names follow
//! OpenTelemetry's `gen_ai` conventions if those define one, and Prometheus naming otherwise.

mod buckets;
mod configuration;
mod governance;
mod guardrail;
mod knowledge;
mod labels;
mod ledger;
mod model;
mod traffic;
mod upstream;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

pub use buckets::BUCKETS;
pub use configuration::config_reloaded;
pub use governance::{
    alert, budget, budget_refusal, estimate_error, expensive_request, rate_limit, refusal, spent,
};
pub use guardrail::guardrail;
pub use knowledge::{kb_context, kb_dropped, kb_error, kb_results, kb_retrieved};
pub use ledger::{
    hold_presumed, holds, ledger_append, ledger_error, ledger_record_lost, ledger_state,
    response_lost,
};
pub use model::ModelMetrics;
pub use traffic::{
    admin_auth_failure, auth_failure, connection_failure, connections, http_request,
    log_lines_lost, overhead, shed,
};
pub use upstream::{
    breaker_gone, breaker_state, breaker_transition, failover, fallback, quota_full,
    resumed_stream, retry_budget_exhausted, untagged_request, upstream_request, upstream_retry,
};

pub const HTTP_REQUESTS: &str = "lintel_http_requests_total";
pub const OVERHEAD: &str = "lintel_overhead_seconds";
pub const SHED: &str = "lintel_shed_total";
pub const AUTH_FAILURES: &str = "lintel_auth_failures_total";
pub const ADMIN_AUTH_FAILURES: &str = "lintel_admin_auth_failures_total";
pub const INFLIGHT_REQUESTS: &str = "lintel_inflight_requests";
pub const INFLIGHT_STREAMS: &str = "lintel_inflight_streams";
pub const STREAM_END: &str = "lintel_stream_end_total";
pub const UPSTREAM_REQUESTS: &str = "lintel_upstream_requests_total";
pub const UPSTREAM_RETRIES: &str = "lintel_upstream_retries_total";
pub const UNTAGGED_REQUESTS: &str = "lintel_untagged_requests_total";
pub const RETRY_BUDGET_EXHAUSTED: &str = "lintel_retry_budget_exhausted_total";
pub const FAILOVERS: &str = "lintel_failovers_total";
pub const FALLBACKS: &str = "lintel_fallbacks_total";
pub const RESUMED_STREAMS: &str = "lintel_resumed_streams_total";
pub const QUOTA_FULL: &str = "lintel_quota_full_total";
pub const BREAKER_STATE: &str = "lintel_breaker_state";
pub const BREAKER_TRANSITIONS: &str = "lintel_breaker_transitions_total";
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
pub const RESPONSES_LOST: &str = "lintel_responses_lost_total";
pub const EXPENSIVE: &str = "lintel_expensive_requests_total";
pub const ALERTS: &str = "lintel_alerts_total";
pub const GUARDRAILS: &str = "lintel_guardrails_total";
pub const KB_RETRIEVE: &str = "lintel_kb_retrieve_seconds";
pub const KB_RESULTS: &str = "lintel_kb_results";
pub const KB_DROPPED: &str = "lintel_kb_dropped_total";
pub const KB_CONTEXT: &str = "lintel_kb_context_chars";
pub const KB_ERRORS: &str = "lintel_kb_errors_total";
pub const CONNECTIONS: &str = "lintel_connections";
pub const CONNECTION_FAILURES: &str = "lintel_connection_failures_total";
pub const LOG_LINES_LOST: &str = "lintel_log_lines_lost_total";
pub const RELOAD_OK: &str = "lintel_config_last_reload_successful";
pub const RELOADED_AT: &str = "lintel_config_last_reload_timestamp_seconds";
pub const BUILD_INFO: &str = "lintel_build_info";
pub const TOKEN_USAGE: &str = "gen_ai_client_token_usage";
pub const REQUEST_DURATION: &str = "gen_ai_server_request_duration_seconds";
pub const TIME_TO_FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
pub const TIME_PER_OUTPUT_TOKEN: &str = "gen_ai_server_time_per_output_token_seconds";
pub const TOKENS: &str = "lintel_tokens_total";
pub const SPEND: &str = "lintel_spend_usd_total";

/// Registers the help texts and the initial values. Call it after the recorder is installed.
pub fn describe() {
    describe_counter!(
        HTTP_REQUESTS,
        "Requests answered on the data port, by route, method, status and reason"
    );
    describe_histogram!(
        OVERHEAD,
        Unit::Seconds,
        "Time to the response headers, less the time spent waiting for Bedrock"
    );
    describe_gauge!(
        RELOAD_OK,
        "Whether the last reload of the configuration was successful (1) or was refused (0)"
    );
    describe_gauge!(
        RELOADED_AT,
        Unit::Seconds,
        "When a configuration was last put in force, in Unix time"
    );
    describe_counter!(
        SHED,
        "Requests and connections turned away because of overload or a shutdown, by cause"
    );
    describe_counter!(
        AUTH_FAILURES,
        "Requests rejected for lack of a valid key, by reason"
    );
    describe_counter!(
        ADMIN_AUTH_FAILURES,
        "Requests to the admin API rejected for lack of a valid token, by reason"
    );
    describe_gauge!(
        INFLIGHT_REQUESTS,
        "Calls in flight, from admission to the last byte, by model"
    );
    describe_gauge!(INFLIGHT_STREAMS, "Open streams, by model");
    describe_counter!(
        STREAM_END,
        "Streams that ended, by model and how they ended"
    );
    describe_counter!(
        UPSTREAM_REQUESTS,
        "Requests to Bedrock, by region, model, code, and whether it was a retry"
    );
    describe_counter!(
        UPSTREAM_RETRIES,
        "Retries of requests to Bedrock, by region and model"
    );
    describe_counter!(
        UNTAGGED_REQUESTS,
        "Requests to Bedrock without session tags, because STS gave no session for them, by account"
    );
    describe_counter!(
        FAILOVERS,
        "Requests that moved to another region, by both regions, model and error code"
    );
    describe_counter!(
        FALLBACKS,
        "Calls that fell back to another model, by both models and cause"
    );
    describe_counter!(
        RESUMED_STREAMS,
        "Streams that broke after their first token and were to be continued, by model and outcome"
    );
    describe_counter!(
        QUOTA_FULL,
        "Calls that found the estimated quotas of all targets used up, by model and outcome"
    );
    describe_gauge!(
        BREAKER_STATE,
        "State of the circuit breaker of a model in a region: 0 closed, 1 half open, 2 open"
    );
    describe_counter!(
        BREAKER_TRANSITIONS,
        "Changes of circuit breakers, by region, model and new state"
    );
    describe_counter!(
        RETRY_BUDGET_EXHAUSTED,
        "Failures that were not retried because the retry budget was exhausted, by region and model"
    );
    describe_gauge!(
        BUDGET_LIMIT,
        "Limit of a budget in US dollars, including overrides"
    );
    describe_gauge!(
        BUDGET_SETTLED,
        "Settled cost of a budget in its current window, in US dollars"
    );
    describe_gauge!(
        BUDGET_RESERVED,
        "Amount of a budget reserved for calls in flight, in US dollars"
    );
    describe_gauge!(
        BUDGET_RESET,
        Unit::Seconds,
        "End of the current window of a budget, in Unix time"
    );
    describe_counter!(
        BUDGET_REFUSALS,
        "Calls rejected by a budget, by budget and reason"
    );
    describe_counter!(
        RATELIMIT_DECISIONS,
        "Decisions of rate limits, by limit, kind and outcome"
    );
    describe_histogram!(
        ESTIMATE_ERROR,
        "Tokens of a call divided by the estimate of its token limit, by model"
    );
    describe_counter!(
        REFUSALS,
        "Calls rejected by the gateway's own limits and budgets, by team, key and reason"
    );
    describe_gauge!(HOLDS_OPEN, "Calls in flight that have a hold in the ledger");
    describe_gauge!(HOLD_OLDEST, Unit::Seconds, "Age of the oldest open hold");
    describe_counter!(
        HOLDS_PRESUMED,
        "Calls with an unknown outcome; their whole hold counts as spent"
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
        "Records dropped because the ledger could not be written for too long"
    );
    describe_gauge!(
        LEDGER_BYTES,
        Unit::Bytes,
        "Size of the ledger file and its write-ahead log"
    );
    describe_gauge!(
        STORE_FREE,
        Unit::Bytes,
        "Free space on the disk of the ledger"
    );
    describe_gauge!(
        LEDGER_BACKLOG,
        "Records waiting until the ledger can be written again"
    );
    describe_counter!(
        RESPONSES_LOST,
        "Responses that could not be stored for previous_response_id"
    );
    describe_counter!(EXPENSIVE, "Requests that cost more than alert_request_usd");
    describe_counter!(ALERTS, "Alerts posted to the webhook, by kind and outcome");
    describe_counter!(
        GUARDRAILS,
        "Judgments of guardrails that the gateway applies, by source and action"
    );
    describe_histogram!(
        KB_RETRIEVE,
        Unit::Seconds,
        "Time to search a knowledge base, including pages and retries"
    );
    describe_histogram!(
        KB_RESULTS,
        "Passages found by one search, by knowledge base"
    );
    describe_counter!(
        KB_DROPPED,
        "Passages dropped for a low score, by knowledge base"
    );
    describe_histogram!(
        KB_CONTEXT,
        "Characters of passages put into a prompt, by knowledge base"
    );
    describe_counter!(KB_ERRORS, "Failed searches, by knowledge base and code");
    describe_gauge!(CONNECTIONS, "Open client connections");
    describe_counter!(
        CONNECTION_FAILURES,
        "Connections that failed before their first request, by cause"
    );
    describe_counter!(
        LOG_LINES_LOST,
        "Log lines dropped because standard output was read too slowly"
    );
    describe_gauge!(BUILD_INFO, "Always 1; the version is a label");
    describe_histogram!(TOKEN_USAGE, "Tokens of a call, by type");
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "Duration of a call, from admission to the last byte"
    );
    describe_histogram!(
        TIME_TO_FIRST_TOKEN,
        Unit::Seconds,
        "Time to the first token of a stream"
    );
    describe_histogram!(
        TIME_PER_OUTPUT_TOKEN,
        Unit::Seconds,
        "Time per output token of a stream, after the first"
    );
    describe_counter!(
        TOKENS,
        "Tokens, by team, key, model and type; output includes reasoning"
    );
    describe_gauge!(
        SPEND,
        "Settled cost in US dollars, by team, key, model and kind: actual, estimated or presumed"
    );
    // Alerts fire on increases. The first failure is an increase only if the counter was exported as zero before it.
    for name in [LEDGER_ERRORS, LEDGER_LOST, HOLDS_PRESUMED, RESPONSES_LOST] {
        counter!(name).increment(0);
    }
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
