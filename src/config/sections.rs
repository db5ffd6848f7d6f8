//! `[admin]`, `[aws]`, `[remote_media]` and `[log]`.

use std::{collections::HashMap, net::SocketAddr, path::Path, time::Duration};

use bytesize::ByteSize;
use tracing_subscriber::filter::LevelFilter;
use wildmatch::WildMatch;

use super::{
    AdminSettings, Aws, Demo, Environment, Places, admin_tokens, keys, reader::Section, server,
};
use crate::{
    call::Secret,
    catalogue,
    model::Residency,
    remote_media::{self, RemoteMedia},
    upstream::{Account, AssumeRole, AwsSettings, Endpoints, TrustedRoots},
};

/// The name of the gateway's own account in the list of a model's accounts.
pub const OWN_ACCOUNT: &str = "own";

const ADDRESS: &str = "an address such as \"127.0.0.1:8080\"";

/// `[admin]`, for the process that opens the port.
pub fn admin(mut section: Section<'_>, environment: &Environment) -> Option<AdminSettings> {
    let (mut admin, allow_plaintext) = read_admin(&mut section, environment);
    let tokens = admin_tokens::tokens(section.named_sections("tokens"), environment);
    if let Some(admin) = &mut admin {
        admin.tokens = tokens;
    }
    if let Some(admin) = &admin
        && admin.is_exposed()
        && admin.tls.is_none()
        && !allow_plaintext
    {
        section.problem_at(
            "listen",
            format!(
                "{} is reachable from other machines, and the admin port has no TLS: whoever reaches it can read \
                 the metrics, and the admin token and new keys cross the network unencrypted. Set admin.tls, or \
                 listen on a loopback address; or, to accept that, set admin.allow_plaintext = true or pass --admin-allow-plaintext",
                admin.listen
            ),
        );
    }
    section.finish();
    admin
}

/// `[admin]`, for a command that only connects to the port.
pub fn admin_for_clients(
    mut section: Section<'_>,
    environment: &Environment,
) -> Option<AdminSettings> {
    let (admin, _) = read_admin(&mut section, environment);
    // Their variables are set only where the gateway runs.
    section.named_sections("tokens");
    section.finish();
    admin
}

/// The settings, and whether the port may be exposed without TLS.
fn read_admin(
    section: &mut Section<'_>,
    environment: &Environment,
) -> (Option<AdminSettings>, bool) {
    let listen = address(section, ([127, 0, 0, 1], 9090));
    let token_env = section.string("token_env");
    let token_env = section.or_default("token_env", token_env, "LINTEL_ADMIN_TOKEN".to_owned());
    let allow_plaintext = section.boolean("allow_plaintext", false);
    let tls = server::tls(section);
    if tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()) {
        section.problem_at(
            "tls",
            "client certificates are only for the data port; the admin API has tokens",
        );
    }
    let token = environment.variable(&token_env);
    if let Some(weakness) = token.and_then(keys::weakness) {
        section.problem_at("token_env", format!("the token in {token_env} {weakness}"));
    }
    let admin = listen.map(|listen| AdminSettings {
        listen,
        token: token.map(Secret::new),
        tls,
        tokens: Vec::new(),
    });
    (admin, allow_plaintext)
}

pub fn address(section: &mut Section<'_>, default: ([u8; 4], u16)) -> Option<SocketAddr> {
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
    environment: &Environment,
    demo: Option<&Demo>,
) -> Option<Aws> {
    let given = section.has("region");
    let region = section.string("region");
    let from_environment = || {
        ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .find_map(|name| environment.variable(name))
    };
    let region = region
        .or_else(|| from_environment().map(str::to_owned))
        .or_else(|| demo.map(|_| "us-east-1".to_owned()));
    if region.is_none() && !given {
        section.problem_at(
            "region",
            "no region is configured; set it here or in AWS_REGION",
        );
    }
    let endpoints = endpoints(&mut section);
    let regional_endpoints = regional_endpoints(&mut section, &endpoints);
    let profile = section.string("profile");
    let has_role = section.has("assume_role");
    let assume_role =
        has_role.then(|| assume_role(section.section("assume_role"), "arn", environment));
    let roots = trusted_roots(&mut section, environment);
    section.choice("transport", &[("sdk", ())], ());
    let places = places(&mut section);
    let signing_names = [("bedrock-mantle", "bedrock-mantle"), ("bedrock", "bedrock")];
    let signing_name = section.choice("mantle_signing_name", &signing_names, "bedrock-mantle");
    let discovery = section.boolean("discovery", true);
    let api_key = environment.variable("AWS_BEARER_TOKEN_BEDROCK");
    let accounts = accounts(&mut section, environment);
    let attributions = [("none", false), ("session_tags", true)];
    let session_tags = section.choice("attribution", &attributions, false);
    if session_tags && !has_role && accounts.is_empty() {
        section.problem_at(
            "attribution",
            "\"session_tags\" needs aws.assume_role or aws.accounts, because only a session of a role has tags",
        );
    }
    section.finish();
    let settings = match demo {
        Some(demo) => AwsSettings {
            endpoints: Endpoints::of_bedrock(&demo.endpoint_url),
            static_credentials: Some(demo.credentials.clone()),
            ..AwsSettings::default()
        },
        None => AwsSettings {
            endpoints,
            regional_endpoints,
            session_tags,
            accounts,
            profile,
            assume_role: assume_role.flatten(),
            roots,
            api_key: api_key.map(Secret::new),
            mantle_signing_name: Some(signing_name.to_owned()),
            static_credentials: None,
        },
    };
    Some(Aws {
        region: region?,
        places,
        settings,
        discovery,
    })
}

