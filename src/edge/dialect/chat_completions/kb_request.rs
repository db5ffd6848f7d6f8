//! Parses the retrieval options of a request: `kb`, or OpenAI's equivalent, a tool of type `file_search`.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use crate::{
    call::{
        Caller, Caps, KnowledgeBase, KnowledgeBaseKind, MAX_CONTEXT, MAX_RESULTS, OnError, Rerank,
        RerankModel, RetrievalRequest, Search, SearchType, Warnings, caps,
    },
    catalogue,
    error::Error,
    knowledge::{KnowledgeBases, MAX_QUERY, filter, prompt},
    openai::{
        chat::Tool,
        knowledge_base::{FILE_SEARCH, Kb, KbOptions, MAX_BASES, Names, RankingOptions},
    },
    operation::chat::Chat,
};

/// Upper bound of the characters of a condensed question; its token limit allows far fewer.
const MAX_CONDENSED: usize = 4000;

/// Parses `kb`, or the `file_search` tool of `chat`. Returns `None` if the request has neither.
///
/// # Errors
/// 400 with the invalid member; 403 or 404 for a Knowledge Base that the key may not search.
pub fn take(
    kb: Option<Kb>,
    chat: &mut Chat,
    bases: &KnowledgeBases,
    caller: &Caller,
    warnings: &Warnings,
) -> Result<Option<Arc<RetrievalRequest>>, Error> {
    let (place, tool) = file_search(chat, warnings)?.unzip();
    let (options, at) = match (kb, tool) {
        (None, None) => return Ok(None),
        (Some(Kb(options)), None) => (options, At::Kb),
        (None, Some(options)) => (options, At::Tool(place.as_deref().unwrap_or_default())),
        (Some(_), Some(_)) => {
            let text = "Send 'kb' or a tool of type 'file_search', not both.";
            return Err(Error::invalid("kb", text));
        }
    };
    check(&options, at)?;
    let query = options
        .query
        .clone()
        .filter(|query| !query.trim().is_empty());
    let text = query.clone().or_else(|| prompt::query(&chat.messages));
    let names = options.name.as_slice();
    let unique: HashSet<&String> = names.iter().collect();
    if names.is_empty() || unique.len() < names.len() {
        let text = format!("Name 1 to {MAX_BASES} knowledge bases, each only once.");
        return Err(Error::invalid(at.member("name"), text));
    }
    let named = names.iter().map(|name| bases.resolve_for(name, caller));
    let named = named
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.with_param(at.member("name")))?;
    let by_image = query.is_none()
        && named.iter().all(|base| base.image_query)
        && prompt::query_image(&chat.messages).is_some();
    let query_chars = text.map(|text| text.chars().count());
    let Some(query_chars) = query_chars.or(by_image.then_some(0)) else {
        let text = "No user message contains text to search for. Set 'kb.query'.";
        return Err(Error::invalid(at.member("query"), text));
    };
    if options.include_passages == Some(true) && options.include_sources == Some(false) {
        let text = "'include_passages' adds texts to the sources, so it cannot be combined with 'include_sources': false.";
        return Err(Error::invalid(at.member("include_passages"), text));
    }
    let own_filter = options
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
    if options.search.is_some()
        && named
            .iter()
            .any(|base| base.kind == KnowledgeBaseKind::Managed)
    {
        warnings.dropped(
            at.member("search"),
            "a managed Knowledge Base chooses its search type itself",
        );
    }
    let search = |base: &Arc<KnowledgeBase>| {
        search(base, &options, own_filter.as_ref(), caller, at, warnings)
    };
    let searches = named.iter().map(search).collect::<Result<Vec<_>, _>>()?;
    let widest = named
        .iter()
        .map(|base| base.max_context_chars)
        .max()
        .unwrap_or_default();
    // The largest limit of all. There is no limit if any of them has none.
    let tokens = named
        .iter()
        .map(|base| base.max_context_tokens)
        .collect::<Option<Vec<_>>>();
    let tokens = tokens.and_then(|tokens| tokens.into_iter().max());
    let tightest = named
        .iter()
        .map(|base| base.caps)
        .fold(Caps::default(), Caps::and);
    let lowered = |requested, cap, configured, member| {
        caps::lowered(requested, cap, configured, &at.member(member), warnings)
    };
    let own_chars = lowered(
        options.max_context_chars,
        tightest.max_context_chars,
        widest,
        "max_context_chars",
    );
    let own_tokens = lowered(
        options.max_context_tokens,
        tightest.max_context_tokens,
        tokens.unwrap_or_default(),
        "max_context_tokens",
    );
    let condensed = if named.iter().any(|base| base.condense_with.is_some()) {
        MAX_CONDENSED
    } else {
        0
    };
    Ok(Some(Arc::new(RetrievalRequest {
        searches,
        query,
        query_chars: query_chars.max(condensed).min(MAX_QUERY),
        max_context_chars: own_chars.unwrap_or(widest),
        max_context_tokens: own_tokens.or(tokens),
        max_images: named
            .iter()
            .map(|base| base.max_images)
            .max()
            .unwrap_or_default(),
        include_sources: options.include_sources.unwrap_or(true),
        include_passages: options.include_passages.unwrap_or(false),
        names: options.name,
    })))
}

