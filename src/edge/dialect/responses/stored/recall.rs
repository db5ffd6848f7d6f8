//! Puts stored items into the body of a request, before it is parsed. So the request is measured, priced and limited like
//! one whose client sends the whole conversation.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Identity, StoredContent, rejected};
use crate::{
    edge::{
        dialect::{Parent, RecallContext, Recalled},
        shape,
    },
    error::Error,
    governance::{ResponseError, StoredResponse},
    openai::{capped::Items, json_text, object::Object, responses::served::MAX_ITEMS},
};

/// The members of a request that refer to what is stored.
#[derive(Deserialize)]
struct Links<'a> {
    #[serde(borrow, default)]
    previous_response_id: Option<Cow<'a, str>>,
    /// `None` if absent. Null is a value, because it has a place in the body.
    #[serde(borrow, default, deserialize_with = "present")]
    input: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What a request refers to.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    previous: Option<String>,
    /// The ids of referenced items, each once.
    items: Vec<String>,
}

/// Replaces references in `body` by the stored items, and puts those of the previous responses before its input.
///
/// # Errors
/// 404 if the previous response is unknown; 400 if the chain is too long or too large; 503 if the store cannot be read, or
/// if there is no memory for the chain.
pub async fn recall(body: Bytes, cx: RecallContext<'_>) -> Result<(Bytes, Recalled), Error> {
    let scanned = body.clone();
    let wanted = cx.trace.compute(move || Ok(wanted(&scanned))).await?;
    let Some(wanted) = wanted else {
        return Ok((body, Recalled::default()));
    };
    let key_id = &cx.caller.key_id;
    let max = cx.max_body.saturating_sub(body.len());
    let to_error = |error: ResponseError| rejected(error, cx.max_body);
    let chain = match &wanted.previous {
        None => Vec::new(),
        Some(id) => {
            let chain = cx.responses.chain(key_id, id, max).await;
            chain.map_err(to_error)?
        }
    };
    let most = cx.responses.settings().max_chain;
    if u32::try_from(chain.len()).is_ok_and(|length| length >= most) {
        let text = format!(
            "The conversation has {} responses; this gateway continues at most {most}. Start a new conversation, or send it as 'input'.",
            chain.len()
        );
        return Err(Error::invalid("previous_response_id", text));
    }
    let size = |responses: &[StoredResponse]| -> usize {
        responses.iter().map(|one| one.content.len()).sum()
    };
    let left = max.saturating_sub(size(&chain));
    let holders = match wanted.items.is_empty() {
        true => Vec::new(),
        false => {
            let holders = cx.responses.holders(key_id, wanted.items, left).await;
            holders.map_err(to_error)?
        }
    };
    let parent = chain.last().map(|last| Parent {
        id: last.id.clone(),
        depth: last.depth,
    });
    let bytes = body.len() + size(&chain) + size(&holders);
    cx.room.take(bytes, cx.permit)?;
    cx.trace.set_body_size(bytes);
    let splice = move || spliced(&body, &chain, &holders);
    let (body, items) = cx.trace.compute(splice).await?;
    Ok((body, Recalled { items, parent }))
}

/// Returns what the request refers to, if anything. A body that is invalid is left to the parser, which says why.
fn wanted(body: &[u8]) -> Option<Wanted> {
    let names = ["previous_response_id", "item_reference"];
    let text = str::from_utf8(body).ok()?;
    let has = |name: &str| json_text::contains(text, name);
    if !names.into_iter().any(has) || shape::check(body).is_err() {
        return None;
    }
    let links = links(body)?;
    let mut items: Vec<String> = Vec::new();
    for item in links.input.and_then(own_items).into_iter().flatten() {
        let id = Identity::of(item).and_then(reference);
        items.extend(id);
    }
    items.sort_unstable();
    items.dedup();
    let previous = links.previous_response_id.map(Cow::into_owned);
    (previous.is_some() || !items.is_empty()).then_some(Wanted { previous, items })
}

fn links(body: &[u8]) -> Option<Links<'_>> {
    let Object(links) = serde_json::from_slice(without_mark(body)).ok()?;
    Some(links)
}

/// Returns the items of an input that is a list.
fn own_items(input: &RawValue) -> Option<Vec<&RawValue>> {
    let Items(items) = serde_json::from_str::<Items<&RawValue, MAX_ITEMS>>(input.get()).ok()?;
    Some(items)
}

/// Returns the id that an item refers to.
fn reference(item: Identity<'_>) -> Option<String> {
    let id = item.id.filter(|_| item.kind == "item_reference");
    id.map(Cow::into_owned)
}

/// Some editors and languages put a byte order mark before JSON.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

/// Returns the body with the stored items, and the number of those before the client's.
fn spliced(
    body: &[u8],
    chain: &[StoredResponse],
    holders: &[StoredResponse],
) -> Result<(Bytes, usize), Error> {
    let body = without_mark(body);
    let Some(links) = links(body) else {
        return Ok((Bytes::copy_from_slice(body), 0));
    };
    let mut items = conversation(chain)?;
    let stored = items.len();
    let mut outputs = HashMap::new();
    for holder in holders {
        for item in StoredContent::parse(&holder.content)?.output()? {
            let id = Identity::of(item).and_then(|item| item.id);
            outputs.extend(id.map(|id| (id.into_owned(), item)));
        }
    }
    let message = links.input.filter(|input| input.get().starts_with('"'));
    let message = message.map(|text| {
        format!(
            r#"{{"type":"message","role":"user","content":{}}}"#,
            text.get()
        )
    });
    match (&message, links.input.and_then(own_items)) {
        (Some(message), _) => items.push(message),
        (None, Some(own)) => {
            let mut referred = HashSet::new();
            for (index, item) in own.into_iter().enumerate() {
                let id = Identity::of(item).and_then(reference);
                // The parser rejects a reference that leads nowhere.
                let found = id.as_ref().and_then(|id| outputs.get(id));
                items.push(found.map_or(item.get(), |found| found.get()));
                if let Some(id) = id
                    && !referred.insert(id)
                {
                    // A short body could become any size.
                    let text = "The item is referred to twice. Refer to each item once.";
                    return Err(Error::invalid(format!("input[{index}].id"), text));
                }
            }
        }
        // Not an input: the parser says so.
        (None, None) if links.input.is_some_and(|input| input.get() != "null") => {
            return Ok((Bytes::copy_from_slice(body), 0));
        }
        (None, None) => {}
    }
    let list = format!("[{}]", items.join(","));
    let (before, inserted, after) = match links.input {
        Some(input) => {
            let start = input.get().as_ptr().addr() - body.as_ptr().addr();
            let end = start + input.get().len();
            (body.get(..start), list, body.get(end..))
        }
        None => {
            let start = 1 + body.iter().position(|byte| *byte == b'{').unwrap_or(0);
            let member = format!(r#""input":{list},"#);
            (body.get(..start), member, body.get(start..))
        }
    };
    let parts = [
        before.unwrap_or_default(),
        inserted.as_bytes(),
        after.unwrap_or_default(),
    ];
    Ok((parts.concat().into(), stored))
}

/// Returns the items of a chain in their order. A compaction stands for everything before it.
fn conversation(chain: &[StoredResponse]) -> Result<Vec<&str>, Error> {
    let mut items: Vec<&str> = Vec::new();
    for response in chain {
        let content = StoredContent::parse(&response.content)?;
        items.extend(content.input.iter().map(|item| item.get()));
        for item in content.output()? {
            if Identity::of(item).is_some_and(|item| item.kind == "compaction") {
                items.clear();
            }
            items.push(item.get());
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
