//! Sends a request to rank documents, and fetches the pages of its results.

use std::sync::Arc;

use super::{
    Attempt, Codec, Exchange, RankDecoder, RankPage, Request, Subject, Try, Upstream, collected,
    invoke, invoke::malformed, rerank,
};
use crate::{
    call::{Call, Route, Ticket},
    error::Error,
    money::Usage,
    operation::rank::{Rank, RankReply, Ranked},
};

/// Cap on the body of a reply, in bytes. The service may repeat the documents.
const MAX_REPLY_BYTES: usize = 64 << 20;

impl Exchange for Rank {
    type Decoder = Box<dyn RankDecoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Rerank => Some(&rerank::Rerank),
            Route::Invoke => Some(&invoke::Reranking),
            _ => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<RankReply, Error> {
        let mut results = Vec::new();
        let mut usage: Option<Usage> = None;
        let mut pages = 0;
        for (first, decoder) in requests {
            let mut next = Some(first);
            while let Some(request) = next {
                pages += 1;
                let is_reserved = pages <= call.plan.worst.requests;
                if !is_reserved && !call.trace.spending().may_repeat().await {
                    let text = "results: the rest is missing (Bedrock returned more pages than were reserved, and the budget does not cover another)";
                    call.trace.warnings().add(text);
                    break;
                }
                let page = fetch(upstream, call, request, &*decoder).await?;
                usage = Some(usage.map_or(page.usage, |usage| usage + page.usage));
                // A page without results would never end.
                next = page.next.filter(|_| !page.results.is_empty());
                results.extend(page.results);
                next = next.filter(|_| results.len() < call.body.results());
            }
        }
        check(&results, &call.body)?;
        results.sort_by(|a: &Ranked, b| b.score.total_cmp(&a.score));
        let wanted = call.body.results();
        results.truncate(wanted);
        if results.len() < wanted {
            let text = format!(
                "results: only {} (Bedrock returned fewer than the {wanted} requested)",
                results.len()
            );
            call.trace.warnings().add(text);
        }
        Ok(RankReply {
            results,
            usage: call.trace.spending().told(usage.unwrap_or_default()),
        })
    }
}

async fn fetch(
    upstream: &Upstream,
    call: &Call<Rank>,
    request: Request,
    decoder: &dyn RankDecoder,
) -> Result<RankPage, Error> {
    let operation = request.operation;
    let attempt = PageAttempt { request, decoder };
    let (page, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    ticket.used(page.usage);
    Ok(page)
}

/// Checks that the results are those of distinct documents of the request.
///
/// # Errors
/// If there are none, one is of another document, or a score is no number.
fn check(results: &[Ranked], rank: &Rank) -> Result<(), Error> {
    if results.is_empty() {
        return Err(malformed("no results"));
    }
    let mut seen = vec![false; rank.documents.len()];
    for Ranked { index, score } in results {
        let is_new = seen
            .get_mut(*index)
            .map(|seen| !std::mem::replace(seen, true));
        if is_new != Some(true) || !score.is_finite() {
            return Err(malformed(format!("a result of document {index}")));
        }
    }
    Ok(())
}

struct PageAttempt<'a> {
    request: Request,
    decoder: &'a dyn RankDecoder,
}

impl Attempt for PageAttempt<'_> {
    type Output = (RankPage, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            self.decoder
                .read(&collected(reply.into_body(), MAX_REPLY_BYTES).await?)
        })
        .await
    }
}
