//! `POST /v1/embeddings`, <https://platform.openai.com/docs/api-reference/embeddings>.

mod parse;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Dialect, Incoming, Outgoing, Parsed, ReplyContext, chat_completions};
use crate::{
    edge::labels,
    error::Error,
    openai::embedding::{Embedding, EmbeddingList, EmbeddingUsage, Vector},
    operation::embed::{Embed, EmbedReply},
};

/// OpenAI's embeddings.
pub struct Embeddings;

/// What a reply repeats of its request.
pub struct View {
    model: String,
    base64: bool,
}

impl Dialect for Embeddings {
    type Operation = Embed;
    type View = View;
    const ROUTE: &'static str = labels::EMBEDDINGS;
    const INPUT: &'static str = "input";

    fn parse(request: &Incoming<'_>) -> Result<Parsed<Self>, Error> {
        let (embed, model, base64) = parse::embedding(request.body, request.warnings)?;
        let view = View {
            model: model.clone(),
            base64,
        };
        Ok(Parsed {
            end_user: embed.user.clone(),
            operation: embed,
            model,
            view,
        })
    }

    fn reply(reply: EmbedReply, view: View, _: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let EmbedReply { vectors, usage } = &reply;
        let data = vectors.iter().enumerate().map(|(index, vector)| Embedding {
            object: "embedding",
            index,
            embedding: match view.base64 {
                true => Vector::Base64(packed(vector)),
                false => Vector::Float(vector),
            },
        });
        let list = EmbeddingList {
            object: "list",
            data: data.collect(),
            model: &view.model,
            usage: EmbeddingUsage {
                prompt_tokens: usage.prompt(),
                total_tokens: usage.total(),
                images: Some(usage.images).filter(|images| *images > 0),
                cost: chat_completions::cost(usage),
                estimated: usage.estimated,
            },
        };
        serde_json::to_vec(&list)
            .map(Outgoing::Whole)
            .map_err(chat_completions::unwritable)
    }
}

/// Little-endian 32-bit floats as Base64, which the SDKs ask for unless told otherwise.
fn packed(vector: &[f32]) -> String {
    STANDARD.encode(
        vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
}
