//! Writes a conversation as items, in its order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{mark, namespaces::Namespaces};
use crate::{
    error::Error,
    openai::responses::{Content, InputItem, InputPart, ReasoningItem},
    operation::chat::{Message, Part, RedactedThinking, Role, ToolInput, ToolResult, ToolUse},
    upstream::{
        converse::{Context, names::Names, turns::PLACEHOLDER},
        native::{
            body,
            messages::{calls, media::media, text},
        },
    },
};

/// A conversation.
pub struct Input<'a> {
    /// The system text before the first turn, and the gateway's own.
    pub instructions: Option<String>,
    pub items: Vec<InputItem<'a>>,
}

/// Returns the input. `instruction` is appended to the system text.
///
/// # Errors
/// 400 with the path of the message or part that cannot be sent.
pub fn input<'a>(
    cx: &Context<'a>,
    fetched: &'a HashMap<String, String>,
    instruction: Option<String>,
    names: &mut Names<'a>,
    namespaces: &Namespaces<'a>,
) -> Result<Input<'a>, Error> {
    let mut build = Builder {
        cx,
        namespaces,
        fetched,
        mark: mark(cx.model),
        instructions: Vec::new(),
        items: Vec::new(),
        open: HashMap::new(),
        unanswered: BTreeMap::new(),
        used: HashSet::new(),
    };
    for message in cx.messages {
        match message.role {
            Role::System => build.system(message),
            Role::User => build.user(message)?,
            Role::Assistant => build.assistant(message, names),
        }
    }
    Ok(build.finish(instruction))
}

struct Builder<'a, 'n> {
    cx: &'n Context<'a>,
    namespaces: &'n Namespaces<'a>,
    fetched: &'a HashMap<String, String>,
    mark: String,
    instructions: Vec<Cow<'a, str>>,
    items: Vec<InputItem<'a>>,
    /// The calls of the last turn without a result, by the client's id: the position of the item, and the id that was sent.
    open: HashMap<&'a str, VecDeque<(usize, Cow<'a, str>)>>,
    /// The calls of earlier turns without a result, by the position of the item.
    unanswered: BTreeMap<usize, Cow<'a, str>>,
    /// All sent ids.
    used: HashSet<Cow<'a, str>>,
}

