//! Writes the request.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{
    input::{Input, input},
    mark,
    namespaces::Namespaces,
};
use crate::{
    error::Error,
    openai::responses::{
        CustomTool, ENCRYPTED_REASONING, FunctionTool, Reasoning, Request, TextConfig, TextFormat,
        Tool, ToolChoice,
    },
    operation::chat::Chat,
    upstream::{
        converse::Context,
        native::{
            Shape, body,
            draft::{Encoded, Settings},
        },
    },
};

impl Shape<'_> {
    /// Returns the Responses request for the conversation of `cx`.
    ///
    /// # Errors
    /// 400 with the member's path if the chat cannot be expressed on this endpoint.
    pub fn encode_responses<'a>(
        &'a self,
        chat: &'a Chat,
        cx: &Context<'a>,
    ) -> Result<Encoded, Error> {
        let mut draft = self.draft(chat, cx)?;
        let instruction = draft.instruction.take();
        let namespaces = Namespaces::new(chat, cx);
        let Input {
            instructions,
            items,
        } = input(
            cx,
            &chat.fetched,
            instruction,
            &mut draft.names,
            &namespaces,
        )?;
        let Settings {
            config,
            mut fields,
            tools,
            tool_choice,
            schema,
            service_tier,
            reasons,
            mut envelope,
        } = self.settings(chat, draft, cx)?;
        envelope.plan.mark = mark(cx.model);
        let effort = taken_effort(&mut fields);
        // Without a parameter for reasoning there is none for its summary either.
        let has_summary = reasons && !self.native.efforts.is_empty() && !chat.hide_reasoning;
        let summary = has_summary.then_some("auto");
        let reasoning = (effort.is_some() || summary.is_some()).then_some(Reasoning {
            effort: effort.as_deref(),
            summary,
        });
        let format = schema.map(|schema| TextFormat {
            kind: "json_schema",
            name: schema.name,
            description: schema.description,
            schema: schema.schema,
            strict: schema.strict,
        });
        let verbosity = chat.verbosity.as_deref().filter(|_| self.native.verbosity);
        let text =
            (format.is_some() || verbosity.is_some()).then_some(TextConfig { format, verbosity });
        let custom = match cx.extras.custom_tools {
            true => envelope.plan.custom.clone(),
            false => HashSet::new(),
        };
        let names = envelope.plan.names.clone();
        let tool = |tool: body::Tool<'a>| match custom.contains(tool.function.name.as_ref()) {
            true => Tool::Custom(custom_tool(tool, chat, &names)),
            false => Tool::Function(function(tool)),
        };
        let tools = tools.into_iter().map(tool).collect();
        let tools = namespaces.grouped(tools, &mut envelope.plan);
        let continues = reasons && cx.model.facts.reasoning.redacted;
        envelope.with_body(&Request {
            model: self.id,
            instructions,
            input: items,
            max_output_tokens: config.max_tokens,
            tools,
            tool_choice: tool_choice.map(|one| choice(one, &custom)),
            text,
            reasoning,
            include: match continues {
                true => vec![ENCRYPTED_REASONING],
                false => Vec::new(),
            },
            service_tier,
            store: false,
            stream: self.stream.then_some(true),
            fields,
        })
    }
}

/// Takes the effort of reasoning out of the parameters of the model.
fn taken_effort(fields: &mut Map<String, Value>) -> Option<String> {
    let reasoning = fields.remove("reasoning")?;
    reasoning["effort"].as_str().map(str::to_owned)
}

fn function(tool: body::Tool<'_>) -> FunctionTool<'_> {
    let body::Function {
        name,
        description,
        parameters,
        strict,
    } = tool.function;
    FunctionTool {
        kind: tool.kind,
        name,
        description,
        parameters,
        strict: strict.unwrap_or(false),
    }
}

/// Returns the tool as the client declared it. Chat completions nest the grammar.
fn custom_tool<'a>(
    tool: body::Tool<'a>,
    chat: &'a Chat,
    names: &HashMap<String, String>,
) -> CustomTool<'a> {
    let body::Function {
        name, description, ..
    } = tool.function;
    let client = names
        .get(name.as_ref())
        .map_or(name.as_ref(), String::as_str);
    let mut declared = chat.tools.iter().flatten();
    let declared = declared.find_map(|tool| tool.custom.as_ref().filter(|own| own.name == client));
    let format = declared.and_then(|own| own.format.as_deref());
    CustomTool {
        kind: "custom",
        format: format.map(|format| flat(format).map_or(Cow::Borrowed(format), Cow::Owned)),
        name,
        description,
    }
}

/// Returns a format of chat completions in the form of Responses.
fn flat(format: &RawValue) -> Option<Box<RawValue>> {
    let mut format: Map<String, Value> = serde_json::from_str(format.get()).ok()?;
    let Some(Value::Object(grammar)) = format.remove("grammar") else {
        return None;
    };
    format.extend(grammar);
    to_raw_value(&format).ok()
}

fn choice<'a>(choice: body::ToolChoice<'a>, custom: &HashSet<String>) -> ToolChoice<'a> {
    match choice {
        body::ToolChoice::Mode(mode) => ToolChoice::Mode(mode),
        body::ToolChoice::Named { kind, function } => ToolChoice::Function {
            kind: match custom.contains(function.name.as_ref()) {
                true => "custom",
                false => kind,
            },
            name: function.name,
        },
    }
}
