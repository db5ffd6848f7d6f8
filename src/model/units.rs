//! Facts about models that are billed by a unit of their own: the query, the image.

use serde::{Deserialize, Serialize};

use super::{Facts, Route};

impl Facts {
    /// Reports whether the model embeds, ranks or draws, and does not chat. The gateway serves it on endpoints of their own.
    pub fn is_not_for_chats(&self) -> bool {
        self.purpose().is_some()
    }

    /// Returns the purpose of a model that is not for chats. `None` for all others.
    pub fn purpose(&self) -> Option<Purpose> {
        let drawn = self.draw.as_ref().map(|draw| draw.family);
        Some(match drawn {
            _ if self.embed.is_some() => Purpose {
                does: "produces embeddings",
                endpoint: "/v1/embeddings",
                routes: &[Route::Invoke],
            },
            _ if self.rerank.is_some() => Purpose {
                does: "ranks documents",
                endpoint: "/v1/rerank",
                routes: &[Route::Rerank, Route::Invoke],
            },
            Some(DrawFamily::StabilityEdit) => Purpose {
                does: "edits images",
                endpoint: "/v1/images/edits",
                routes: &[Route::Invoke],
            },
            Some(_) => Purpose {
                does: "makes images",
                endpoint: "/v1/images/generations",
                routes: &[Route::Invoke],
            },
            None => return None,
        })
    }
}

/// What a model does instead of chatting.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// A verb with its object, after "This model".
    pub does: &'static str,
    /// The gateway's endpoint for it.
    pub endpoint: &'static str,
    /// The routes that the endpoint uses.
    pub routes: &'static [Route],
}

/// The form of the body of a reranking model on InvokeModel. Rerank has one form for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RerankFamily {
    /// With `api_version`.
    Cohere,
    /// Without it.
    Amazon,
}

/// Images through InvokeModel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    pub family: DrawFamily,
    /// The members that a request must have, by their names on Bedrock.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The further members that a request can have.
    #[serde(default)]
    pub takes: Vec<String>,
    /// The accepted values of `output_format`. If empty, the model writes PNG.
    #[serde(default)]
    pub formats: Vec<String>,
    /// The largest `seed`, if the model takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seed: Option<u32>,
}

/// The form of the request body and of the response body of an image model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawFamily {
    /// Stability AI's models that make an image from a text.
    StabilityGenerate,
    /// Stability AI's models that edit an image.
    StabilityEdit,
    /// Nova Canvas and Titan Image Generator.
    AmazonImage,
}
