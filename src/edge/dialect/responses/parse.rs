//! Parses a request into a chat.

use serde_json::value::RawValue;

use super::{
    View, choice,
    conversation::{Conversation, Converter, merged},
    names::ToolNames,
    options,
    output::OutputSettings,
    stored::{self, Draft},
    tools::{Place, Tools},
};
use crate::{
    call::Warnings,
    edge::{
        body,
        dialect::{
            Incoming,
            chat_completions::{guardrail, kb_request},
        },
    },
    error::Error,
    knowledge::prompt,
    openai::{
        chat::Tool,
        knowledge_base::FILE_SEARCH,
        message::CacheControl,
        responses::served::{ReasoningSettings, Request, Settings, TextFormat, TextOptions},
        tool_choice::ToolChoice,
    },
    operation::{
        chat::{Chat, Message, Origin, Part, Role},
        expansion,
    },
};

/// What the model is told instead of answering a conversation that is compacted.
const SUMMARIZE: &str = "Write a summary of this conversation that replaces it, so that another model can continue the work without having seen it. State the task and its constraints in the user's words, what was decided and why, what was done, with the names of files, commands, functions and values that matter, what the last results were, and what remains to be done. Write only the summary.";

/// The value of `include` that adds the results of a search to its item.
const SEARCH_RESULTS: &str = "file_search_call.results";

/// A parsed request.
pub struct Parsed {
    pub chat: Chat,
    pub end_user: Option<String>,
    pub view: View,
}

/// Parses a request. `is_compaction` means that it asks for a summary instead of an answer.
///
/// # Errors
/// 4xx with the invalid member.
pub fn request(incoming: &Incoming<'_>, is_compaction: bool) -> Result<Parsed, Error> {
    let warnings = incoming.warnings;
    let mut request: Request = body::parse(incoming.body, warnings)?;
    options::check(&request, warnings)?;
    stored::check_parent(&request, incoming.recalled)?;
    let settings = settings(&request);
    let (mut tools, mut names) = (Tools::default(), ToolNames::default());
    let declared = request.tools.take().unwrap_or_default();
    let place = Place {
        at: "tools",
        is_found: false,
    };
    tools.add(&declared, place, &mut names)?;
    let mut converter = Converter {
        tools: &mut tools,
        names: &mut names,
        seals: incoming.seals,
        key_id: &incoming.caller.key_id,
        policies: incoming.policies,
        warnings,
        out: Conversation {
            compacts: is_compaction,
            ..Conversation::default()
        },
    };
    converter.instructions(request.instructions.take());
    let input = request.input.take();
    if let Some(input) = &input {
        converter.input(input, incoming.recalled.items)?;
    }
    let mut conversation = converter.out;
    if conversation.messages.is_empty() {
        return Err(Error::invalid(
            "input",
            "'input' must contain at least one message.",
        ));
    }
    tools.check(incoming.policies, warnings)?;
    let compacts = conversation.compacts;
    let choice = match &request.tool_choice {
        Some(choice) if !compacts => choice::choice(choice, &tools, &mut names)?,
        _ => None,
    };
    let draft = match is_compaction {
        true => None,
        false => Draft::new(incoming, &request, input),
    };
    if compacts {
        conversation.added += SUMMARIZE.len();
        conversation.messages.push(Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Text(SUMMARIZE.to_owned())],
            origin: Origin {
                list: "input",
                index: 0,
            },
        });
    }
    let changed = conversation.reasoning.take().unwrap_or_default();
    let reasoning = merged(request.reasoning.take().unwrap_or_default(), changed);
    let text = text(&mut conversation, &mut request);
    let settings = Settings {
        reasoning: ReasoningSettings {
            effort: reasoning.effort.clone(),
            summary: reasoning.summary.clone(),
        },
        text: TextOptions {
            format: text.format.clone().or_else(|| Some(plain_text())),
            verbosity: text.verbosity.clone(),
        },
        tools: declared,
        store: draft.is_some(),
        ..settings
    };
    let TextOptions { format, verbosity } = text;
    let shows_reasoning = options::wants_summary(&reasoning);
    let has = |value: &str| request.include.iter().flatten().any(|one| one == value);
    let has_search_results = has(SEARCH_RESULTS);
    let has_warnings = request.stream_options.as_ref();
    let has_warnings = has_warnings.and_then(|options| options.include_warnings) == Some(true);
    let added = conversation.added + tools.added;
    let mut chat = Chat {
        messages: conversation.messages,
        stream: request.stream == Some(true) && !is_compaction,
        max_completion_tokens: request.max_output_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        tools: (!tools.list.is_empty()).then_some(tools.list),
        tool_choice: match compacts {
            // The tools stay, because without them the cached prompt would be another.
            true => Some(ToolChoice::Mode("none".to_owned())),
            false => choice,
        },
        parallel_tool_calls: request.parallel_tool_calls,
        user: request.user,
        safety_identifier: request.safety_identifier,
        metadata: request.metadata,
        service_tier: request.service_tier,
        response_format: match format {
            Some(format) if !compacts => options::format(format)?,
            _ => None,
        },
        reasoning: options::reasoning(&reasoning)?,
        hide_reasoning: !shows_reasoning,
        verbosity,
        // Agents set the key and no marks, and without a cache they pay for their whole prompt in every turn.
        cache_control: request.prompt_cache_key.as_ref().map(|_| CacheControl {
            ttl: None,
            kind: None,
        }),
        prompt_cache_key: request.prompt_cache_key,
        prompt_cache_retention: request.prompt_cache_retention,
        prompt_cache_options: request.prompt_cache_options,
        bedrock: request.bedrock,
        has_items: true,
        max_cost: body::max_cost(request.max_cost_usd.as_deref())?,
        bytes: incoming.body.len() + added,
        expansion: expansion::of_body(incoming.body) + expansion::of_body(&conversation.opened),
        ..Chat::default()
    };
    guardrail(incoming.headers, &mut chat.bedrock);
    chat.retrieval = match compacts {
        true => {
            without_search(&mut chat, request.kb.is_some(), warnings);
            None
        }
        false => kb_request::take(
            request.kb,
            &mut chat,
            incoming.knowledge_bases,
            incoming.caller,
            warnings,
        )?,
    };
    let searched = chat.retrieval.as_ref();
    let query = searched.and_then(|retrieval| {
        let own = retrieval.query.clone();
        own.or_else(|| prompt::query(&chat.messages))
    });
    Ok(Parsed {
        end_user: chat.user.clone().or_else(|| chat.safety_identifier.clone()),
        view: View {
            model: request.model,
            fallbacks: request.models,
            settings,
            output: OutputSettings {
                names,
                seals: incoming.seals.clone(),
                key_id: incoming.caller.key_id.clone(),
                shows_reasoning,
                compacts,
                id: String::new(),
            },
            query,
            has_search_results,
            has_warnings,
            draft,
        },
        chat,
    })
}

