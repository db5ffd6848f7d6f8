//! `POST /v1/embeddings`, <https://platform.openai.com/docs/api-reference/embeddings>.

mod parse;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext, chat_completions};
use crate::{
    call::Warnings,
    edge::labels,
    error::Error,
    openai::embedding::{Embedding, EmbeddingList, EmbeddingUsage, Vector},
    operation::embed::{Embed, EmbedReply},
};

/// Parses and validates the body of an embedding request.
///
/// # Errors
/// 400 with the invalid field, or with the byte offset of a syntax error.
pub fn embedding_request(bytes: &[u8], warnings: &Warnings) -> Result<Embed, Error> {
    parse::embedding(bytes, warnings).map(|(embed, ..)| embed)
}

/// The dialect of OpenAI's embeddings API.
pub struct Embeddings;

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    base64: bool,
}

impl Dialect for Embeddings {
    type Operation = Embed;
    type View = View;
    const ROUTE: &'static str = labels::EMBEDDINGS;
    const INPUT: &'static str = "input";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let (embed, model, base64) = parse::embedding(request.body, request.warnings)?;
        let view = View {
            model: model.clone(),
            base64,
        };
        Ok(ParsedRequest {
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
                true => Vector::Base64(base64_floats(vector)),
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

/// Encodes a vector as little-endian 32-bit floats in Base64, which OpenAI's SDKs request by default.
fn base64_floats(vector: &[f32]) -> String {
    STANDARD.encode(
        vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
}
