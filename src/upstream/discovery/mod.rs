//! The models that the AWS account can call in one region, as the lists of the Bedrock control plane name them.
//!
//! Nothing is sent before somebody asks for the models, so that a gateway that never needs them needs no permission.
//! From then on, the lists are refreshed in the background for as long as somebody asks.

mod lists;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{Clients, transport::DescribeError};
use lists::{LISTS, List};

/// The time between two refreshes, if somebody asked for the models in between.
const REFRESH_EVERY: Duration = Duration::from_secs(600);
/// The same after a list that may soon succeed.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How long the first request for the models waits for them.
const FIRST_WAIT: Duration = Duration::from_secs(3);
/// Maximum pages of one list. Bounds what a service that repeats its token can cause.
const MAX_PAGES: usize = 100;

/// A model that the account can call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredModel {
    /// The model ID, inference profile ID or ARN that a request names.
    pub id: String,
    /// The ID of the foundation model behind it, if the list names one.
    pub base: Option<String>,
    /// The name that AWS or the owner of the resource gave it.
    pub name: Option<String>,
    pub origin: Origin,
    /// Only an inference profile can be called.
    needs_profile: bool,
    /// Such as `text` and `image`. Empty if unknown.
    pub input: Vec<String>,
    /// Such as `text` and `embedding`. Empty if unknown.
    pub output: Vec<String>,
    /// AWS calls the model legacy.
    pub is_legacy: bool,
    /// The end-of-life date, `YYYY-MM-DD`.
    pub eol: Option<String>,
}

/// The kind of list that names a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    FoundationModel,
    InferenceProfile,
    ApplicationProfile,
    Provisioned,
    Imported,
    CustomDeployment,
    /// Only bedrock-mantle serves it.
    Mantle,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FoundationModel => "foundation_model",
            Self::InferenceProfile => "inference_profile",
            Self::ApplicationProfile => "application_profile",
            Self::Provisioned => "provisioned",
            Self::Imported => "imported",
            Self::CustomDeployment => "custom_deployment",
            Self::Mantle => "mantle",
        }
    }
}

/// A list that AWS did not return.
#[derive(Debug)]
pub struct ListFailure {
    /// What the list has, for the log.
    pub list: &'static str,
    /// The IAM action that allows it.
    pub action: &'static str,
    /// bedrock-mantle is not in every region, and not every network reaches it.
    is_on_mantle: bool,
    error: DescribeError,
}

impl ListFailure {
    /// Reports whether the role may not read the list.
    fn is_denied(&self) -> bool {
        matches!(self.error, DescribeError::Denied(_))
    }

    fn is_transient(&self) -> bool {
        matches!(self.error, DescribeError::Transient(_)) && !self.is_on_mantle
    }

    /// The reason, for the log.
    pub fn reason(&self) -> &str {
        match &self.error {
            DescribeError::Denied(reason)
            | DescribeError::Refused(reason)
            | DescribeError::Transient(reason) => reason,
        }
    }
}

/// The models of an account, cached. Cheap to clone.
#[derive(Clone)]
pub struct Discovery(Arc<Inner>);

struct Inner {
    clients: Arc<Clients>,
    region: String,
    /// bedrock-mantle may be called.
    mantle: bool,
    /// The last answer of each list. A list that fails keeps its models.
    answers: Mutex<HashMap<&'static str, Vec<DiscoveredModel>>>,
    /// All models; `None` before the first refresh.
    models: watch::Sender<Option<Arc<[DiscoveredModel]>>>,
    /// Somebody asked for the models since the last refresh.
    wanted: Notify,
}

impl Discovery {
    /// Creates the cache. It is filled by [`keep_fresh`](Self::keep_fresh). `mantle` permits calls of bedrock-mantle.
    pub fn new(clients: Arc<Clients>, region: String, mantle: bool) -> Self {
        Self(Arc::new(Inner {
            clients,
            region,
            mantle,
            answers: Mutex::default(),
            models: watch::Sender::default(),
            wanted: Notify::new(),
        }))
    }

    /// Returns the models, in the order of the lists. Waits for them only before the first refresh, and a few seconds at
    /// most. Afterwards the answer may be some minutes old.
    pub async fn models(&self) -> Arc<[DiscoveredModel]> {
        self.0.wanted.notify_one();
        let mut models = self.0.models.subscribe();
        let first = timeout(FIRST_WAIT, models.wait_for(Option::is_some)).await;
        let known = first.ok().and_then(Result::ok);
        known
            .and_then(|models| models.clone())
            .unwrap_or_else(|| Arc::new([]))
    }

    /// Returns the model with this ID, if it is known already.
    pub fn find(&self, id: &str) -> Option<DiscoveredModel> {
        let models = self.0.models.borrow();
        let mut models = models.iter().flat_map(|models| models.iter());
        models.find(|model| model.id == id).cloned()
    }

    /// Refreshes the models while somebody asks for them, until the future is dropped.
    pub async fn keep_fresh(&self) {
        // The actions whose lasting failure was logged.
        let mut logged = HashSet::new();
        loop {
            self.0.wanted.notified().await;
            let failures = self.refresh().await;
            logged.retain(|action| failures.iter().any(|failure| failure.action == *action));
            for failure in &failures {
                let is_lasting = failure.is_denied() || failure.is_on_mantle;
                let is_known = is_lasting && !logged.insert(failure.action);
                if !is_known {
                    let (action, region, reason) =
                        (failure.action, &self.0.region, failure.reason());
                    let text =
                        "GET /v1/models lacks new models of this list; the role needs the action";
                    tracing::warn!(list = failure.list, action, region, reason, "{text}");
                }
            }
            let pause = match failures.iter().any(ListFailure::is_transient) {
                true => RETRY_AFTER,
                false => REFRESH_EVERY,
            };
            // Jitter, so that gateways that started together do not ask together.
            sleep(pause.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }

    /// Asks for all lists now. Returns those that failed, which keep their last models.
    pub async fn refresh(&self) -> Vec<ListFailure> {
        let mut failures = Vec::new();
        for list in LISTS
            .iter()
            .filter(|list| self.0.mantle || !list.is_on_mantle)
        {
            if list.is_on_mantle {
                // Nobody waits for a host that not every network can reach.
                self.publish();
            }
            match self.all_pages(list).await {
                Ok(models) => drop(self.answers().insert(list.name, models)),
                Err(error) => failures.push(ListFailure {
                    list: list.name,
                    action: list.action,
                    is_on_mantle: list.is_on_mantle,
                    error,
                }),
            }
        }
        self.publish();
        failures
    }

    /// Shows the last answers to whoever asks for the models.
    fn publish(&self) {
        let answers = self.answers();
        let models = LISTS.iter().filter_map(|list| answers.get(list.name));
        let models = lists::merged(models.flatten());
        self.0.models.send_replace(Some(models.into()));
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<&'static str, Vec<DiscoveredModel>>> {
        let answers = &self.0.answers;
        answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn all_pages(&self, list: &List) -> Result<Vec<DiscoveredModel>, DescribeError> {
        let mut models = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let path = list.path(token.as_deref());
            let (clients, region) = (&self.0.clients, &self.0.region);
            let body = match list.is_on_mantle {
                true => clients.describe_mantle(region, &path).await?,
                false => clients.describe(region, &path).await?,
            };
            let (page, next) = list
                .read(&body)
                .map_err(|error| DescribeError::Refused(error.to_string()))?;
            models.extend(page);
            if next.is_none() {
                return Ok(models);
            }
            token = next;
        }
        let text = format!("the list has more than {MAX_PAGES} pages");
        Err(DescribeError::Refused(text))
    }
}