impl<'a> Builder<'a, '_> {
    fn message(&mut self, role: &'static str, parts: Vec<InputPart<'a>>) {
        if !parts.is_empty() {
            let content = Content(parts);
            self.items.push(InputItem::Message { role, content });
        }
    }

    fn system(&mut self, message: &'a Message) {
        let texts = message.parts.iter().filter_map(Part::as_text);
        let texts = texts.filter(|text| !text.trim().is_empty());
        if self.items.is_empty() {
            self.instructions.extend(texts.map(Cow::Borrowed));
            return;
        }
        let parts = texts.map(|text| InputPart::InputText { text: text.into() });
        self.message("system", parts.collect());
    }

    fn user(&mut self, message: &'a Message) -> Result<(), Error> {
        let prefixes = self.cx.model.options.name_prefix;
        let mut prefix = message.name.as_deref();
        if !prefixes && prefix.take().is_some() {
            let param = format!("{}.name", message.origin);
            let why = "this route has no such parameter";
            self.cx.warnings.dropped(param, why);
        }
        let mut parts = Vec::new();
        for part in &message.parts {
            match part {
                Part::Text(said) => match prefix.take() {
                    Some(name) => parts.extend(text(format!("{name}: {said}"))),
                    None => parts.extend(text(said.as_str())),
                },
                Part::Retrieved(retrieved) => parts.extend(text(retrieved.text.as_str())),
                Part::ToolReference(reference) => parts.extend(text(reference.text.as_str())),
                Part::ToolResult(result) => parts.extend(self.tool_result(result, message)?),
                part => parts.extend(media(part, self.cx, self.fetched)?),
            }
        }
        self.message("user", parts.into_iter().map(input_part).collect());
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message, names: &mut Names<'a>) {
        if !self.is_within_turn() {
            self.close_turn();
        }
        let first = self.items.len();
        for part in &message.parts {
            match part {
                Part::Text(said) => self.said(first, said.as_str().into()),
                Part::ToolUse(call) if self.cx.model.facts.tools => self.call(call, names),
                Part::ToolUse(call) => {
                    let text = calls::call_as_text(call, self.cx.warnings);
                    self.said(first, text.into());
                }
                Part::RedactedThinking(redacted) => self.reasoning(redacted, message),
                Part::Thinking(thinking) if thinking.signature.is_some() => self.foreign(message),
                Part::ServerTool(_) => {
                    let param = format!("{}.server_tool_blocks", message.origin);
                    let why = "the model has no tools that AWS runs";
                    self.cx.warnings.dropped(param, why);
                }
                // Reasoning without encrypted content is part of every reply, and is not sent back.
                _ => {}
            }
        }
        // Reasoning that no item follows is rejected.
        while self.items.len() > first && matches!(self.items.last(), Some(InputItem::Reasoning(_)))
        {
            self.items.pop();
        }
    }

    /// Adds text of an answer, to the item before if that is text of the same message.
    fn said(&mut self, first: usize, text: Cow<'a, str>) {
        if text.trim().is_empty() {
            return;
        }
        let part = InputPart::OutputText { text };
        let is_new = self.items.len() == first;
        match self.items.last_mut().filter(|_| !is_new) {
            Some(InputItem::Message { content, .. }) => content.0.push(part),
            _ => self.message("assistant", vec![part]),
        }
    }

    fn call(&mut self, call: &'a ToolUse, names: &mut Names<'a>) {
        let form = self.cx.model.facts.tool_use_id;
        let (namespace, name) = match self.namespaces.of(&call.name) {
            Some(own) => (Some(own.name.as_str()), own.tool.as_str().into()),
            None => (None, names.sent(&call.name)),
        };
        if let (ToolInput::Text(input), true) = (&call.input, self.cx.extras.custom_tools) {
            let call_id = calls::unique_id(call, 0, &mut self.used, form);
            self.open_call(call, call_id.clone());
            self.items.push(InputItem::CustomToolCall {
                call_id,
                namespace,
                name,
                input,
            });
            return;
        }
        for (nth, arguments) in (0..).zip(calls::inputs(call, self.cx.warnings)) {
            let call_id = calls::unique_id(call, nth, &mut self.used, form);
            self.open_call(call, call_id.clone());
            self.items.push(InputItem::FunctionCall {
                call_id,
                namespace,
                name: name.clone(),
                arguments,
            });
        }
    }

    /// Remembers a call, which is the next item, until its result follows.
    fn open_call(&mut self, call: &'a ToolUse, call_id: Cow<'a, str>) {
        let open = self.open.entry(&call.id).or_default();
        open.push_back((self.items.len(), call_id));
    }

    /// Returns the result of the call at a position.
    fn output(&self, at: usize, call_id: Cow<'a, str>, output: Cow<'a, str>) -> InputItem<'a> {
        match self.items.get(at) {
            Some(InputItem::CustomToolCall { .. }) => {
                InputItem::CustomToolCallOutput { call_id, output }
            }
            _ => InputItem::FunctionCallOutput { call_id, output },
        }
    }

    /// Returns the media of the result, which follow in a user message.
    fn tool_result(
        &mut self,
        result: &'a ToolResult,
        message: &Message,
    ) -> Result<Vec<body::Part<'a>>, Error> {
        let (output, mut beside) = calls::result_content(result, message, self.cx, self.fetched)?;
        let open = self.open.get_mut(result.id.as_str());
        match open.and_then(VecDeque::pop_front) {
            Some((at, call_id)) => {
                let item = self.output(at, call_id, output);
                self.items.push(item);
            }
            None => {
                let said = calls::orphan(&output, self.cx.warnings);
                beside.splice(0..0, text(said));
            }
        }
        Ok(beside)
    }

    /// Sends reasoning of this model back as it came.
    fn reasoning(&mut self, redacted: &RedactedThinking, message: &Message) {
        if !self.cx.model.facts.reasoning.redacted {
            return self.foreign(message);
        }
        let data = redacted.data.strip_prefix(self.mark.as_str());
        let item = data.and_then(|data| STANDARD.decode(data).ok());
        // Read into its type, because a client could have put another item there.
        let item: Option<ReasoningItem> = item.and_then(|item| serde_json::from_slice(&item).ok());
        match item.filter(|item| item.encrypted_content.is_some()) {
            Some(item) => self.items.push(InputItem::Reasoning(Box::new(item))),
            None => self.foreign(message),
        }
    }

    fn foreign(&self, message: &Message) {
        let origin = message.origin;
        self.cx.warnings.add(format!(
            "{origin}.thinking_blocks: ignored (they are not from this model on this route)"
        ));
    }

    /// Reports whether the last item is one of an answer.
    fn is_within_turn(&self) -> bool {
        match self.items.last() {
            Some(InputItem::Message { role, .. }) => *role == "assistant",
            Some(
                InputItem::FunctionCall { .. }
                | InputItem::CustomToolCall { .. }
                | InputItem::Reasoning(_),
            ) => true,
            Some(InputItem::FunctionCallOutput { .. } | InputItem::CustomToolCallOutput { .. })
            | None => false,
        }
    }

    /// Ends the last turn: results of its calls can no longer follow.
    fn close_turn(&mut self) {
        let open = self.open.drain().flat_map(|(_, open)| open);
        self.unanswered.extend(open);
    }

    fn finish(mut self, instruction: Option<String>) -> Input<'a> {
        self.close_turn();
        self.answer_open();
        if self.items.is_empty() {
            let parts = text(PLACEHOLDER).into_iter().map(input_part).collect();
            self.message("user", parts);
        } else if self.is_within_turn() {
            let why = "the model cannot continue a final assistant message, so a user turn 'Continue.' was added";
            self.cx.warnings.dropped("messages", why);
            let parts = text("Continue.").into_iter().map(input_part).collect();
            self.message("user", parts);
        }
        self.instructions.extend(instruction.map(Cow::Owned));
        let instructions = self.instructions.join("\n\n");
        Input {
            instructions: (!instructions.is_empty()).then_some(instructions),
            items: self.items,
        }
    }

    /// Adds an error result after every call without a result, because the service rejects a missing one.
    fn answer_open(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        for (at, item) in std::mem::take(&mut self.items).into_iter().enumerate() {
            let is_custom = matches!(item, InputItem::CustomToolCall { .. });
            self.items.push(item);
            if let Some(call_id) = self.unanswered.remove(&at) {
                let output = calls::missing_result(self.cx.warnings).into();
                self.items.push(match is_custom {
                    true => InputItem::CustomToolCallOutput { call_id, output },
                    false => InputItem::FunctionCallOutput { call_id, output },
                });
            }
        }
    }
}

fn input_part(part: body::Part<'_>) -> InputPart<'_> {
    match part {
        body::Part::Text { text } => InputPart::InputText { text },
        body::Part::ImageUrl { image_url } => InputPart::InputImage {
            image_url: image_url.url,
            detail: image_url.detail.unwrap_or("auto"),
        },
    }
}
