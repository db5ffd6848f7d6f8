use std::collections::HashMap;

use futures_util::future::try_join_all;
use tower::Service;

use super::Around;
use crate::{
    call::{Call, ChatReply, Fetched},
    error::Error,
    openai::{
        chat::ChatRequest,
        message::{Content, Part},
    },
    remote_media::RemoteMedia,
};

/// Fetches the media that a request names by URL, where the operator allows it; lets `s3://` through where the operator
/// allows that. Without this step such a URL is a 400.
#[derive(Clone)]
pub struct FetchMedia(pub Option<RemoteMedia>);

/// More than any model takes.
const MAX_URLS: usize = 20;

impl Around<ChatRequest> for FetchMedia {
    async fn around<S>(&self, mut call: Call<ChatRequest>, mut next: S) -> Result<ChatReply, Error>
    where
        S: Service<Call<ChatRequest>, Response = ChatReply, Error = Error, Future: Send> + Send,
    {
        let urls = urls(&call.body);
        if let Some((_, at)) = urls
            .iter()
            .find(|(url, _)| url.starts_with("s3://") && !self.allows_s3(url))
        {
            let text = "Bedrock may not read this bucket for clients of this gateway. Send the bytes as a data URL.";
            return Err(Error::invalid(at, text).with_code("unsupported_url"));
        }
        let facts = &call.model.facts;
        if let Some(media) = self.0.as_ref().filter(|_| facts.image || facts.video) {
            let remote: Vec<_> = urls
                .iter()
                .filter(|(url, _)| url.starts_with("http"))
                .collect();
            if remote.len() > MAX_URLS {
                return Err(Error::invalid(
                    "messages",
                    format!("A request may name {MAX_URLS} URLs of media at most."),
                ));
            }
            let budget = media.budget();
            let fetch = remote
                .into_iter()
                .map(async |(url, at)| Ok((url.to_string(), media.fetch(url, at, &budget).await?)));
            let fetched: HashMap<String, String> = try_join_all(fetch).await?.into_iter().collect();
            call.fetched = Fetched::new(fetched);
        }
        next.call(call).await
    }
}

impl FetchMedia {
    fn allows_s3(&self, url: &str) -> bool {
        self.0.as_ref().is_some_and(|media| media.allows_s3(url))
    }
}

/// Each URL once, with its first place in the request.
fn urls(request: &ChatRequest) -> HashMap<&str, String> {
    let mut urls = HashMap::new();
    for (index, message) in request.messages.iter().enumerate() {
        let Some(Content::Parts(parts)) = &message.content else {
            continue;
        };
        for (nth, part) in parts.iter().enumerate() {
            if let Some((member, url)) = remote(part) {
                urls.entry(url)
                    .or_insert_with(|| format!("messages[{index}].content[{nth}].{member}.url"));
            }
        }
    }
    urls
}

fn remote(part: &Part) -> Option<(&'static str, &str)> {
    let media = [
        ("image_url", &part.image_url),
        ("video_url", &part.video_url),
    ];
    let mut urls = media
        .into_iter()
        .filter_map(|(member, media)| Some((member, media.as_ref()?.url.as_str())));
    urls.find(|(_, url)| {
        ["http://", "https://", "s3://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
    })
}