/// Reads `mantle` and `residency`.
fn places(section: &mut Section<'_>) -> Places {
    let Places { mantle, residency } = Places::default();
    let prefixes = catalogue::PREFIXES.map(|prefix| (prefix, Residency::Profile(prefix)));
    let choices = [("any", Residency::Any), ("geo", Residency::Geography)];
    let choices: Vec<_> = choices.into_iter().chain(prefixes).collect();
    Places {
        mantle: section.choice("mantle", &[("auto", true), ("off", false)], mantle),
        residency: section.choice("residency", &choices, residency),
    }
}

/// The endpoints of `endpoints`, or else `endpoint_url`.
fn endpoints(section: &mut Section<'_>) -> Endpoints {
    let all = url(section, "endpoint_url");
    let mut each = section.section("endpoints");
    let bedrock = all
        .as_deref()
        .map(Endpoints::of_bedrock)
        .unwrap_or_default();
    let endpoints = Endpoints {
        runtime: url(&mut each, "runtime").or(bedrock.runtime),
        agent_runtime: url(&mut each, "agent_runtime").or(bedrock.agent_runtime),
        control_plane: url(&mut each, "control_plane").or(bedrock.control_plane),
        mantle: url(&mut each, "mantle").or(bedrock.mantle),
        sts: url(&mut each, "sts"),
    };
    each.finish();
    endpoints
}

/// The endpoints of `regions.NAME`, each completed by those of all regions.
fn regional_endpoints(section: &mut Section<'_>, all: &Endpoints) -> HashMap<String, Endpoints> {
    let sections = section.named_sections("regions").into_iter();
    let regional = sections.map(|(region, mut section)| {
        let endpoints = endpoints(&mut section).or(all);
        section.finish();
        (region, endpoints)
    });
    regional.collect()
}

/// The roles of `accounts.NAME`.
fn accounts(section: &mut Section<'_>, environment: &Environment) -> HashMap<String, Account> {
    let sections = section.named_sections("accounts").into_iter();
    let accounts = sections.filter_map(|(name, mut section)| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name == OWN_ACCOUNT || !name.chars().all(is_plain) {
            section.problem(format!(
                "an account has a name of letters, digits, '-' and '_', other than '{OWN_ACCOUNT}'"
            ));
        }
        let regions = section.strings("regions");
        let role = assume_role(section, "role_arn", environment)?;
        Some((name, Account { role, regions }))
    });
    accounts.collect()
}

fn url(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let url = section.string(key)?;
    let is_valid = url
        .parse::<axum::http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    if !is_valid {
        section.problem_at(key, format!("'{url}' is not an http or https URL"));
    }
    Some(url)
}

/// The certificates of the file `ca_bundle`, or else of the file that `AWS_CA_BUNDLE` names.
fn trusted_roots(section: &mut Section<'_>, environment: &Environment) -> Option<TrustedRoots> {
    let given = section.string("ca_bundle");
    let path = given.or_else(|| environment.variable("AWS_CA_BUNDLE").map(str::to_owned))?;
    TrustedRoots::from_file(Path::new(&path))
        .map_err(|error| {
            let problem = format!("no certificates can be read from '{path}': {error}");
            section.problem_at("ca_bundle", problem);
        })
        .ok()
}

/// `[log]`.
pub fn log_level(mut section: Section<'_>) -> LevelFilter {
    let levels = [
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let level = section.choice("level", &levels, LevelFilter::INFO);
    section.finish();
    level
}

/// `None` unless hosts or S3 locations are allowed.
pub fn remote_media(mut section: Section<'_>) -> Option<RemoteMedia> {
    let hosts = section.strings("hosts").unwrap_or_default();
    let max_size = section.size_or("max_size", ByteSize::mib(20));
    let timeout = section.duration_or("timeout", Duration::from_secs(10));
    let allow_http = section.boolean("allow_http", false);
    let ports = section.ports("ports", &[443, 80]);
    let s3 = section.strings("s3").unwrap_or_default();
    let media = (!hosts.is_empty() || !s3.is_empty()).then(|| {
        RemoteMedia::new(remote_media::FetchSettings {
            hosts: hosts.iter().map(|host| WildMatch::new(host)).collect(),
            s3: s3.iter().map(|url| WildMatch::new(url)).collect(),
            max_size: usize::try_from(max_size.as_u64()).unwrap_or(usize::MAX),
            timeout,
            allow_http,
            ports,
        })
    });
    let media = media.transpose();
    if let Err(error) = &media {
        section.problem(format!("cannot set up TLS: {error}"));
    }
    section.finish();
    media.ok().flatten()
}

/// Reports whether `arn` has the form of a role's: `arn:PARTITION:iam::ACCOUNT:role/NAME`, with or without a path.
fn is_role(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else {
        return false;
    };
    let name = resource.strip_prefix("role/");
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.is_some_and(|name| !name.is_empty() && !name.ends_with('/'))
}

/// Reads a role, whose ARN is the member `arn`.
fn assume_role(
    mut section: Section<'_>,
    arn: &'static str,
    environment: &Environment,
) -> Option<AssumeRole> {
    let role = section.string(arn);
    match &role {
        None => section.problem(format!("'{arn}' is missing")),
        Some(role) if !is_role(role) => {
            let text = format!(
                "'{role}' is not the ARN of a role, such as arn:aws:iam::123456789012:role/NAME"
            );
            section.problem_at(arn, text);
        }
        Some(_) => {}
    }
    let external_id_env = section.string("external_id_env");
    let external_id = external_id_env
        .as_deref()
        .and_then(|name| environment.variable(name))
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
        arn: role?,
        external_id,
        session_name,
    })
}
