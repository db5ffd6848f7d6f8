//! What a request asks of Knowledge Bases: its `kb`, or a `file_search` tool that says the same in OpenAI's words.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use crate::{
    call::{
        Caller, KnowledgeBase, KnowledgeBaseKind, MAX_CONTEXT, MAX_RESULTS, OnError, Rerank,
        RerankModel, RetrievalRequest, Search, SearchType, Warnings,
    },
    catalogue,
    error::Error,
    knowledge::{KnowledgeBases, MAX_QUERY, filter, prompt},
    openai::{
        chat::Tool,
        knowledge_base::{FILE_SEARCH, Kb, KbOptions, Names, RankingOptions},
    },
    operation::chat::Chat,
};

/// One request is as many searches.
const MAX_BASES: usize = 10;

/// Characters of a condensed question, far more than its tokens allow.
const MAX_CONDENSED: usize = 4000;

/// Returns what `kb`, or a `file_search` tool of `chat`, asks of Knowledge Bases; `None` if neither is
/// there. The tool is taken out of the chat.
///
/// # Errors
/// 400 with the member at fault, 403 or 404.
pub fn take(
    kb: Option<Kb>,
    chat: &mut Chat,
    bases: &KnowledgeBases,
    caller: &Caller,
    warnings: &Warnings,
) -> Result<Option<Arc<RetrievalRequest>>, Error> {
    let (asked, at) = match (kb, file_search(chat, warnings)?) {
        (None, None) => return Ok(None),
        (Some(Kb(options)), None) => (options, At::Kb),
        (None, Some((index, options))) => (options, At::Tool(index)),
        (Some(_), Some(_)) => {
            let text = "Send 'kb' or a tool of type 'file_search', not both.";
            return Err(Error::invalid("kb", text));
        }
    };
    check(&asked, at)?;
    let query = asked.query.clone().filter(|query| !query.trim().is_empty());
    let Some(said) = query
        .clone()
        .or_else(|| prompt::query(&chat.messages))
        .map(|text| text.chars().count())
    else {
        let text = "There is nothing to look for: no user message has text. Say what to look for in 'kb.query'.";
        return Err(Error::invalid(at.member("query"), text));
    };
    let names = asked.name.as_slice();
    let unique: HashSet<&String> = names.iter().collect();
    if names.is_empty() || names.len() > MAX_BASES || unique.len() < names.len() {
        let text = format!("Name 1 to {MAX_BASES} knowledge bases, each of them once.");
        return Err(Error::invalid(at.member("name"), text));
    }
    let named = names.iter().map(|name| bases.resolve_for(name, caller));
    let named = named
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.with_param(at.member("name")))?;
    let own_filter = asked
        .filter
        .as_ref()
        .map(|json| filter::parse_text(json.get()))
        .transpose();
    let own_filter = own_filter.map_err(|wrong| {
        Error::invalid(
            format!("{}{}", at.member("filter"), wrong.at),
            wrong.message,
        )
    })?;
    if asked.search.is_some()
        && named
            .iter()
            .any(|base| base.kind == KnowledgeBaseKind::Managed)
    {
        warnings.dropped(
            at.member("search"),
            "a managed Knowledge Base decides by itself how it searches",
        );
    }
    let search = |base: &Arc<KnowledgeBase>| search(base, &asked, own_filter.as_ref(), caller, at);
    let searches = named.iter().map(search).collect::<Result<Vec<_>, _>>()?;
    let widest = named
        .iter()
        .map(|base| base.max_context_chars)
        .max()
        .unwrap_or_default();
    // The widest bound of all, and none where one of them has none.
    let tokens = named
        .iter()
        .map(|base| base.max_context_tokens)
        .collect::<Option<Vec<_>>>();
    let tokens = tokens.and_then(|tokens| tokens.into_iter().max());
    let condensed = if named.iter().any(|base| base.condense_with.is_some()) {
        MAX_CONDENSED
    } else {
        0
    };
    Ok(Some(Arc::new(RetrievalRequest {
        searches,
        query,
        query_chars: said.max(condensed).min(MAX_QUERY),
        max_context_chars: asked.max_context_chars.unwrap_or(widest),
        max_context_tokens: asked.max_context_tokens.or(tokens),
        max_images: named
            .iter()
            .map(|base| base.max_images)
            .max()
            .unwrap_or_default(),
        include_sources: asked.include_sources.unwrap_or(true),
        names: asked.name,
    })))
}

/// Where the client has said it.
#[derive(Clone, Copy)]
enum At {
    Kb,
    /// The place of the tool.
    Tool(usize),
}

impl At {
    /// The path of a member of `kb`, as the client has written it.
    fn member(self, member: &str) -> String {
        let Self::Tool(index) = self else {
            return format!("kb.{member}");
        };
        let theirs = match member {
            "name" => "vector_store_ids",
            "max_results" => "max_num_results",
            "min_score" => "ranking_options.score_threshold",
            "filter" => "filters",
            other => other,
        };
        format!("tools[{index}].{theirs}")
    }
}

