//! Sends a request to rank documents, and fetches the pages of its results.

use std::sync::Arc;

use super::{
    Attempt, Codec, Exchange, RankDecoder, RankPage, Request, Subject, Try, Upstream, collected,
    invoke,
    invoke::malformed,
    relocation::{self, Relocation},
    rerank,
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
    type Decoder = Arc<dyn RankDecoder>;

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
        let elsewhere = &Relocation::of(call);
        for (index, (first, mut decoder)) in requests.into_iter().enumerate() {
            // The tokens of further pages are valid only where the first one came from.
            let mut here = call.clone();
            let mut next = Some(first);
            let mut is_first = true;
            while let Some(request) = next {
                pages += 1;
                let is_reserved = pages <= call.plan.worst.requests;
                if !is_reserved && !call.trace.spending().may_repeat().await {
                    let text = "results: the rest is missing (Bedrock returned more pages than were reserved, and the budget does not cover another)";
                    call.trace.warnings().add(text);
                    break;
                }
                let attempt = PageAttempt {
                    request,
                    decoder,
                    elsewhere,
                    index,
                    place: None,
                };
                let (page, place);
                (page, decoder, place) = fetch(upstream, &here, attempt, is_first).await?;
                if let Some(place) = place {
                    here = Arc::new(relocation::at(call, place));
                }
                is_first = false;
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

/// Returns a page, its decoder, and the place that it was moved to.
async fn fetch(
    upstream: &Upstream,
    call: &Call<Rank>,
    attempt: PageAttempt<'_>,
    is_first: bool,
) -> Result<(RankPage, Arc<dyn RankDecoder>, Option<usize>), Error> {
    let operation = attempt.request.operation;
    let subject = match is_first {
        true => Subject::of(call),
        false => Subject::of(call).pinned(),
    };
    let sent = upstream.attempts.run(subject, operation, attempt).await?;
    let (page, ticket, decoder, place) = sent;
    ticket.used(page.usage);
    Ok((page, decoder, place))
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
    decoder: Arc<dyn RankDecoder>,
    elsewhere: &'a Relocation<'a, Rank>,
    index: usize,
    /// The place that the request was moved to.
    place: Option<usize>,
}

impl Attempt for PageAttempt<'_> {
    type Output = (RankPage, Ticket, Arc<dyn RankDecoder>, Option<usize>);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        let page = send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let body = collected(reply.into_body(), MAX_REPLY_BYTES).await?;
            Ok(self.decoder.read(&body)?)
        });
        let (page, ticket) = page.await?;
        Ok((page, ticket, self.decoder.clone(), self.place))
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        (_, self.request, self.decoder) = self.elsewhere.request(place, self.index).await?;
        self.place = Some(place);
        Ok(())
    }
}
