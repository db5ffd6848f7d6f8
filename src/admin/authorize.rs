//! Decides who may use the admin API.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Admin, api::ACTOR, problem};
use crate::{
    config::AdminToken,
    edge::{Peer, Recognition},
    metrics,
};

/// The prefix of the actor of a named token in the audit log. Other actors cannot have it.
const TOKEN: &str = "token:";

/// The failed attempts from one address within a minute after which further ones are rejected unread.
pub const MAX_FAILURES: u32 = 10;

/// The reason for which a request is rejected, as a metric label.
type Why = &'static str;

/// Rejects requests to the admin API that carry no token for them.
pub async fn authorize(
    State(admin): State<Arc<Admin>>,
    peer: Option<Extension<Peer>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = peer.map(|Extension(Peer(address))| address.ip());
    let found = match presented(request.headers()) {
        Ok(secret) => admin
            .logins
            .attempt(secret, address, || Token::find(&admin, secret)),
        Err(why) => admin.logins.check_address(address).map(|()| {
            admin.logins.record(None, address);
            Err(why)
        }),
    };
    let allowed = match found {
        Err(error) => {
            metrics::admin_auth_failure("limited");
            return limited(error.retry_after().unwrap_or_default());
        }
        // A valid token that lacks a permission is no guess.
        Ok(found) => found.and_then(|token| token.may(request.method())),
    };
    match allowed {
        Ok(token) => {
            if let Some(recognition) = request.extensions().get::<Recognition>() {
                recognition.set();
            }
            match token.actor {
                Some(actor) => drop(request.headers_mut().insert(ACTOR, actor)),
                None => claimed(request.headers_mut()),
            }
            next.run(request).await
        }
        Err(why) => {
            metrics::admin_auth_failure(why);
            tracing::warn!(
                reason = why,
                address = address.map(tracing::field::display),
                method = %request.method(),
                path = request.uri().path(),
                "a request to the admin API was rejected"
            );
            let message = match why {
                "read_only" => "This admin token can only read.",
                _ => "The admin API requires the admin token, as `Authorization: Bearer …`.",
            };
            problem(StatusCode::FORBIDDEN, message)
        }
    }
}

/// Returns the token of the request.
fn presented(headers: &HeaderMap) -> Result<&[u8], Why> {
    let header = headers.get(header::AUTHORIZATION).ok_or("missing")?;
    header
        .as_bytes()
        .strip_prefix(b"Bearer ")
        .ok_or("malformed")
}

/// What a valid token allows.
struct Token {
    /// Its name in the audit log; `None` for the token without a name.
    actor: Option<HeaderValue>,
    may_write: bool,
}

impl Token {
    fn find(admin: &Admin, secret: &[u8]) -> Result<Self, Why> {
        if admin.token.is_none() && admin.tokens.is_empty() {
            return Err("disabled");
        }
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let is_main = admin.token.as_ref().is_some_and(|token| {
            let own: [u8; 32] = Sha256::digest(token.expose().as_bytes()).into();
            bool::from(own.ct_eq(&digest))
        });
        // All are compared, so that the time does not depend on which one matches.
        let named = admin.tokens.iter().fold(None, |found, token| {
            match bool::from(token.digest.ct_eq(&digest)) {
                true => Some(token),
                false => found,
            }
        });
        match named {
            Some(AdminToken {
                name, may_write, ..
            }) => Ok(Self {
                actor: Some(
                    HeaderValue::from_str(&format!("{TOKEN}{name}")).map_err(|_| "malformed")?,
                ),
                may_write: *may_write,
            }),
            None if is_main => Ok(Self {
                actor: None,
                may_write: true,
            }),
            None => Err("unknown"),
        }
    }

    fn may(self, method: &Method) -> Result<Self, Why> {
        match self.may_write || method.is_safe() {
            true => Ok(self),
            false => Err("read_only"),
        }
    }
}

/// Removes the name that a client claims if it is that of a token.
fn claimed(headers: &mut HeaderMap) {
    let is_token = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii_start();
        value.to_ascii_lowercase().starts_with(TOKEN.as_bytes())
    };
    if headers.get(ACTOR).is_some_and(is_token) {
        headers.remove(ACTOR);
    }
}

fn limited(wait: Duration) -> Response {
    let mut response = problem(
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests without a valid admin token came from this address. Try again later.",
    );
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response.into_response()
}
