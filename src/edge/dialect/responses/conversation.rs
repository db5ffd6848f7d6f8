//! Converts items to a conversation, in their order. The items of one turn of the model become one message, because a
//! model checks that its reasoning stands where it was.

use serde_json::value::RawValue;

use super::{
    content::{self, Author},
    item,
    names::{TOOL_SEARCH, ToolNames},
    rendered::{self, FILE_SEARCH_CALL},
    sealed,
    tools::{Place, Tools},
};
use crate::{
    call::Warnings,
    edge::{
        dialect::{Policies, chat_completions::check_tools, foreign_reasoning},
        seal::{Purpose, Seals},
    },
    error::{Error, Kind},
    openai::responses::served::{
        CallOutput, Compaction, ConfigurationUpdate, CustomCall, FileSearch, FunctionCall, Input,
        ItemReference, MessageItem, ReasoningItem, ReasoningOptions, SearchCall, TextOptions,
        ToolList,
    },
    operation::chat::{Message, Origin, Part, Role, ToolInput, ToolResult, ToolUse},
};

/// The member of the request that holds the items.
const INPUT: &str = "input";

/// The member of the request that stands for stored items.
const STORED: &str = "previous_response_id";

/// What introduces the summary of a compacted conversation.
const SUMMARY: &str = "Summary of the conversation so far:\n\n";

/// A converted input.
#[derive(Debug, Default)]
pub struct Conversation {
    pub messages: Vec<Message>,
    /// The last changes of the options, if the items have any.
    pub reasoning: Option<ReasoningOptions>,
    pub text: Option<TextOptions>,
    /// The client wants a summary instead of an answer.
    pub compacts: bool,
    /// The bytes that the conversation gains over the body.
    pub added: usize,
    /// The text that was sealed in the body. Its size is in the body already.
    pub opened: Vec<u8>,
}

impl Conversation {
    /// Adds a change of the options. It changes only the members that it has.
    fn configure(&mut self, update: ConfigurationUpdate) {
        let ConfigurationUpdate { reasoning, text } = update;
        if let Some(new) = reasoning {
            let old = self.reasoning.take().unwrap_or_default();
            self.reasoning = Some(merged(old, new));
        }
        if let Some(new) = text {
            let old = self.text.take().unwrap_or_default();
            self.text = Some(TextOptions {
                format: new.format.or(old.format),
                verbosity: new.verbosity.or(old.verbosity),
            });
        }
    }
}

/// Reports whether a search of Knowledge Bases carries what it found.
fn has_results(search: &FileSearch) -> bool {
    search
        .results
        .as_ref()
        .is_some_and(|found| !found.is_empty())
}

/// Reports whether the model that wrote the part can recognize it.
fn is_signed(part: &Part) -> bool {
    !matches!(part, Part::Thinking(thinking) if thinking.signature.is_none())
}

/// Returns the options with those of a change in place of the old.
pub fn merged(old: ReasoningOptions, new: ReasoningOptions) -> ReasoningOptions {
    ReasoningOptions {
        effort: new.effort.or(old.effort),
        summary: new.summary.or(old.summary),
        generate_summary: new.generate_summary.or(old.generate_summary),
        context: new.context.or(old.context),
        mode: new.mode.or(old.mode),
    }
}

/// Converts items.
pub struct Converter<'a> {
    pub tools: &'a mut Tools,
    pub names: &'a mut ToolNames,
    pub seals: &'a Seals,
    pub key_id: &'a str,
    pub policies: Policies,
    pub warnings: &'a Warnings,
    pub out: Conversation,
}

