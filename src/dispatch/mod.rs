//! A call to the stack of its model.

mod models;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use tower::ServiceExt;

use crate::{
    call::{Call, ChatReply},
    error::{Error, Kind},
    middleware::Completer,
    openai::chat::ChatRequest,
    pipeline::{self, Shared, Stack},
};

pub use models::{Listed, Models};

/// Every model's stack. Built at the start, never changed; a reload makes a new one.
#[derive(Clone)]
pub struct Dispatch {
    models: Arc<Models>,
    chat: Arc<HashMap<String, Stack<ChatRequest>>>,
    /// Shared by all raw ids: what is not configured has no settings of its own.
    raw: Option<Stack<ChatRequest>>,
}

impl Dispatch {
    pub fn new(models: Arc<Models>, shared: &Shared) -> Self {
        let stack = |name: &str| pipeline::chat(name, shared);
        let chat = models
            .named()
            .map(|model| (model.name.clone(), stack(model.label())))
            .collect();
        let raw = models.raw().map(|model| stack(model.label()));
        Self {
            models,
            chat: Arc::new(chat),
            raw,
        }
    }

    pub fn models(&self) -> &Models {
        &self.models
    }

    /// # Errors
    /// Those of the stack.
    pub async fn chat(&self, call: Call<ChatRequest>) -> Result<ChatReply, Error> {
        let stack = if call.model.raw {
            self.raw.as_ref()
        } else {
            self.chat.get(&call.model.name)
        };
        let Some(stack) = stack else {
            return Err(
                Error::new(Kind::Internal, "The gateway has no stack for this model.")
                    .with_detail(call.model.name.clone()),
            );
        };
        stack.clone().oneshot(call).await
    }
}

/// The way back to the door, for steps that make calls of their own: they are parts of the stacks that the dispatch is made
/// of, so it can only be told to them afterwards.
#[derive(Default)]
pub struct Reentry(OnceLock<Dispatch>);

impl Reentry {
    /// Only the first counts.
    pub fn leads_to(&self, dispatch: Dispatch) {
        let _ = self.0.set(dispatch);
    }
}

impl Completer for Reentry {
    fn complete(&self, call: Call<ChatRequest>) -> BoxFuture<'static, Result<ChatReply, Error>> {
        let dispatch = self.0.get().cloned();
        Box::pin(async move {
            match dispatch {
                Some(dispatch) => dispatch.chat(call).await,
                None => Err(Error::new(
                    Kind::Internal,
                    "The gateway is not ready for calls of its own.",
                )),
            }
        })
    }
}
