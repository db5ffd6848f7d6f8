//! Cohere's and Amazon's reranking models, which InvokeModel serves also with a Bedrock API key.
//! <https://docs.cohere.com/docs/amazon-bedrock>

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{metadata_header, parse, serialize};
use crate::{
    call::Call,
    error::Error,
    model::RerankFamily,
    money::Usage,
    operation::rank::{Rank, Ranked, ranks},
    upstream::{Codec, RankDecoder, RankPage, Request as ServiceRequest, ServiceOperation},
};

/// The codec for reranking over InvokeModel.
pub struct Reranking;

#[derive(Serialize)]
struct Request<'a> {
    query: &'a str,
    documents: &'a [String],
    top_n: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<u32>,
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<ResultItem>,
}

#[derive(Deserialize)]
struct ResultItem {
    index: usize,
    relevance_score: f64,
}

impl Codec<Rank> for Reranking {
    fn encode(
        &self,
        call: &Call<Rank>,
    ) -> Result<Vec<(ServiceRequest, Arc<dyn RankDecoder>)>, Error> {
        let body = serialize(&Request {
            query: &call.body.query,
            documents: &call.body.documents,
            top_n: call.body.results(),
            api_version: match ranks(&call.model)? {
                RerankFamily::Cohere => Some(2),
                RerankFamily::Amazon => None,
            },
        })?;
        let request = ServiceRequest {
            operation: ServiceOperation::InvokeModel,
            headers: vec![metadata_header(call)],
            body,
        };
        let usage = call.body.usage(&call.model);
        Ok(vec![(request, Arc::new(Decoder { usage }))])
    }
}

struct Decoder {
    usage: Usage,
}

impl RankDecoder for Decoder {
    fn read(&self, body: &[u8]) -> Result<RankPage, Error> {
        let Reply { results } = parse(body)?;
        let results = results.into_iter().map(|item| Ranked {
            index: item.index,
            score: item.relevance_score,
        });
        Ok(RankPage {
            results: results.collect(),
            usage: self.usage,
            next: None,
        })
    }
}