/// The member of the request that has the options.
#[derive(Clone, Copy)]
enum At<'a> {
    Kb,
    /// The `file_search` tool, with its path.
    Tool(&'a str),
}

impl At<'_> {
    /// Returns the path of an option, as the client wrote it. `member` is its name in `kb`.
    fn member(self, member: &str) -> String {
        let Self::Tool(tool) = self else {
            return format!("kb.{member}");
        };
        let in_tool = match member {
            "name" => "vector_store_ids",
            "max_results" => "max_num_results",
            "min_score" => "ranking_options.score_threshold",
            "filter" => "filters",
            other => other,
        };
        format!("{tool}.{in_tool}")
    }
}

/// Parses the options of the `file_search` tool. The gateway searches before it calls the model, so the tool is not sent
/// to the model. It is removed only if it is the only tool; otherwise it stays, so that the indices of the other tools
/// in errors do not change.
fn file_search(
    request: &mut Chat,
    warnings: &Warnings,
) -> Result<Option<(String, KbOptions)>, Error> {
    let Some(tools) = &mut request.tools else {
        return Ok(None);
    };
    let Some(index) = tools.iter().position(|tool| tool.kind == FILE_SEARCH) else {
        return Ok(None);
    };
    if tools.iter().filter(|tool| tool.kind == FILE_SEARCH).count() > 1 {
        return Err(Error::invalid(
            "tools",
            "Only one tool of type 'file_search' is allowed. It may name several vector stores.",
        ));
    }
    let tool = tools[index].clone();
    let at = tool.at.clone().unwrap_or_else(|| format!("tools[{index}]"));
    if tools.len() == 1 {
        request.tools = None;
        // Without tools there is nothing to choose.
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
        let text = "Put the members of a 'file_search' tool next to 'type', not into a 'file_search' object.";
        return Err(Error::invalid(format!("{at}.file_search"), text));
    }
    let ranking = ranking_options.unwrap_or_default();
    warn_of_ranking(&ranking, &at, warnings);
    Ok(Some((
        at,
        KbOptions {
            name: Names::Many(vector_store_ids.unwrap_or_default()),
            max_results: max_num_results,
            min_score: ranking.score_threshold,
            filter: filters,
            ..KbOptions::default()
        },
    )))
}

/// Warns of ranking options that Bedrock does not support.
fn warn_of_ranking(ranking: &RankingOptions, at: &str, warnings: &Warnings) {
    if ranking.hybrid_search.is_some() {
        warnings.dropped(
            format!("{at}.ranking_options.hybrid_search"),
            "Bedrock has no search weights",
        );
    }
    if ranking
        .ranker
        .as_deref()
        .is_some_and(|ranker| ranker != "auto")
    {
        warnings.dropped(
            format!("{at}.ranking_options.ranker"),
            "the operator configures the ranker",
        );
    }
}

fn check(options: &KbOptions, at: At<'_>) -> Result<(), Error> {
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
    within("max_results", options.max_results, max_results)?;
    within("max_context_chars", options.max_context_chars, MAX_CONTEXT)?;
    within(
        "max_context_tokens",
        options.max_context_tokens,
        MAX_CONTEXT,
    )?;
    match options.min_score {
        Some(score) if !(0.0..=1.0).contains(&score) => Err(Error::invalid(
            at.member("min_score"),
            "This must be between 0 and 1.",
        )),
        _ => Ok(()),
    }
}

/// Parses an option that has a fixed list of values, `words`.
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

/// Builds the search in one Knowledge Base. The filters of the Knowledge Base and of the key always apply; the filter of
/// the request can only narrow the results further.
fn search(
    base: &Arc<KnowledgeBase>,
    options: &KbOptions,
    own_filter: Option<&Value>,
    caller: &Caller,
    at: At<'_>,
    warnings: &Warnings,
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
    let max_results = caps::lowered(
        options.max_results,
        base.caps.max_results,
        base.max_results,
        &at.member("max_results"),
        warnings,
    );
    let min_score = caps::raised(
        options.min_score,
        base.caps.min_score,
        base.min_score,
        &at.member("min_score"),
        warnings,
    );
    Ok(Search {
        max_results: max_results.unwrap_or(base.max_results),
        min_score: min_score.unwrap_or(base.min_score),
        search_type: word(
            options.search.as_deref(),
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
        rerank: rerank(base, options.rerank.as_deref(), at)?,
        on_error: word(
            options.on_error.as_deref(),
            &OnError::ALL,
            base.on_error,
            at.member("on_error"),
        )?,
        base: base.clone(),
    })
}

/// Selects the reranking model. A request may only name the configured model, `none`, or a model in the catalogue, because
/// the cost of other models is unknown.
fn rerank(base: &KnowledgeBase, options: Option<&str>, at: At<'_>) -> Result<Rerank, Error> {
    match (options, &base.rerank) {
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
