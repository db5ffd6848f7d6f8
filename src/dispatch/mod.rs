//! A call to the stack of its model.

mod models;
pub mod pipeline;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use tower::ServiceExt;

use crate::{
    call::{Call, Caller, Unplanned},
    error::{Error, Kind},
    middleware::{Completer, Reply},
    model::Model,
    operation::Served,
    operation::{
        Operation,
        chat::{Chat, ChatReply},
        embed::Embed,
    },
};
use pipeline::{Shared, Stack};

pub use models::{ModelListing, Models};

/// The stacks of one model, one for each operation.
#[derive(Clone)]
pub struct Stacks {
    chat: Stack<Chat>,
    embed: Stack<Embed>,
}

impl Stacks {
    fn new(model: &Model, shared: &Shared) -> Self {
        Self {
            chat: pipeline::chat(model, shared),
            embed: pipeline::embed(model, shared),
        }
    }
}

/// An operation that has a stack.
pub trait Dispatched: Operation {
    fn stack(stacks: &Stacks) -> &Stack<Self>;
}

impl Dispatched for Chat {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.chat
    }
}

impl Dispatched for Embed {
    fn stack(stacks: &Stacks) -> &Stack<Self> {
        &stacks.embed
    }
}

/// A model that a caller may use, with its stacks.
pub struct Destination {
    pub model: Arc<Model>,
    stacks: Arc<Stacks>,
}

impl Destination {
    /// Makes the call.
    ///
    /// # Errors
    /// Those of the stack.
    pub async fn call<T: Dispatched>(&self, call: Call<T, Unplanned>) -> Result<Reply<T>, Error> {
        T::stack(&self.stacks).clone().oneshot(call).await
    }
}

/// Every model's stacks. Built once; a reload builds another.
#[derive(Clone)]
pub struct Dispatch {
    models: Arc<Models>,
    named: Arc<HashMap<String, Arc<Stacks>>>,
    /// Shared by all raw ids, because they have no settings of their own.
    raw: Option<Arc<Stacks>>,
}

impl Dispatch {
    pub fn new(models: Arc<Models>, shared: &Shared) -> Self {
        let stacks = |model: &Model| Arc::new(Stacks::new(model, shared));
        let named = models
            .named()
            .map(|model| (model.name.clone(), stacks(model)))
            .collect();
        let raw = models.raw().map(|model| stacks(model));
        Self {
            models,
            named: Arc::new(named),
            raw,
        }
    }

    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Returns the model that `name` stands for, if `caller` may use it.
    ///
    /// # Errors
    /// 404 or 403; see [`Models::resolve_for`].
    pub fn resolve_for(&self, name: &str, caller: &Caller) -> Result<Destination, Error> {
        self.destination(self.models.resolve_for(name, caller)?)
    }

    fn destination(&self, model: Arc<Model>) -> Result<Destination, Error> {
        let stacks = if model.raw {
            self.raw.as_ref()
        } else {
            self.named.get(&model.name)
        };
        // Models and stacks are made from the same list.
        let stacks = stacks.cloned().ok_or_else(|| {
            Error::new(Kind::Internal, "The gateway has no stack for this model.")
                .with_detail(model.name.clone())
        })?;
        Ok(Destination { model, stacks })
    }
}

/// The way back to the door, for middlewares that make calls of their own. They are parts of the
/// stacks that the dispatch is made of, so it can only be set afterwards.
#[derive(Default)]
pub struct Reentry(OnceLock<Dispatch>);

impl Reentry {
    /// Only the first setting counts.
    pub fn leads_to(&self, dispatch: Dispatch) {
        let _ = self.0.set(dispatch);
    }
}

impl Completer for Reentry {
    fn complete(
        &self,
        call: Call<Chat, Unplanned>,
    ) -> BoxFuture<'static, Result<Served<ChatReply>, Error>> {
        let dispatch = self.0.get().cloned();
        Box::pin(async move {
            let dispatch = dispatch.ok_or_else(|| {
                Error::new(
                    Kind::Internal,
                    "The gateway is not ready for calls of its own.",
                )
            })?;
            dispatch.destination(call.model.clone())?.call(call).await
        })
    }
}