/// What the tool `file_search` asks. It is not the model's to call, because the search is made before; among others it keeps
/// its place, by which errors name the tools.
fn file_search(
    request: &mut Chat,
    warnings: &Warnings,
) -> Result<Option<(usize, KbOptions)>, Error> {
    let Some(tools) = &mut request.tools else {
        return Ok(None);
    };
    let Some(index) = tools.iter().position(|tool| tool.kind == FILE_SEARCH) else {
        return Ok(None);
    };
    if tools.iter().filter(|tool| tool.kind == FILE_SEARCH).count() > 1 {
        return Err(Error::invalid(
            "tools",
            "One tool of type 'file_search' is enough: it may name several stores.",
        ));
    }
    let tool = tools[index].clone();
    if tools.len() == 1 {
        request.tools = None;
        // Whatever it says, there is nothing left to choose.
        request.tool_choice = None;
    }
    let Tool {
        vector_store_ids,
        max_num_results,
        ranking_options,
        filters,
        file_search,
        ..
    } = tool;
    if file_search.is_some() {
        let text = "The members of a 'file_search' tool stand beside its 'type', not in an object of its name.";
        return Err(Error::invalid(format!("tools[{index}].file_search"), text));
    }
    let ranking = ranking_options.unwrap_or_default();
    weights(&ranking, index, warnings);
    Ok(Some((
        index,
        KbOptions {
            name: Names::Many(vector_store_ids.unwrap_or_default()),
            max_results: max_num_results,
            min_score: ranking.score_threshold,
            filter: filters,
            ..KbOptions::default()
        },
    )))
}

/// How OpenAI would weigh text against meaning: the service has no such choice.
fn weights(ranking: &RankingOptions, index: usize, warnings: &Warnings) {
    if ranking.hybrid_search.is_some() {
        warnings.dropped(
            format!("tools[{index}].ranking_options.hybrid_search"),
            "Bedrock weighs by itself",
        );
    }
    if ranking
        .ranker
        .as_deref()
        .is_some_and(|ranker| ranker != "auto")
    {
        warnings.dropped(
            format!("tools[{index}].ranking_options.ranker"),
            "the operator chooses how results are ranked",
        );
    }
}

fn check(asked: &KbOptions, at: At) -> Result<(), Error> {
    let within = |member: &str, value: Option<u32>, max: u32| match value {
        Some(value) if !(1..=max).contains(&value) => Err(Error::invalid(
            at.member(member),
            format!("This must be between 1 and {max}."),
        )),
        _ => Ok(()),
    };
    let max_results = if matches!(at, At::Tool(_)) {
        MAX_RESULTS / 2
    } else {
        MAX_RESULTS
    };
    within("max_results", asked.max_results, max_results)?;
    within("max_context_chars", asked.max_context_chars, MAX_CONTEXT)?;
    within("max_context_tokens", asked.max_context_tokens, MAX_CONTEXT)?;
    match asked.min_score {
        Some(score) if !(0.0..=1.0).contains(&score) => Err(Error::invalid(
            at.member("min_score"),
            "This must be between 0 and 1.",
        )),
        _ => Ok(()),
    }
}

/// One of a list of words.
fn word<T: Copy>(
    word: Option<&str>,
    words: &[(&str, T)],
    default: T,
    param: String,
) -> Result<T, Error> {
    let Some(word) = word else { return Ok(default) };
    let known = || {
        words
            .iter()
            .map(|(name, _)| format!("'{name}'"))
            .collect::<Vec<_>>()
            .join(" or ")
    };
    let found = words
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value);
    found.ok_or_else(|| Error::invalid(param, format!("This must be {}.", known())))
}

/// The filters of the Knowledge Base and of the key hold whatever the client says.
fn search(
    base: &Arc<KnowledgeBase>,
    asked: &KbOptions,
    own_filter: Option<&Value>,
    caller: &Caller,
    at: At,
) -> Result<Search, Error> {
    let forced = [base.filter.as_ref(), caller.knowledge_base_filter.as_ref()];
    let filters = forced.into_iter().chain([own_filter]);
    let user = || {
        caller
            .knowledge_base_user
            .as_ref()
            .unwrap_or(&caller.key_id)
            .clone()
    };
    Ok(Search {
        max_results: asked.max_results.unwrap_or(base.max_results),
        min_score: asked.min_score.unwrap_or(base.min_score),
        search_type: word(
            asked.search.as_deref(),
            &SearchType::ALL,
            base.search_type,
            at.member("search"),
        )?,
        filter: filter::all(filters.flatten().cloned()),
        own_filter: own_filter.is_some(),
        only_own: forced.iter().all(|filter| filter.is_none())
            && base.implicit_filter.is_none()
            && matches!(base.rerank, Rerank::Default | Rerank::Never),
        user_id: base.user_context.then(user),
        rerank: rerank(base, asked.rerank.as_deref(), at)?,
        on_error: word(
            asked.on_error.as_deref(),
            &OnError::ALL,
            base.on_error,
            at.member("on_error"),
        )?,
        base: base.clone(),
    })
}

/// The operator's model, none, or another that the catalogue knows: what nobody knows has no price.
fn rerank(base: &KnowledgeBase, asked: Option<&str>, at: At) -> Result<Rerank, Error> {
    match (asked, &base.rerank) {
        (None, own) => Ok(own.clone()),
        (Some("none"), _) => Ok(Rerank::Never),
        (Some(id), Rerank::Model(own)) if own.id == id => Ok(base.rerank.clone()),
        (Some(id), own) => {
            let price = catalogue::query_price(id);
            if price.is_none() {
                let text = "This must be the id of a reranking model, such as 'cohere.rerank-v3-5:0', or 'none'.";
                return Err(Error::invalid(at.member("rerank"), text));
            }
            let own = if let Rerank::Model(own) = own {
                own.clone()
            } else {
                RerankModel::default()
            };
            Ok(Rerank::Model(RerankModel {
                id: id.to_owned(),
                price,
                fields: None,
                ..own
            }))
        }
    }
}
