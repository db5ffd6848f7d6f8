//! Beta flags and the members that they carry. InvokeModel has the flags in the body, Messages in a header.

use serde_json::{Map, Value, json};

use crate::{
    call::Warnings,
    catalogue::betas::{self, BINDING_CONTROLS},
    error::Error,
    model::Model,
    operation::chat::{
        Chat, Message, Part, SentOptions,
        messages_options::{BLOCK_BINDING, CONTEXT_MANAGEMENT, DEFER_LOADING, DISPLAY},
    },
    upstream::{converse::Extras, invoke::chat::body::Body},
};

/// The member of the body that enables features under test.
pub const BETAS: &str = "anthropic_beta";

/// The betas of one request.
#[derive(Default)]
pub struct RequestBetas<'a> {
    accepts: Vec<String>,
    sent: SentOptions<'a>,
    /// The gateway itself asks for the end of the binding, because its edits changed what precedes thinking.
    binds: bool,
    marks_text: bool,
}

impl<'a> RequestBetas<'a> {
    /// Selects what a route sends that accepts the flags in `accepts`, and warns about the rest. `marks_text` means that the
    /// text of turns is marked for a guardrail.
    pub fn new(
        chat: &'a Chat,
        messages: &[Message],
        model: &Model,
        accepts: &[String],
        marks_text: bool,
        warnings: &Warnings,
    ) -> Self {
        let has_display = model.facts.reasoning.display;
        let needs_display = |flag: &str| betas::carried(flag).iter().any(|name| name == DISPLAY);
        let is_known = |flag: &&String| {
            !model.refused_betas.contains(flag) && (has_display || !needs_display(flag))
        };
        let accepts: Vec<String> = accepts.iter().filter(is_known).cloned().collect();
        let sent = chat.messages_options.sent(&accepts);
        chat.messages_options.warn_of_rest(&sent, warnings);
        let thinks = |message: &Message| message.parts.iter().any(Part::is_thinking);
        let is_changed = marks_text && model.facts.reasoning.bound
            || chat.changes_prefix(model, sent.has(DEFER_LOADING));
        let binds = is_changed
            && accepts.iter().any(|flag| flag == BINDING_CONTROLS)
            && messages.iter().any(thinks);
        Self {
            accepts,
            sent,
            binds,
            marks_text,
        }
    }

    /// Returns what the flags turn on.
    pub fn effects(&self) -> Extras {
        Extras {
            defers_tools: self.sent.has(DEFER_LOADING),
            drops_changed_thinking: self.binds,
            marks_text: self.marks_text,
            custom_tools: false,
            namespaces: false,
        }
    }

    /// Moves the flags of the additional fields out of them, and returns all flags to send.
    pub fn flags(&self, fields: &mut Map<String, Value>, warnings: &Warnings) -> Vec<String> {
        let own = self.sent.betas.iter().map(|flag| (*flag).to_owned());
        let mut flags: Vec<String> = own.collect();
        let binding = self.binds.then(|| BINDING_CONTROLS.to_owned());
        for flag in self.of_fields(fields, warnings).into_iter().chain(binding) {
            if !flags.contains(&flag) {
                flags.push(flag);
            }
        }
        flags
    }

    fn of_fields(&self, fields: &mut Map<String, Value>, warnings: &Warnings) -> Vec<String> {
        let given = match fields.remove(BETAS) {
            Some(Value::Array(given)) => given,
            Some(one @ Value::String(_)) => vec![one],
            _ => return Vec::new(),
        };
        let mut accepted = Vec::new();
        for beta in given.iter().filter_map(Value::as_str).map(betas::current) {
            if self.accepts.iter().any(|known| known == beta) {
                accepted.push(beta.to_owned());
            } else {
                warnings.dropped(
                    format!("bedrock.additional_model_request_fields.{BETAS}"),
                    "this route does not accept this beta",
                );
            }
        }
        accepted
    }

    /// Adds the members of `thinking` that need a flag to the additional fields.
    pub fn add_thinking(&self, fields: &mut Map<String, Value>, model: &Model) {
        let mut members = Map::new();
        if self.sent.has(DISPLAY) {
            members.insert("display".to_owned(), "updates".into());
        }
        let own = self.sent.value(BLOCK_BINDING);
        let own = own.and_then(|own| serde_json::from_str(own.get()).ok());
        let binding = self
            .binds
            .then(|| json!({"prefix_mismatch_behavior": "drop_block"}));
        if let Some(binding) = binding.or(own) {
            members.insert("block_binding".to_owned(), binding);
        }
        if members.is_empty() {
            return;
        }
        match fields.get_mut("thinking") {
            Some(Value::Object(thinking)) => thinking.extend(members),
            Some(_) => {}
            // Adaptive thinking is what such a model does by itself.
            None if model.facts.reasoning.default_on => {
                members.insert("type".to_owned(), "adaptive".into());
                fields.insert("thinking".to_owned(), Value::Object(members));
            }
            None => {}
        }
    }

    /// Adds the members of the request itself.
    ///
    /// # Errors
    /// If a value cannot be serialized.
    pub fn add_members(&self, body: &mut Body) -> Result<(), Error> {
        body.set_some(CONTEXT_MANAGEMENT, self.sent.value(CONTEXT_MANAGEMENT))
    }
}
