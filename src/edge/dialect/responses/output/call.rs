//! Items that are complete when they end: calls of tools and images.

use serde::de::IgnoredAny;
use serde_json::{Value, json, value::RawValue};

use super::{
    super::{events::Events, names::Named},
    Open, Output,
};
use crate::openai::{
    completion::Image,
    responses::served::{EventBody, OutputItem, Status},
};

/// A call whose arguments arrive.
#[derive(Debug)]
pub struct Call {
    id: String,
    /// The number of the call in the answer.
    index: u32,
    call_id: String,
    named: Named,
    form: Form,
    /// The arguments so far, or the input of a custom tool.
    arguments: String,
}

/// The type of the item that a call becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Function,
    Custom,
    /// A search for tools, which has no events for its arguments.
    Search,
}

impl Form {
    fn id_prefix(self) -> &'static str {
        match self {
            Self::Function => "fc",
            Self::Custom => "ctc",
            Self::Search => "tsc",
        }
    }
}

impl Call {
    fn item(&self, status: Status, arguments: &str) -> OutputItem {
        let (id, call_id) = (self.id.clone(), self.call_id.clone());
        let Named { namespace, name } = self.named.clone();
        match self.form {
            Form::Function => OutputItem::FunctionCall {
                id,
                status,
                call_id,
                name,
                namespace,
                arguments: arguments.to_owned(),
            },
            Form::Custom => OutputItem::CustomToolCall {
                id,
                status,
                call_id,
                name,
                namespace,
                input: arguments.to_owned(),
            },
            Form::Search => OutputItem::ToolSearchCall {
                id,
                status,
                call_id,
                execution: "client",
                arguments: object(arguments),
            },
        }
    }

    fn add(&mut self, fragment: &str, index: usize, events: &mut Events) {
        self.arguments.push_str(fragment);
        let kind = match self.form {
            Form::Function => "response.function_call_arguments.delta",
            Form::Custom => "response.custom_tool_call_input.delta",
            Form::Search => return,
        };
        let body = EventBody {
            delta: Some(fragment),
            ..self.body(index)
        };
        events.write(kind, body);
    }

    /// Writes the event that ends the arguments, and returns the item.
    pub fn end(mut self, status: Status, index: usize, events: &mut Events) -> OutputItem {
        if self.arguments.is_empty() && self.form != Form::Custom {
            self.arguments.push_str("{}");
        }
        let is_whole = || serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok();
        // A client must not run half a call.
        let status = match self.form {
            Form::Function if !is_whole() => Status::Incomplete,
            _ => status,
        };
        match self.form {
            Form::Function => {
                let body = EventBody {
                    name: Some(&self.named.name),
                    arguments: Some(&self.arguments),
                    ..self.body(index)
                };
                events.write("response.function_call_arguments.done", body);
            }
            Form::Custom => {
                let body = EventBody {
                    input: Some(&self.arguments),
                    ..self.body(index)
                };
                events.write("response.custom_tool_call_input.done", body);
            }
            Form::Search => {}
        }
        self.item(status, &self.arguments)
    }

    fn body(&self, index: usize) -> EventBody<'_> {
        EventBody {
            item_id: Some(&self.id),
            output_index: Some(index),
            ..EventBody::default()
        }
    }
}

/// Returns JSON text as an object. Text that is none becomes the query.
fn object(text: &str) -> Box<RawValue> {
    let own = RawValue::from_string(text.to_owned());
    let own = own.ok().filter(|own| own.get().starts_with('{'));
    own.unwrap_or_else(|| {
        let query = json!({"query": text}).to_string();
        // A serialized value is valid JSON.
        RawValue::from_string(query).unwrap_or_default()
    })
}

impl Output {
    /// Adds arguments to the open call. Those of a call that has ended are dropped.
    pub(super) fn arguments(&mut self, nth: u32, fragment: &str) {
        let index = self.items.len();
        if let Some(Open::Call(call)) = &mut self.open
            && call.index == nth
        {
            call.add(fragment, index, &mut self.events);
        }
    }

    /// Ends the open call.
    pub(super) fn end_call(&mut self, nth: u32, status: Status) {
        match self.open.take() {
            Some(Open::Call(call)) if call.index == nth => {
                let item = call.end(status, self.items.len(), &mut self.events);
                self.done(item);
            }
            other => self.open = other,
        }
    }

    pub(super) fn start_call(&mut self, index: u32, call_id: &str, name: &str, is_custom: bool) {
        self.close(Status::Completed);
        let form = match is_custom {
            true => Form::Custom,
            false if self.settings.names.is_search(name) => Form::Search,
            false => Form::Function,
        };
        let call = Call {
            id: self.next_id(form.id_prefix()),
            index,
            call_id: call_id.to_owned(),
            named: self.settings.names.client(name),
            form,
            arguments: String::new(),
        };
        let begun = call.item(
            Status::InProgress,
            if form == Form::Search { "{}" } else { "" },
        );
        self.added(&begun);
        self.open = Some(Open::Call(call));
    }

    pub(super) fn image(&mut self, image: Image) {
        self.close(Status::Completed);
        let Image::ImageUrl { image_url } = image;
        let data = image_url.url.split_once("base64,");
        let item = OutputItem::ImageGenerationCall {
            id: self.next_id("ig"),
            status: Status::Completed,
            result: data.map_or_else(String::new, |(_, data)| data.to_owned()),
        };
        self.whole_item(item.clone(), item, &[]);
    }

    /// Adds a search that AWS ran. Its results are part of the model's text.
    pub(super) fn server_tool(&mut self, block: &Value) {
        let Some(call) = block.get("toolUse") else {
            return;
        };
        self.close(Status::Completed);
        let query = call.pointer("/input/query").and_then(Value::as_str);
        let item = |status| OutputItem::WebSearchCall {
            id: self.next_id("ws"),
            status,
            action: json!({"type": "search", "query": query.unwrap_or_default()}),
        };
        let (begun, done) = (item(Status::InProgress), item(Status::Completed));
        let events = [
            "response.web_search_call.in_progress",
            "response.web_search_call.searching",
            "response.web_search_call.completed",
        ];
        self.whole_item(begun, done, &events);
    }
}
