use std::collections::HashMap;

use futures_util::future::try_join_all;
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::Call,
    error::Error,
    model::Model,
    operation::{
        chat::{Chat, Part},
        count::CountTokens,
    },
    remote_media::RemoteMedia,
};

/// Fetches the media that a chat names by URL, and checks that `s3://` URLs are allowed. If `None`, `s3://` URLs are
/// rejected here, and other URLs by the codec.
#[derive(Clone)]
pub struct Media(pub Option<RemoteMedia>);

/// The most URLs in a request: more than any model accepts.
const MAX_URLS: usize = 20;

impl Middleware<Chat> for Media {
    async fn handle<S>(&self, mut call: Call<Chat>, mut next: S) -> Result<Reply<Chat>, Error>
    where
        S: Service<Call<Chat>, Response = Reply<Chat>, Error = Error, Future: Send> + Send,
    {
        let fetched = self.fetch(&call.body, &call.model).await?;
        if !fetched.is_empty() {
            let chat = std::sync::Arc::make_mut(&mut call.body);
            chat.fetched = fetched;
        }
        next.call(call).await
    }
}

impl Middleware<CountTokens> for Media {
    async fn handle<S>(
        &self,
        mut call: Call<CountTokens>,
        mut next: S,
    ) -> Result<Reply<CountTokens>, Error>
    where
        S: Service<Call<CountTokens>, Response = Reply<CountTokens>, Error = Error, Future: Send>
            + Send,
    {
        let fetched = self.fetch(&call.body.chat, &call.model).await?;
        if !fetched.is_empty() {
            std::sync::Arc::make_mut(&mut call.body).chat.fetched = fetched;
        }
        next.call(call).await
    }
}

impl Media {
    async fn fetch(&self, chat: &Chat, model: &Model) -> Result<HashMap<String, String>, Error> {
        let urls = urls(chat);
        let denied = |url: &str| url.starts_with("s3://") && !self.allows_s3(url);
        if let Some((_, at)) = urls.iter().find(|(url, _)| denied(url)) {
            let text = "This gateway does not allow this S3 bucket. Send the bytes as a data URL.";
            return Err(Error::invalid(at, text).with_code("unsupported_url"));
        }
        let facts = &model.facts;
        let Some(media) = self.0.as_ref().filter(|_| facts.image || facts.video) else {
            return Ok(HashMap::new());
        };
        let remote: Vec<_> = urls
            .iter()
            .filter(|(url, _)| url.starts_with("http"))
            .collect();
        if remote.len() > MAX_URLS {
            let text = format!(
                "The request contains {} media URLs; at most {MAX_URLS} are allowed.",
                remote.len()
            );
            return Err(Error::invalid("messages", text));
        }
        let budget = media.byte_budget();
        let fetch = remote.into_iter().map(async |(url, at)| {
            Ok::<_, Error>((url.to_string(), media.fetch(url, at, &budget).await?))
        });
        Ok(try_join_all(fetch).await?.into_iter().collect())
    }

    fn allows_s3(&self, url: &str) -> bool {
        self.0.as_ref().is_some_and(|media| media.allows_s3(url))
    }
}

/// Returns each distinct URL, with its first path in the request.
fn urls(chat: &Chat) -> HashMap<&str, String> {
    let mut urls = HashMap::new();
    let parts = chat
        .conversations()
        .flatten()
        .flat_map(|message| &message.parts);
    for part in parts {
        match part {
            Part::ToolResult(result) => result.content.iter().for_each(|part| add(part, &mut urls)),
            part => add(part, &mut urls),
        }
    }
    urls
}

fn add<'a>(part: &'a Part, urls: &mut HashMap<&'a str, String>) {
    let (member, media) = match part {
        Part::Image(image) => ("image_url", image),
        Part::Video(video) => ("video_url", video),
        _ => return,
    };
    let url = media.value.url.as_str();
    if ["http://", "https://", "s3://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        urls.entry(url)
            .or_insert_with(|| format!("{}.{member}.url", media.at));
    }
}

#[cfg(test)]
mod tests;
