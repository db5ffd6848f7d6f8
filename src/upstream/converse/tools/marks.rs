//! Cache points among tools. A mark belongs to its tool, because tools are added to and removed from the list.

use super::Entry;
use crate::{
    bedrock::request::Tool, call::Warnings, openai::message::CacheControl,
    upstream::converse::caching,
};

/// Marks the last tool of the list, for a mark of a tool that is not sent.
pub fn mark_last<'a>(list: &mut [Entry<'a>], mark: Option<&'a CacheControl>) {
    if let (Some(last), Some(mark)) = (list.last_mut(), mark) {
        last.mark = Some(mark);
    }
}

/// Removes the tools that `keep` rejects. The mark of a removed tool goes to the tool before it, because both end the
/// same prefix.
pub fn retain<'a>(list: &mut Vec<Entry<'a>>, keep: impl Fn(&Entry<'a>) -> bool) {
    let mut kept: Vec<Entry<'a>> = Vec::with_capacity(list.len());
    for entry in std::mem::take(list) {
        match keep(&entry) {
            true => kept.push(entry),
            false => mark_last(&mut kept, entry.mark),
        }
    }
    *list = kept;
}

/// Returns the tools, with a cache point after the last one that is marked. That point also caches all tools before it.
pub fn with_point<'a>(list: Vec<Entry<'a>>, warnings: &Warnings) -> Vec<Tool<'a>> {
    let marked = list.iter().rposition(|entry| entry.mark.is_some());
    let mut tools = Vec::with_capacity(list.len() + 1);
    for (index, entry) in list.into_iter().enumerate() {
        let mark = entry.mark.filter(|_| marked == Some(index));
        tools.push(entry.tool);
        tools.extend(mark.map(|mark| Tool::CachePoint(caching::point(mark, warnings))));
    }
    tools
}
