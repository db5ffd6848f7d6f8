//! What a reload keeps, and how it becomes a gateway together with what a reload replaces.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    call::Alerts,
    config::Config,
    dispatch::{Dispatch, Reentry, pipeline::Shared},
    edge::{Gateway, Keys},
    governance::Ledger,
    knowledge::BedrockKnowledgeBases,
    middleware::{
        Budget, BudgetSettings, CountsInFlight, Guard, InFlight, Media, Outcomes, Outputs,
        RateLimit, Reasoning, Resolve, Retrieve,
    },
    upstream::{Clients, ProfileLookup, Upstream},
};

/// The parts of a process that outlive a reload: connections, counters and what was learned.
#[derive(Clone)]
pub struct Lasting {
    pub clients: Arc<Clients>,
    pub ledger: Ledger,
    pub alerts: Alerts,
    pub keys: Keys,
    pub rate_limit: RateLimit,
    pub in_flight: InFlight,
    pub counts_in_flight: CountsInFlight,
    pub reasoning: Reasoning,
    pub lookup: ProfileLookup,
    pub retriever: Arc<BedrockKnowledgeBases>,
    pub guard: Guard,
    pub upstream: Upstream,
    pub outputs: Outputs,
    pub outcomes: Outcomes,
}

impl Lasting {
    /// Builds the gateway of `config`, and puts its keys in force.
    pub fn gateway(&self, config: &Config) -> Gateway {
        self.clients.add(regions(config));
        let models = config.models.named().chain(config.models.built_in());
        self.upstream.track(models.collect::<Vec<_>>().into_iter());
        let reentry = Arc::new(Reentry::default());
        let shared = Shared {
            rate_limit: self.rate_limit.clone(),
            in_flight: self.in_flight.clone(),
            counts_in_flight: self.counts_in_flight.clone(),
            resolve: Resolve {
                lookup: self.lookup.clone(),
                learned: self.upstream.learned(),
            },
            budget: Budget::new(BudgetSettings {
                ledger: self.ledger.clone(),
                allow_unpriced: config.allow_unpriced,
                alert_request: config.budget.alert_request,
                alerts: self.alerts.clone(),
                outputs: self.outputs.clone(),
                quotas: self.upstream.quotas(),
            }),
            reasoning: self.reasoning.clone(),
            retrieve: Retrieve {
                retriever: self.retriever.clone(),
                completer: reentry.clone(),
            },
            media: Media(config.remote_media.clone()),
            guard: self.guard.clone(),
            upstream: self.upstream.clone(),
            outcomes: self.outcomes.clone(),
        };
        let dispatch = Dispatch::new(Arc::new(config.models.clone()), &shared);
        reentry.set(&dispatch);
        self.keys.set_static(config.keys.iter().cloned());
        Gateway {
            dispatch,
            keys: self.keys.clone(),
            knowledge_bases: config.knowledge_bases.clone(),
        }
    }
}

/// Returns the regions of Knowledge Bases.
pub fn knowledge_base_regions(config: &Config) -> BTreeSet<String> {
    let bases = config.knowledge_bases.iter();
    bases.map(|base| base.target.region.clone()).collect()
}

/// Returns every region that a call may need.
fn regions(config: &Config) -> impl Iterator<Item = String> {
    let named = config.models.named().flat_map(|model| model.targets.iter());
    let built_in = config.models.built_in().map(|model| model.target());
    let raw = config.models.raw();
    let raw: Vec<_> = raw.iter().flat_map(|raw| raw.targets.iter()).collect();
    // An ARN is called in its own account.
    let of_arns = raw.iter().map(|target| target.region.clone());
    let of_arns: Vec<_> = of_arns.collect();
    named
        .chain(built_in)
        .chain(raw)
        .map(|target| target.place().into_owned())
        .chain(of_arns)
        .chain(knowledge_base_regions(config))
        .chain([config.aws.region.clone()])
}
