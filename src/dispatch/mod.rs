//! Routes each call to the middleware stack of its model.

mod fallback;
mod models;
pub mod pipeline;
mod raw;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
};

use futures_util::future::BoxFuture;
use tower::ServiceExt;

use crate::{
    call::{Call, Caller, Unplanned},
    error::{Error, Kind},
    middleware::{Completer, ModelOutcomes, Outcomes, Reply},
    model::Model,
    operation::Served,
    operation::{
        Operation,
        chat::{Chat, ChatReply},
        count::CountTokens,
        draw::Draw,
        embed::Embed,
        moderate::Moderate,
        passthrough::Passthrough,
        rank::Rank,
    },
    upstream::ProfileLookup,
};
use pipeline::{Shared, Stack};

use fallback::Alternatives;
pub use models::{ModelListing, Models};

/// The middleware stacks of one model, one for each operation.
#[derive(Clone)]
pub struct Stacks {
    chat: Stack<Chat>,
    embed: Stack<Embed>,
    rank: Stack<Rank>,
    draw: Stack<Draw>,
    count: Stack<CountTokens>,
    moderate: Stack<Moderate>,
    passthrough: Stack<Passthrough>,
}

impl Stacks {
    fn new(model: &Model, shared: &Shared) -> Self {
        Self {
            chat: pipeline::chat(model, shared),
            embed: pipeline::input_only(model, shared),
            rank: pipeline::input_only(model, shared),
            draw: pipeline::input_only(model, shared),
            count: pipeline::count(model, shared),
            moderate: pipeline::unguarded(model, shared),
            passthrough: pipeline::unguarded(model, shared),
        }
    }
}

/// An operation that each model has a stack for.
pub trait Dispatchable: Operation {
    /// Another model can answer the same request.
    const HAS_FALLBACKS: bool = true;

    /// Selects the stack of this operation.
    fn stack(stacks: &Stacks) -> &Stack<Self>;
}

impl Dispatchable for Chat {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.chat
    }
}

impl Dispatchable for Embed {
    /// Vectors of two models cannot be compared.
    const HAS_FALLBACKS: bool = false;

    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.embed
    }
}

impl Dispatchable for Rank {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.rank
    }
}

impl Dispatchable for Draw {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.draw
    }
}

impl Dispatchable for CountTokens {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.count
    }
}

impl Dispatchable for Moderate {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.moderate
    }
}

impl Dispatchable for Passthrough {
    /// Its body is in the form of one model.
    const HAS_FALLBACKS: bool = false;

    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.passthrough
    }
}

/// A model that a caller may use, with its stacks.
pub struct Destination {
    first: Alternative,
    /// The models that are called if the first one fails.
    others: Alternatives,
    /// Calls of this one may make calls to other models, also after a reload.
    all: Arc<AllStacks>,
}

/// A model with its stacks.
#[derive(Clone)]
pub struct Alternative {
    model: Arc<Model>,
    stacks: Arc<Stacks>,
}

impl Destination {
    /// The model that the caller asked for.
    pub fn model(&self) -> &Arc<Model> {
        &self.first.model
    }

    /// Sends `call` through the stack of its operation.
    ///
    /// # Errors
    /// Any error of the stack.
    pub async fn call<T: Dispatchable>(&self, call: Call<T, Unplanned>) -> Result<Reply<T>, Error> {
        let _alive = self.all.clone();
        if T::HAS_FALLBACKS && !self.others.is_empty() {
            return self.in_turn(call).await;
        }
        T::stack(&self.first.stacks).clone().oneshot(call).await
    }
}

/// The stacks of all models. Immutable: a reload builds a new one.
#[derive(Clone)]
pub struct Dispatch {
    models: Arc<Models>,
    stacks: Arc<AllStacks>,
    lookup: ProfileLookup,
    outcomes: Outcomes,
}

struct AllStacks {
    named: HashMap<String, Arc<Stacks>>,
    /// The stacks for raw Bedrock IDs, which share them because they have no individual settings.
    raw: Option<Arc<Stacks>>,
}

impl Dispatch {
    /// Builds the stacks of all `models`.
    pub fn new(models: Arc<Models>, shared: &Shared) -> Self {
        let stacks = |model: &Model| Arc::new(Stacks::new(model, shared));
        let named = models
            .built_in()
            .chain(models.named())
            .map(|model| (model.name.clone(), stacks(model)))
            .collect();
        let raw = models.raw().map(|model| stacks(model));
        Self {
            models,
            stacks: Arc::new(AllStacks { named, raw }),
            lookup: shared.resolve.lookup.clone(),
            outcomes: shared.outcomes.clone(),
        }
    }

    /// Returns how the last calls of `model` ended.
    pub fn outcomes(&self, model: &Model) -> ModelOutcomes {
        self.outcomes.of(model.label())
    }

    /// Returns the models that requests may name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Resolves `name` to a model that `caller` may use.
    ///
    /// # Errors
    /// 404 if no model has this name, 403 if the caller lacks permission for a configured model.
    pub async fn resolve_for(&self, name: &str, caller: &Caller) -> Result<Destination, Error> {
        let model = self.models.resolve_for(name, caller, &self.lookup).await?;
        let mut destination = self.stacks.destination(model)?;
        destination.others = self.alternatives(&destination.model().fallbacks, caller);
        Ok(destination)
    }

    /// Resolves the raw ID `name`, which leads to the foundation model `base`, for a list of models.
    ///
    /// # Errors
    /// As [`resolve_for`](Self::resolve_for).
    pub async fn resolve_listed(
        &self,
        name: &str,
        base: Option<&str>,
        caller: &Caller,
    ) -> Result<Arc<Model>, Error> {
        self.models
            .resolve_listed(name, base, caller, &self.lookup)
            .await
    }
}

impl AllStacks {
    fn destination(self: &Arc<Self>, model: Arc<Model>) -> Result<Destination, Error> {
        Ok(Destination {
            first: self.alternative(model)?,
            others: Alternatives::default(),
            all: self.clone(),
        })
    }

    fn alternative(&self, model: Arc<Model>) -> Result<Alternative, Error> {
        let stacks = if model.raw {
            self.raw.as_ref()
        } else {
            self.named.get(&model.name)
        };
        // There is one for every model, so this error means a bug.
        let stacks = stacks.cloned().ok_or_else(|| {
            Error::new(Kind::Internal, "The gateway has no stack for this model.")
                .with_detail(model.name.clone())
        })?;
        Ok(Alternative { model, stacks })
    }
}

/// A handle to all stacks, for middlewares that make calls themselves. It is set after the stacks are built, because those
/// middlewares are part of them. It does not keep them alive, or they would outlive a reload.
#[derive(Default)]
pub struct Reentry(OnceLock<Weak<AllStacks>>);

impl Reentry {
    /// Sets the dispatch. Has no effect if it is already set.
    pub fn set(&self, dispatch: &Dispatch) {
        let _ = self.0.set(Arc::downgrade(&dispatch.stacks));
    }

    fn destination(&self, model: Arc<Model>) -> Result<Destination, Error> {
        let stacks = self.0.get().and_then(Weak::upgrade).ok_or_else(|| {
            Error::new(Kind::Internal, "The gateway is still starting. Try again.")
        })?;
        stacks.destination(model)
    }
}

impl Completer for Reentry {
    fn complete(
        &self,
        call: Call<Chat, Unplanned>,
    ) -> BoxFuture<'static, Result<Served<ChatReply>, Error>> {
        let destination = self.destination(call.model.clone());
        Box::pin(async move { destination?.call(call).await })
    }
}
