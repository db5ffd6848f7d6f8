//! `[server]`, `[admin]` and `[aws]`.

use std::{net::SocketAddr, time::Duration};

use axum::http::HeaderValue;
use bytesize::ByteSize;
use wildmatch::WildMatch;

use super::{Admin, Aws, Demo, Server, Surroundings, reader::Section};
use crate::{
    bedrock::{AssumeRole, AwsSettings},
    call::Secret,
    remote_media::{self, RemoteMedia},
};

/// A guess at a shorter one could succeed.
const MIN_TOKEN: usize = 16;

const ADDRESS: &str = "an address such as \"127.0.0.1:8080\"";

pub fn server(mut section: Section<'_>) -> Option<Server> {
    let listen = address(&mut section, ([127, 0, 0, 1], 8080));
    let max_body = section.size_or("max_body", ByteSize::mib(32));
    let header_timeout = section.duration_or("header_timeout", Duration::from_secs(10));
    let drain_timeout = section.duration_or("drain_timeout", Duration::from_secs(30));
    let max_in_flight = section.count("max_in_flight", 1_000_000);
    let max_in_flight = section.or_default("max_in_flight", max_in_flight, 4096);
    let max_connections = section.count("max_connections", 1_000_000);
    let max_connections = section.or_default("max_connections", max_connections, 10_000);
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
        // A browser would never send either of them as its origin.
        match HeaderValue::from_str(&origin) {
            Ok(value) if origin != "*" && !origin.ends_with('/') => cors_origins.push(value),
            _ => section.problem_at(
                "cors_origins",
                format!("'{origin}' is not an origin such as \"https://app.example\""),
            ),
        }
    }
    section.not_supported(&["tls"]);
    section.finish();
    Some(Server {
        listen: listen?,
        max_body: usize::try_from(max_body.as_u64()).ok()?,
        header_timeout,
        drain_timeout,
        max_in_flight: usize::try_from(max_in_flight).ok()?,
        max_connections: usize::try_from(max_connections).ok()?,
        keep_alive,
        failed_logins_per_minute,
        max_requests_per_second,
        cors_origins,
    })
}

pub fn admin(mut section: Section<'_>, surroundings: &Surroundings) -> Option<Admin> {
    let listen = address(&mut section, ([127, 0, 0, 1], 9090));
    let token_env = section.string("token_env");
    let token_env = section.or_default("token_env", token_env, "LINTEL_ADMIN_TOKEN".to_owned());
    let allow_plaintext = section.boolean("allow_plaintext", false);
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) && !allow_plaintext {
        section.problem_at(
            "listen",
            "beyond loopback the admin port speaks plain text; set allow_plaintext = true if that is meant",
        );
    }
    let token = surroundings.variable(&token_env);
    if token.is_some_and(|token| token.len() < MIN_TOKEN) {
        section.problem_at(
            "token_env",
            format!("the token in {token_env} has fewer than {MIN_TOKEN} characters"),
        );
    }
    section.finish();
    Some(Admin {
        listen: listen?,
        token: token.map(Secret::new),
    })
}

fn address(section: &mut Section<'_>, default: ([u8; 4], u16)) -> Option<SocketAddr> {
    let given = section.has("listen");
    let parsed = section.parsed::<SocketAddr>("listen", ADDRESS);
    if given {
        parsed
    } else {
        Some(section.or_default("listen", parsed, SocketAddr::from(default)))
    }
}

pub fn aws(
    mut section: Section<'_>,
    surroundings: &Surroundings,
    demo: Option<&Demo>,
) -> Option<Aws> {
    let given = section.has("region");
    let region = section.string("region");
    let from_environment = || {
        ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .find_map(|name| surroundings.variable(name))
    };
    let region = region
        .or_else(|| from_environment().map(str::to_owned))
        .or_else(|| demo.map(|_| "us-east-1".to_owned()));
    if region.is_none() && !given {
        section.problem_at("region", "no region: set it here or in AWS_REGION");
    }
    let endpoint_url = section.string("endpoint_url");
    if let Some(url) = &endpoint_url
        && !url
            .parse::<axum::http::Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
    {
        section.problem_at(
            "endpoint_url",
            format!("'{url}' is not an http or https URL"),
        );
    }
    let profile = section.string("profile");
    let assume_role = section
        .has("assume_role")
        .then(|| assume_role(section.section("assume_role"), surroundings));
    section.choice("transport", &[("sdk", ())], ());
    section.finish();
    let settings = match demo {
        Some(demo) => AwsSettings {
            endpoint_url: Some(demo.endpoint_url.clone()),
            static_credentials: Some(demo.credentials.clone()),
            ..AwsSettings::default()
        },
        None => AwsSettings {
            endpoint_url,
            profile,
            assume_role: assume_role.flatten(),
            static_credentials: None,
        },
    };
    let has_api_key = surroundings.variable("AWS_BEARER_TOKEN_BEDROCK").is_some();
    Some(Aws {
        region: region?,
        has_api_key,
        settings,
    })
}

/// Off unless hosts are named.
pub fn remote_media(mut section: Section<'_>) -> Option<RemoteMedia> {
    let hosts = section.strings("hosts").unwrap_or_default();
    let max_size = section.size_or("max_size", ByteSize::mib(20));
    let timeout = section.duration_or("timeout", Duration::from_secs(10));
    let allow_http = section.boolean("allow_http", false);
    let s3 = section.strings("s3").unwrap_or_default();
    let media = (!hosts.is_empty() || !s3.is_empty()).then(|| {
        RemoteMedia::new(remote_media::Settings {
            hosts: hosts.iter().map(|host| WildMatch::new(host)).collect(),
            s3: s3.iter().map(|url| WildMatch::new(url)).collect(),
            max_size: usize::try_from(max_size.as_u64()).unwrap_or(usize::MAX),
            timeout,
            allow_http,
        })
    });
    let media = media.transpose();
    if let Err(error) = &media {
        section.problem(format!("TLS cannot be set up: {error}"));
    }
    section.finish();
    media.ok().flatten()
}

fn assume_role(mut section: Section<'_>, surroundings: &Surroundings) -> Option<AssumeRole> {
    let arn = section.string("arn");
    if arn.is_none() {
        section.problem("'arn' is missing");
    }
    let external_id_env = section.string("external_id_env");
    let external_id = external_id_env
        .as_deref()
        .and_then(|name| surroundings.variable(name))
        .map(Secret::new);
    if let (Some(name), None) = (&external_id_env, &external_id) {
        section.problem_at(
            "external_id_env",
            format!("the environment variable {name} is not set"),
        );
    }
    let session_name = section
        .string("session_name")
        .unwrap_or_else(|| "lintel".to_owned());
    section.finish();
    Some(AssumeRole {
        arn: arn?,
        external_id,
        session_name,
    })
}
