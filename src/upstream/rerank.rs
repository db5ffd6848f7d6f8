//! The Rerank route: one form of request for every reranking model.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html>

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Codec, Request, ServiceOperation,
    codec::{RankDecoder, RankPage},
    invoke::{parse, serialize},
};
use crate::{
    call::Call,
    error::Error,
    money::Usage,
    operation::rank::{Rank, Ranked},
};

/// The codec for reranking over Rerank.
pub struct Rerank;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RerankRequest<'a> {
    queries: [Query<'a>; 1],
    sources: Vec<Source<'a>>,
    reranking_configuration: Configuration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Query<'a> {
    r#type: &'static str,
    text_query: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    r#type: &'static str,
    inline_document_source: Document<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    r#type: &'static str,
    text_document: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    r#type: &'static str,
    bedrock_reranking_configuration: BedrockConfiguration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BedrockConfiguration {
    number_of_results: usize,
    model_configuration: ModelConfiguration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelConfiguration {
    model_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    results: Vec<ResultItem>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultItem {
    index: usize,
    relevance_score: f64,
}

impl Codec<Rank> for Rerank {
    fn encode(&self, call: &Call<Rank>) -> Result<Vec<(Request, Arc<dyn RankDecoder>)>, Error> {
        let target = call.model.target();
        let source = |text| Source {
            r#type: "INLINE",
            inline_document_source: Document {
                r#type: "TEXT",
                text_document: Text { text },
            },
        };
        let query = Query {
            r#type: "TEXT",
            text_query: Text {
                text: &call.body.query,
            },
        };
        let body = serialize(&RerankRequest {
            queries: [query],
            sources: call
                .body
                .documents
                .iter()
                .map(|text| source(text))
                .collect(),
            reranking_configuration: Configuration {
                r#type: "BEDROCK_RERANKING_MODEL",
                bedrock_reranking_configuration: BedrockConfiguration {
                    number_of_results: call.body.results(),
                    model_configuration: ModelConfiguration {
                        model_arn: target.model_arn(&target.id),
                    },
                },
            },
        })?;
        let request = Request {
            operation: ServiceOperation::Rerank,
            headers: Vec::new(),
            body,
        };
        let decoder = Decoder {
            usage: call.body.usage(&call.model),
            first: request.clone(),
        };
        Ok(vec![(request, Arc::new(decoder))])
    }
}

struct Decoder {
    /// The usage of one request.
    usage: Usage,
    /// The request for the first page.
    first: Request,
}

impl RankDecoder for Decoder {
    fn read(&self, body: &[u8]) -> Result<RankPage, Error> {
        let Reply {
            results,
            next_token,
        } = parse(body)?;
        let token = next_token.filter(|token| !token.is_empty());
        let results = results.into_iter().map(|item| Ranked {
            index: item.index,
            score: item.relevance_score,
        });
        Ok(RankPage {
            results: results.collect(),
            usage: self.usage,
            next: token.map(|token| self.page(&token)).transpose()?,
        })
    }
}

impl Decoder {
    /// The request for the page that `token` names.
    fn page(&self, token: &str) -> Result<Request, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            next_token: &'a str,
        }
        // The body is an object with members: the token becomes the first of them.
        let token = serialize(&Page { next_token: token })?;
        let token = token.strip_suffix(b"}").unwrap_or(&token);
        let rest = self.first.body.strip_prefix(b"{").unwrap_or_default();
        Ok(Request {
            body: Bytes::from([token, b",", rest].concat()),
            ..self.first.clone()
        })
    }
}
