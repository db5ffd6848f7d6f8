//! `[server]`, and the TLS of both ports.

use std::time::Duration;

use axum::http::HeaderValue;
use bytesize::ByteSize;

use super::{Environment, ServerSettings, keys, options, reader::Section, sections};
use crate::{
    call::Secret,
    server::{Tls, TlsSettings},
};

pub fn server(mut section: Section<'_>, environment: &Environment) -> Option<ServerSettings> {
    let listen = sections::address(&mut section, ([127, 0, 0, 1], 8080));
    let max_body = section.size_or("max_body", ByteSize::mib(32));
    let max_buffered = section.size_or("max_buffered_bodies", ByteSize::gib(1));
    if max_buffered < max_body {
        section.problem_at("max_buffered_bodies", "must not be less than max_body");
    }
    let header_timeout = section.duration_or("header_timeout", Duration::from_secs(10));
    let pre_stop = section.pause_or("pre_stop", Duration::from_secs(5));
    let drain_timeout = section.duration_or("drain_timeout", Duration::from_secs(20));
    let commit_after = section.duration("commit_after");
    let max_in_flight = section.count("max_in_flight", 1_000_000);
    let max_in_flight = section.or_default("max_in_flight", max_in_flight, 4096);
    let max_connections = section.count("max_connections", 1_000_000);
    let max_connections = section.or_default("max_connections", max_connections, 10_000);
    let per_address = section.count("max_connections_per_address", 1_000_000);
    let per_address = section.or_default("max_connections_per_address", per_address, 1000);
    let keep_alive = section.duration_or("keep_alive", Duration::from_secs(75));
    let failed_logins = section
        .count("failed_logins_per_minute", 1_000_000)
        .and_then(|n| u32::try_from(n).ok());
    let failed_logins_per_minute =
        section.or_default("failed_logins_per_minute", failed_logins, 60);
    let per_second = section
        .count("max_requests_per_second", 1_000_000)
        .and_then(|n| u32::try_from(n).ok());
    let max_requests_per_second = section.or_default("max_requests_per_second", per_second, 10_000);
    let mut cors_origins = Vec::new();
    for origin in section.strings("cors_origins").unwrap_or_default() {
        // A browser never sends an origin of `*` or with a trailing slash.
        match HeaderValue::from_str(&origin) {
            Ok(value) if origin != "*" && !origin.ends_with('/') => cors_origins.push(value),
            _ => section.problem_at(
                "cors_origins",
                format!("'{origin}' is not an origin such as \"https://app.example\""),
            ),
        }
    }
    let trusted_proxies = options::networks(&mut section, "trusted_proxies");
    let seal_keys = secrets(&mut section, "seal_key_env", environment);
    let sigv4_keys = secrets(&mut section, "sigv4_key_env", environment);
    let refuses_foreign_reasoning =
        section.choice("reasoning", &[("drop", false), ("strict", true)], false);
    let refuses_hosted_tools =
        section.choice("hosted_tools", &[("drop", false), ("refuse", true)], false);
    let tls = tls(&mut section);
    let watch_config = section.boolean("watch_config", false);
    let h2c = section.boolean("h2c", false);
    if h2c && tls.is_some() {
        section.problem_at(
            "h2c",
            "is for ports without TLS; with it, clients choose HTTP/2 themselves",
        );
    }
    section.finish();
    Some(ServerSettings {
        listen: listen?,
        max_body: usize::try_from(max_body.as_u64()).ok()?,
        max_buffered_bodies: usize::try_from(max_buffered.as_u64()).ok()?,
        header_timeout,
        pre_stop,
        drain_timeout,
        commit_after,
        max_in_flight: usize::try_from(max_in_flight).ok()?,
        max_connections: usize::try_from(max_connections).ok()?,
        max_connections_per_address: usize::try_from(per_address).ok()?,
        keep_alive,
        failed_logins_per_minute,
        max_requests_per_second,
        cors_origins,
        trusted_proxies,
        tls,
        h2c,
        seal_keys,
        watch_config,
        sigv4_keys,
        refuses_foreign_reasoning,
        refuses_hosted_tools,
    })
}

/// Returns the secrets in the variables that `key` names, without those that are not set.
pub fn set_secrets(
    section: &mut Section<'_>,
    key: &'static str,
    environment: &Environment,
) -> Vec<Secret> {
    let names = section.strings(key).unwrap_or_default();
    let secrets = names.iter().filter_map(|name| environment.variable(name));
    secrets.map(Secret::new).collect()
}

/// Reads the secrets in the variables that `key` names.
fn secrets(section: &mut Section<'_>, key: &'static str, environment: &Environment) -> Vec<Secret> {
    let names = section.strings(key).unwrap_or_default();
    let secrets = names.iter().filter_map(|name| {
        let Some(secret) = environment.variable(name) else {
            section.problem_at(key, format!("{name} is not set"));
            return None;
        };
        if let Some(weakness) = keys::weakness(secret) {
            section.problem_at(key, format!("the secret in {name} {weakness}"));
        }
        Some(Secret::new(secret))
    });
    secrets.collect()
}

/// Reads `tls` of a port, and checks that its files can be used.
pub fn tls(section: &mut Section<'_>) -> Option<TlsSettings> {
    if !section.has("tls") {
        return None;
    }
    let mut tls = section.section("tls");
    let cert_file = tls.string("cert_file");
    let key_file = tls.string("key_file");
    for (key, file) in [("cert_file", &cert_file), ("key_file", &key_file)] {
        if file.is_none() && !tls.contains(key) {
            tls.problem(format!("needs {key}"));
        }
    }
    let client_ca_file = tls.string("client_ca_file");
    let allow = tls.strings("allow").unwrap_or_default();
    if client_ca_file.is_none() && !allow.is_empty() {
        tls.problem_at(
            "allow",
            "needs client_ca_file, which says whose certificates are accepted",
        );
    }
    let settings = TlsSettings {
        cert_file: cert_file?.into(),
        key_file: key_file?.into(),
        client_ca_file: client_ca_file.map(Into::into),
        allow,
    };
    if let Err(error) = Tls::load(settings.clone(), false) {
        tls.problem(error);
    }
    tls.finish();
    Some(settings)
}
