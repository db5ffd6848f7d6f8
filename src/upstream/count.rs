//! Counts the tokens of a chat with CountTokens, or with the bound of the gateway where Bedrock does not count.

use std::sync::Arc;

use super::{
    Attempt, Codec, Exchange, Request, ServiceOperation, Subject, Try, Upstream, collected,
    converse, relocation::Relocation,
};
use crate::{
    bedrock::count_tokens::CountTokensReply,
    call::{Call, Route},
    error::{Error, Kind},
    model::{Model, Target},
    operation::count::{CountSource, CountTokens, TokenCount},
};

const NOT_COUNTED: &str = "Bedrock does not count the tokens of this model";

/// Cap on the body of a reply, in bytes.
const MAX_REPLY_BYTES: usize = 64 << 10;

impl Exchange for CountTokens {
    type Decoder = ();

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Converse => Some(&converse::Count),
            _ => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, ())>,
    ) -> Result<TokenCount, Error> {
        let bound = |why: &str| {
            let text = format!("input_tokens: an upper bound ({why})");
            call.trace.warnings().add(text);
            call.body.bound(&call.model, &call.caller)
        };
        let (Some((request, ())), Some(_)) = (requests.into_iter().next(), &call.model.base) else {
            return bound(NOT_COUNTED);
        };
        let target = counted(&call.model);
        let subject = Subject {
            target: &target,
            ..Subject::of(call)
        };
        let attempt = CountAttempt {
            request,
            elsewhere: &Relocation::of(call),
        };
        let counted = upstream
            .attempts
            .run(subject, ServiceOperation::CountTokens, attempt);
        match counted.await {
            Ok(input_tokens) => Ok(TokenCount {
                input_tokens,
                source: CountSource::Service,
            }),
            Err(error) => match why_not_counted(&error) {
                Some(why) => bound(why),
                None => Err(error),
            },
        }
    }
}

/// The target that counts for `model`: Bedrock counts only by the ID of the foundation model, not by a profile or an ARN.
fn counted(model: &Model) -> Arc<Target> {
    let own = model.target();
    Arc::new(Target {
        id: model.base.clone().unwrap_or_else(|| own.id.clone()),
        ..Target::clone(own)
    })
}

/// Returns why Bedrock does not count for this model here. `None` if the request itself is the problem, or a later one may
/// succeed.
fn why_not_counted(error: &Error) -> Option<&'static str> {
    let says = |text| error.detail().is_some_and(|detail| detail.contains(text));
    match error.code() {
        Some("upstream_access_denied") => Some("AWS denies the gateway bedrock:CountTokens"),
        Some("invalid_request") if says("support counting tokens") => Some(NOT_COUNTED),
        _ => None,
    }
}

struct CountAttempt<'a> {
    request: Request,
    elsewhere: &'a Relocation<'a, CountTokens>,
}

impl Attempt for CountAttempt<'_> {
    type Output = u64;

    async fn attempt(&mut self, send: Try<'_>) -> Result<u64, Error> {
        // No ticket, because Bedrock does not bill the request.
        let reply = send.send_model(self.request.clone()).await?;
        let body = collected(reply.into_body(), MAX_REPLY_BYTES).await?;
        let reply: CountTokensReply = serde_json::from_slice(&body).map_err(|error| {
            let text = "Bedrock sent a reply that could not be parsed.";
            Error::new(Kind::Upstream, text)
                .with_code("upstream_malformed")
                .with_detail(format!(
                    "{:?} at column {}",
                    error.classify(),
                    error.column()
                ))
        })?;
        Ok(reply.input_tokens)
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        (_, self.request, ()) = self.elsewhere.request(place, 0).await?;
        Ok(())
    }

    fn target(&self, place: &Model) -> Arc<Target> {
        counted(place)
    }
}