/// Removes searches of Knowledge Bases from a chat that summarizes the conversation. They would search for the gateway's
/// own instruction.
fn without_search(chat: &mut Chat, has_kb: bool, warnings: &Warnings) {
    let is_search = |tool: &Tool| tool.kind == FILE_SEARCH;
    let tools = chat.tools.take().unwrap_or_default();
    let had_tool = tools.iter().any(is_search);
    let others: Vec<Tool> = tools.into_iter().filter(|tool| !is_search(tool)).collect();
    chat.tools = (!others.is_empty()).then_some(others);
    let why = "a compaction searches no Knowledge Base";
    if has_kb {
        warnings.dropped("kb", why);
    }
    if had_tool {
        warnings.dropped("tools: file_search", why);
    }
}

/// Returns the options of the text: the last of the input's changes, else those of the request.
fn text(conversation: &mut Conversation, request: &mut Request) -> TextOptions {
    let own = request.text.take().unwrap_or_default();
    let changed = conversation.text.take().unwrap_or_default();
    TextOptions {
        format: changed.format.or(own.format),
        verbosity: changed.verbosity.or(own.verbosity),
    }
}

fn plain_text() -> TextFormat {
    TextFormat {
        kind: "text".to_owned(),
        name: None,
        description: None,
        schema: None,
        strict: None,
    }
}

/// Returns the members that the response repeats, except `tools`, `store` and those that the input can change.
fn settings(request: &Request) -> Settings {
    // A string is valid JSON.
    let auto = RawValue::from_string("\"auto\"".to_owned()).unwrap_or_default();
    Settings {
        instructions: request.instructions.clone(),
        max_output_tokens: request.max_output_tokens,
        max_tool_calls: request.max_tool_calls,
        previous_response_id: request.previous_response_id.clone(),
        prompt_cache_key: request.prompt_cache_key.clone(),
        reasoning: ReasoningSettings::default(),
        safety_identifier: request.safety_identifier.clone(),
        store: false,
        temperature: request.temperature,
        top_p: request.top_p,
        text: TextOptions::default(),
        truncation: "disabled",
        user: request.user.clone(),
        metadata: request.metadata.clone().unwrap_or_default(),
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        tool_choice: request.tool_choice.clone().unwrap_or(auto),
        tools: Vec::new(),
    }
}
