//! Requests, connections and the log.

use std::time::Duration;

use metrics::{Gauge, counter, gauge, histogram};

use super::{
    ADMIN_AUTH_FAILURES, AUTH_FAILURES, CONNECTION_FAILURES, CONNECTIONS, HTTP_REQUESTS,
    LOG_LINES_LOST, OVERHEAD, SHED,
};

/// Counts an answered request.
pub fn http_request(route: &'static str, method: &'static str, status: u16, reason: &'static str) {
    counter!(HTTP_REQUESTS, "route" => route, "method" => method, "status" => status.to_string(), "reason" => reason)
        .increment(1);
}

/// Records the gateway's own share of the time to the response headers.
pub fn overhead(route: &'static str, phase: &'static str, own: Duration) {
    histogram!(OVERHEAD, "route" => route, "phase" => phase).record(own);
}

/// Counts what was shed. `cause` is `concurrency`, `draining` or `flood` for a request, `connections` for a new connection, and
/// `idle_connection` for one that made way.
pub fn shed(cause: &'static str) {
    counter!(SHED, "cause" => cause).increment(1);
}

/// Counts a request without a valid key.
pub fn auth_failure(why: &'static str) {
    counter!(AUTH_FAILURES, "why" => why).increment(1);
}

/// Counts a request to the admin API without a token for it.
pub fn admin_auth_failure(why: &'static str) {
    counter!(ADMIN_AUTH_FAILURES, "why" => why).increment(1);
}

/// Returns the gauge of open client connections.
pub fn connections() -> Gauge {
    gauge!(CONNECTIONS)
}

/// Counts a connection that failed before its first request. `cause` is `tls` or `proxy_protocol`.
pub fn connection_failure(cause: &'static str) {
    counter!(CONNECTION_FAILURES, "cause" => cause).increment(1);
}

/// Sets the number of log lines that were dropped since the start.
pub fn log_lines_lost(count: usize) {
    counter!(LOG_LINES_LOST).absolute(count as u64);
}
