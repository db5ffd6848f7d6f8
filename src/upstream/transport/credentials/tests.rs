use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;

use super::*;

/// What the credential service does at a request.
enum Step {
    /// Returns credentials that are valid for so long.
    For(Duration),
    Fail,
    Hang,
}

/// A credential service that follows a script. After its last step it hangs.
#[derive(Clone, Default)]
struct Source(Arc<(Mutex<VecDeque<Step>>, AtomicUsize)>);

impl Source {
    fn new(steps: impl IntoIterator<Item = Step>) -> (Self, CredentialCache) {
        let source = Self::default();
        source.0.0.lock().unwrap().extend(steps);
        let cache = CredentialCache::new(SharedCredentialsProvider::new(source.clone()));
        (source, cache)
    }

    fn requests(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.0.1.fetch_add(1, Ordering::SeqCst) + 1;
        let step = self.0.0.lock().unwrap().pop_front().unwrap_or(Step::Hang);
        future::ProvideCredentials::new(async move {
            match step {
                Step::For(time) => {
                    let expiry = SystemTime::now() + time;
                    let id = number.to_string();
                    Ok(Credentials::new(id, "secret", None, Some(expiry), "test"))
                }
                Step::Fail => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Err(CredentialsError::provider_error("the service is down"))
                }
                Step::Hang => std::future::pending().await,
            }
        })
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Runs the background refresh for `time`, which passes at once.
async fn refreshed_for(cache: &CredentialCache, time: Duration) {
    let _ = timeout(time, cache.keep_fresh()).await;
}

async fn id(cache: &CredentialCache) -> String {
    cache.get().await.unwrap().access_key_id().to_owned()
}

/// Was 1 request: the SDK refreshed ten seconds ahead of the expiry, and a request waited for it.
#[tokio::test(start_paused = true)]
async fn credentials_are_refreshed_five_minutes_ahead_in_the_background() {
    let (source, cache) = Source::new([Step::For(HOUR), Step::For(HOUR)]);
    refreshed_for(&cache, HOUR - AHEAD - Duration::from_secs(1)).await;
    assert_eq!((source.requests(), id(&cache).await.as_str()), (1, "1"));
    refreshed_for(&cache, Duration::from_secs(2)).await;
    assert_eq!((source.requests(), id(&cache).await.as_str()), (2, "2"));
}

/// Row 56.
#[tokio::test(start_paused = true)]
async fn row_56_valid_credentials_serve_while_the_credential_service_hangs_or_fails() {
    let (source, cache) = Source::new([Step::For(HOUR), Step::Fail, Step::Hang, Step::For(HOUR)]);
    refreshed_for(&cache, HOUR - AHEAD).await;
    let began = Instant::now();
    refreshed_for(&cache, Duration::from_secs(5)).await;
    assert_eq!(source.requests(), 3, "it failed, and then hung");
    let before = Instant::now();
    assert_eq!(id(&cache).await, "1");
    assert_eq!(before.elapsed(), Duration::ZERO);
    refreshed_for(&cache, Duration::from_secs(20)).await;
    assert_eq!(id(&cache).await, "4", "after {:?}", began.elapsed());
}

/// Row 56. Each request waited for the service on its own.
#[tokio::test(start_paused = true)]
async fn row_56_requests_without_credentials_share_one_failure() {
    let (source, cache) = Source::new([Step::Fail, Step::For(HOUR)]);
    let began = Instant::now();
    for result in join_all((0..100).map(|_| cache.get())).await {
        assert!(result.unwrap_err().contains("the service is down"));
    }
    assert_eq!((source.requests(), began.elapsed().as_secs()), (1, 1));
    sleep(FAILED_FOR).await;
    assert_eq!(id(&cache).await, "2");
}

#[tokio::test(start_paused = true)]
async fn service_that_never_answers_is_an_error_in_time() {
    let (source, cache) = Source::new([]);
    let began = Instant::now();
    for result in join_all((0..10).map(|_| cache.get())).await {
        assert!(result.unwrap_err().contains("did not answer"));
    }
    assert_eq!((source.requests(), began.elapsed()), (1, TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn short_lived_and_expired_credentials_are_replaced() {
    let short = Duration::from_secs(200);
    let (source, cache) =
        Source::new([Step::For(short), Step::For(Duration::ZERO), Step::For(HOUR)]);
    refreshed_for(&cache, Duration::from_secs(49)).await;
    assert_eq!((source.requests(), id(&cache).await.as_str()), (1, "1"));
    // The second credentials are expired on arrival, so a request does not use them.
    refreshed_for(&cache, Duration::from_millis(1500)).await;
    assert_eq!(source.requests(), 2);
    assert_eq!(id(&cache).await, "3");
}

#[tokio::test(start_paused = true)]
async fn rejected_credentials_are_discarded_at_most_once_in_a_while() {
    let (source, cache) = Source::new([Step::For(HOUR), Step::For(HOUR), Step::For(HOUR)]);
    assert_eq!(id(&cache).await, "1");
    assert!(cache.discard(TIMEOUT));
    assert_eq!(id(&cache).await, "2");
    assert!(
        !cache.discard(TIMEOUT),
        "one refresh serves all failed calls"
    );
    assert_eq!((source.requests(), id(&cache).await.as_str()), (2, "2"));
}