impl Converter<'_> {
    /// Adds the system prompt, which comes first.
    pub fn instructions(&mut self, text: Option<String>) {
        let origin = Origin {
            list: "instructions",
            index: 0,
        };
        let part = text.and_then(content::text_part);
        self.message(Role::System, part.into_iter().collect(), origin);
    }

    /// Adds the input, whose first `stored` items are those of previous responses.
    ///
    /// # Errors
    /// 400 or 404 with the path of an item that cannot be converted.
    pub fn input(&mut self, input: &Input, stored: usize) -> Result<(), Error> {
        let items = match input {
            Input::Text(text) => {
                let origin = Origin {
                    list: INPUT,
                    index: 0,
                };
                let part = content::text_part(text.clone());
                self.message(Role::User, part.into_iter().collect(), origin);
                return Ok(());
            }
            Input::Items(items) => items,
        };
        for (index, raw) in items.iter().enumerate() {
            // Paths count the items that the client sent.
            let origin = match index.checked_sub(stored) {
                Some(index) => Origin { list: INPUT, index },
                None => Origin {
                    list: STORED,
                    index,
                },
            };
            self.item(raw, origin)?;
        }
        Ok(())
    }

    fn item(&mut self, raw: &RawValue, origin: Origin) -> Result<(), Error> {
        let at = origin.to_string();
        let kind = item::kind(raw, &at)?;
        match kind.as_str() {
            "message" => self.said(item::parse(raw, &at)?, origin)?,
            "reasoning" => self.reasoning(item::parse(raw, &at)?, origin)?,
            "function_call" => {
                let call: FunctionCall = item::parse(raw, &at)?;
                let arguments = call.arguments.unwrap_or_default();
                if check_tools::depth(&arguments) > check_tools::MAX_DEPTH {
                    return Err(check_tools::too_deep(format!("{at}.arguments")));
                }
                let name = self.names.sent(call.namespace.as_deref(), &call.name);
                let input = ToolInput::Arguments(arguments);
                self.call(call.call_id, name, input, origin)?;
            }
            "custom_tool_call" => {
                let call: CustomCall = item::parse(raw, &at)?;
                let name = self.names.sent(call.namespace.as_deref(), &call.name);
                let input = ToolInput::Text(call.input.unwrap_or_default());
                self.call(call.call_id, name, input, origin)?;
            }
            "function_call_output" | "custom_tool_call_output" => {
                let CallOutput { call_id, output } = item::parse(raw, &at)?;
                let content = content::parts(output, Author::Client, &at, "output", self.warnings)?;
                self.result(call_id, content, origin);
            }
            "additional_tools" => {
                let list: ToolList = item::parse(raw, &at)?;
                self.tools(&list, &at, false)?;
            }
            "tool_search_call" => {
                let call: SearchCall = item::parse(raw, &at)?;
                let arguments = call.arguments.map(|arguments| arguments.get().to_owned());
                let input = ToolInput::Arguments(arguments.unwrap_or_else(|| "{}".to_owned()));
                if let Some(id) = call.call_id {
                    self.call(id, TOOL_SEARCH.to_owned(), input, origin)?;
                }
            }
            "tool_search_output" => {
                let list: ToolList = item::parse(raw, &at)?;
                let found = self.tools(&list, &at, true)?;
                self.out.added += found.len();
                if let Some(id) = list.call_id {
                    self.result(id, vec![Part::Text(found)], origin);
                }
            }
            "configuration_update" => {
                let update: ConfigurationUpdate = item::parse(raw, &at)?;
                self.out.configure(update);
            }
            "compaction" | "compaction_summary" => {
                self.compaction(item::parse(raw, &at)?, origin)?;
            }
            "compaction_trigger" => self.out.compacts = true,
            "item_reference" => self.reference(item::parse(raw, &at)?, origin)?,
            FILE_SEARCH_CALL if !has_results(&item::parse(raw, &at)?) => {
                let why = "it has no results";
                self.warnings.add(format!("{at}: ignored ({why})"));
            }
            kind => match rendered::author(kind) {
                Some(author) => {
                    self.out.added += rendered::MARGIN;
                    let text = Part::Text(rendered::text(kind, raw));
                    self.message(author, vec![text], origin);
                    self.warnings
                        .add(format!("{at}: sent as text (the model has no such item)"));
                }
                None => {
                    let kind: String = kind.chars().take(40).collect();
                    self.warnings
                        .add(format!("{at}: ignored, '{kind}' is not supported here"));
                }
            },
        }
        Ok(())
    }

    fn said(&mut self, message: MessageItem, origin: Origin) -> Result<(), Error> {
        let at = origin.to_string();
        let (role, author) = match message.role.as_deref() {
            Some("user") => (Role::User, Author::Client),
            Some("assistant") => (Role::Assistant, Author::Model),
            Some("system" | "developer") => (Role::System, Author::Operator),
            _ => {
                let text = "'role' must be 'user', 'assistant', 'system' or 'developer'.";
                return Err(Error::invalid(format!("{at}.role"), text));
            }
        };
        let parts = content::parts(message.content, author, &at, "content", self.warnings)?;
        self.message(role, parts, origin);
        Ok(())
    }

    fn reasoning(&mut self, reasoning: ReasoningItem, origin: Origin) -> Result<(), Error> {
        // Without it, the cache of reasoning may still have the turn.
        let Some(encrypted) = reasoning.encrypted_content else {
            return Ok(());
        };
        match sealed::open(&encrypted, self.seals, self.key_id) {
            Some(mut parts) => {
                let count = parts.len();
                parts.retain(is_signed);
                if parts.len() < count {
                    self.warnings.add("input: reasoning was not sent back to the model (it is not signed, and no route takes such reasoning)");
                }
                for part in &parts {
                    if let Part::Thinking(thinking) = part {
                        self.out.opened.extend_from_slice(thinking.text.as_bytes());
                    }
                }
                self.message(Role::Assistant, parts, origin);
            }
            None if self.policies.refuses_foreign_reasoning => {
                return Err(foreign_reasoning(format!("{origin}.encrypted_content")));
            }
            None => self.warnings.add(format!(
                "{origin}.encrypted_content: ignored, reasoning_dropped (this gateway did not seal it for this key)"
            )),
        }
        Ok(())
    }

    fn call(
        &mut self,
        id: String,
        name: String,
        input: ToolInput,
        origin: Origin,
    ) -> Result<(), Error> {
        check_tools::name(&name, || format!("{origin}.name"))?;
        if id.is_empty() {
            let text = "A call needs a 'call_id', to which its output refers.";
            return Err(Error::invalid(format!("{origin}.call_id"), text));
        }
        let call = Part::ToolUse(ToolUse { id, name, input });
        self.message(Role::Assistant, vec![call], origin);
        Ok(())
    }

    fn result(&mut self, id: String, content: Vec<Part>, origin: Origin) {
        let result = Part::ToolResult(ToolResult {
            id,
            content,
            is_error: false,
        });
        self.message(Role::User, vec![result], origin);
    }

    /// Adds tools to the list, and returns a text that names them.
    fn tools(&mut self, list: &ToolList, at: &str, is_found: bool) -> Result<String, Error> {
        let first = self.tools.list.len();
        let at = format!("{at}.tools");
        let place = Place { at: &at, is_found };
        let tools = list.tools.as_deref().unwrap_or_default();
        self.tools.add(tools, place, self.names)?;
        let found = self.tools.list[first..].iter();
        let names = found.filter_map(|tool| tool.function.as_ref().map(|one| one.name.as_str()));
        let names: Vec<&str> = names.collect();
        Ok(match names.is_empty() {
            true => "No further tools were found.".to_owned(),
            false => format!("These tools are now available: {}", names.join(", ")),
        })
    }

    fn compaction(&mut self, compaction: Compaction, origin: Origin) -> Result<(), Error> {
        let sealed = compaction.encrypted_content.unwrap_or_default();
        let opened = self
            .seals
            .open(Purpose::Compaction, self.key_id, &sealed)
            .and_then(|content| String::from_utf8(content).ok());
        let Some(summary) = opened else {
            let text = "This gateway did not seal the compaction for this key, so the conversation before it is unknown. Start a new session.";
            return Err(Error::invalid(format!("{origin}.encrypted_content"), text)
                .with_code("invalid_encrypted_content"));
        };
        self.out.opened.extend_from_slice(summary.as_bytes());
        self.out.added += SUMMARY.len();
        let text = Part::Text(format!("{SUMMARY}{summary}"));
        self.message(Role::User, vec![text], origin);
        Ok(())
    }

    /// The item was not found. Reasoning is only helpful; without another item the answer would be wrong.
    fn reference(&mut self, reference: ItemReference, origin: Origin) -> Result<(), Error> {
        if reference.id.starts_with("rs_") {
            self.warnings
                .add(format!("{origin}: ignored (the reasoning is not stored)"));
            return Ok(());
        }
        let id: String = reference.id.chars().take(80).collect();
        let text = format!(
            "Item '{id}' was not found: it has expired, was deleted, or was not stored. Set 'store' to false in the client, so that it sends whole items."
        );
        Err(Error::new(Kind::NotFound, text)
            .with_param(format!("{origin}.id"))
            .with_code("item_not_found"))
    }

    /// Adds parts. Those of the model join its turn.
    fn message(&mut self, role: Role, parts: Vec<Part>, origin: Origin) {
        if parts.is_empty() {
            return;
        }
        match self.out.messages.last_mut() {
            Some(last) if role == Role::Assistant && last.role == role => last.parts.extend(parts),
            _ => self.out.messages.push(Message {
                role,
                name: None,
                parts,
                origin,
            }),
        }
    }
}
