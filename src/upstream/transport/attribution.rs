//! Sessions of a role that carry the caller as tags, so that AWS's cost reports name key and team. A request waits for STS
//! only briefly. Without a session of its caller, it is signed with the role's own session.

mod refusal;

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, future},
};
use futures_util::future::join_all;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use self::refusal::Refusal;
use super::{assumed_role::AssumedRole, credentials::CredentialCache};
use crate::{call::Caller, metrics};

/// The keys of the tags.
const KEY: &str = "lintel:key";
const TEAM: &str = "lintel:team";

/// The longest value of a session tag, in characters (STS, `Tag`).
const MAX_VALUE: usize = 256;

/// The most sessions of one role. Of more callers, those that call least get theirs again when they call.
const CAPACITY: usize = 1000;

/// How long a request may wait for STS.
const WAIT: Duration = Duration::from_secs(2);

/// How often sessions are looked at, and how much longer than that after STS failed, at most.
const TICK: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Sessions that are refreshed at the same time.
const AT_ONCE: usize = 8;

/// The values of the tags of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tags {
    key: String,
    /// Empty if the key has no team.
    team: String,
}

impl Tags {
    fn of(caller: &Caller) -> Self {
        Self {
            key: tag_value(&caller.key_id).into_owned(),
            team: tag_value(caller.team_name()).into_owned(),
        }
    }

    /// The key and the value of each tag.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let team = (!self.team.is_empty()).then_some((TEAM, self.team.as_str()));
        [(KEY, self.key.as_str())].into_iter().chain(team)
    }
}

/// Returns `name` in the characters that STS allows. A name that has others, or is too long, gets a part of its digest, so
/// that two names do not become one.
fn tag_value(name: &str) -> Cow<'_, str> {
    // STS allows letters and digits of all alphabets, by Unicode's categories. ASCII is sure to be among them.
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
    if name.len() <= MAX_VALUE && name.chars().all(is_allowed) {
        return Cow::Borrowed(name);
    }
    let digest = hex::encode(&Sha256::digest(name.as_bytes())[..4]);
    let replaced = name.chars().map(|c| if is_allowed(c) { c } else { '_' });
    let kept: String = replaced.take(MAX_VALUE - digest.len() - 1).collect();
    Cow::Owned(format!("{kept}-{digest}"))
}

/// Opens sessions with tags.
pub trait OpenSession: fmt::Debug + Send + Sync + 'static {
    /// Returns the credentials of a new session.
    fn open<'a>(&'a self, tags: &'a Tags) -> future::ProvideCredentials<'a>;
}

/// The sessions of one role, by caller.
pub struct TaggedSessions {
    role: Arc<dyn OpenSession>,
    /// The account of the role in metrics and log.
    account: String,
    sessions: Cache<Tags, Arc<TaggedSession>>,
    /// STS failed, and has not answered since. Requests do not wait for it.
    is_failing: AtomicBool,
}

struct TaggedSession {
    credentials: CredentialCache,
    refusal: Arc<Refusal>,
    /// A request has asked for it since it was opened or refreshed.
    is_used: AtomicBool,
}

impl TaggedSessions {
    /// Creates sessions of `role`, in the account that the configuration calls `account`.
    pub fn new(role: AssumedRole, account: &str) -> Self {
        Self::with(Arc::new(role), account)
    }

    fn with(role: Arc<dyn OpenSession>, account: &str) -> Self {
        Self {
            role,
            account: account.to_owned(),
            sessions: Cache::new(CAPACITY),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Returns the credentials of the session of `caller`. `None` if STS does not yield it in time: the request is then
    /// signed without tags.
    pub async fn of(&self, caller: &Caller) -> Option<Credentials> {
        let session = self.session(Tags::of(caller));
        session.is_used.store(true, Ordering::Relaxed);
        if let Some(valid) = session.credentials.valid() {
            return Some(valid);
        }
        if !self.is_failing.load(Ordering::Relaxed) && !session.refusal.is_recent() {
            match timeout(WAIT, session.credentials.get()).await {
                Ok(Ok(credentials)) => return Some(credentials),
                Ok(Err(reason)) => self.failed_for(&session, &reason),
                Err(_) => self.failed("the credential service did not answer"),
            }
        }
        metrics::untagged_request(&self.account);
        None
    }

    /// Discards the session of `caller`, because the service rejected it, but at most once in `every`.
    pub fn discard(&self, caller: &Caller, every: Duration) -> bool {
        let session = self.sessions.get(&Tags::of(caller));
        session.is_some_and(|session| session.credentials.discard(every))
    }

    /// Refreshes the sessions that are in use ahead of their expiry, and opens those that requests have missed, until the
    /// future is dropped.
    pub async fn keep_fresh(&self) {
        let mut pause = TICK;
        loop {
            sleep(pause).await;
            pause = match self.refresh().await {
                Ok(()) => TICK,
                Err(reason) => {
                    self.failed(&reason);
                    (pause * 2).min(MAX_PAUSE)
                }
            };
        }
    }

    /// Refreshes what is due, until STS fails. One that refuses a caller has not failed.
    async fn refresh(&self) -> Result<(), String> {
        let all = self.sessions.iter().map(|(_, session)| session);
        let used = all.filter(|session| session.is_used.load(Ordering::Relaxed));
        let due = used.filter(|one| one.credentials.is_stale() && !one.refusal.is_recent());
        let due: Vec<_> = due.collect();
        for sessions in due.chunks(AT_ONCE) {
            let renewed = join_all(sessions.iter().map(|session| self.renew(session))).await;
            renewed.into_iter().collect::<Result<(), String>>()?;
        }
        Ok(())
    }

    async fn renew(&self, session: &TaggedSession) -> Result<(), String> {
        session.is_used.store(false, Ordering::Relaxed);
        let renewed = session.credentials.renew().await;
        // What is missing is still missing.
        let is_missing = renewed.is_err();
        session.is_used.fetch_or(is_missing, Ordering::Relaxed);
        if is_missing && session.refusal.is_recent() {
            return Ok(());
        }
        renewed?;
        if self.is_failing.swap(false, Ordering::Relaxed) {
            let account = &self.account;
            tracing::info!(account, "requests to AWS carry session tags again");
        }
        Ok(())
    }

    fn session(&self, tags: Tags) -> Arc<TaggedSession> {
        let open = || {
            let refusal = Arc::new(Refusal::default());
            let source = Source {
                role: self.role.clone(),
                tags: tags.clone(),
                refusal: refusal.clone(),
            };
            Ok::<_, Infallible>(Arc::new(TaggedSession {
                credentials: CredentialCache::new(SharedCredentialsProvider::new(source)),
                refusal,
                is_used: AtomicBool::new(false),
            }))
        };
        let session = self.sessions.get_or_insert_with(&tags, open);
        session.unwrap_or_else(|never| match never {})
    }

    fn failed_for(&self, session: &TaggedSession, reason: &str) {
        // It says nothing of other callers, and was logged.
        if !session.refusal.is_recent() {
            self.failed(reason);
        }
    }

    fn failed(&self, reason: &str) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let account = &self.account;
            tracing::warn!(
                account,
                reason,
                "STS opens no sessions with tags; requests to AWS are signed without them"
            );
        }
    }
}

/// Opens the session of one caller.
#[derive(Debug)]
struct Source {
    role: Arc<dyn OpenSession>,
    tags: Tags,
    refusal: Arc<Refusal>,
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let opened = self.role.open(&self.tags).await;
            self.refusal.record(&opened, &self.tags.key);
            opened
        })
    }
}

#[cfg(test)]
mod tests;
