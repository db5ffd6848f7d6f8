//! Content parts of a conversation arrive in Converse in the order in which the client wrote them.
//!
//! Converse forces these exceptions, and the test knows no others:
//! 1. The results of tools stand first in a user turn, in their own order.
//! 2. Blank text is dropped.
//! 3. Reasoning without a signature is dropped, because the model would not take it back.
//! 4. Reasoning at the end of an assistant turn is dropped. A turn that is then empty is dropped too, and
//!    its neighbors become one turn.
//! 5. Messages of one role that follow each other are one turn.
//! 6. A user turn that holds nothing gets a placeholder.

use lintel::{
    call::{Caller, Warnings},
    catalogue,
    model::Target,
    operation::Operation,
    upstream::converse::{self, Context},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

/// One part of an assistant's message.
#[derive(Clone, Debug)]
enum Said {
    Text(String),
    Thinking { text: String, signed: bool },
    Redacted(String),
    Call,
}

/// An assistant's turn and the user's turn after it.
#[derive(Clone, Debug)]
struct Exchange {
    said: Vec<Said>,
    /// The assistant's parts are spread over so many messages.
    messages: usize,
    /// Texts of the user.
    texts: Vec<String>,
    /// Decides the order of the results, and where they stand among the texts.
    order: Vec<u8>,
    /// Results are messages of the role `tool`; otherwise they are parts of the user's message.
    tool_messages: bool,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[a-z ]{0,6}[a-z]", 1 => " {0,2}"]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        2 => text().prop_map(Said::Text),
        2 => ("[a-z]{1,6}", prop::bool::weighted(0.8))
            .prop_map(|(text, signed)| Said::Thinking { text, signed }),
        1 => "[A-Za-z0-9]{4}".prop_map(Said::Redacted),
        2 => Just(Said::Call),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (
        prop::collection::vec(said(), 0..7),
        1usize..3,
        prop::collection::vec(text(), 0..4),
        prop::collection::vec(any::<u8>(), 10),
        any::<bool>(),
    )
        .prop_map(|(said, messages, texts, order, tool_messages)| Exchange {
            said,
            messages,
            texts,
            order,
            tool_messages,
        })
}

/// A block as the test compares it: its kind, and its text or id.
type Block = (&'static str, String);

/// A turn: whose it is, and its blocks.
type Turn = (&'static str, Vec<Block>);

/// A conversation as the client writes it, and as Converse should receive it.
#[derive(Default)]
struct Conversation {
    messages: Vec<Value>,
    turns: Vec<Turn>,
    calls: usize,
}

impl Conversation {
    fn add(&mut self, exchange: &Exchange) {
        let first = self.calls;
        let mut parts = Vec::new();
        let mut blocks: Vec<Block> = Vec::new();
        for said in &exchange.said {
            let (part, block) = self.part(said);
            parts.push(part);
            blocks.extend(block);
        }
        let size = parts.len().div_ceil(exchange.messages).max(1);
        for parts in parts.chunks(size) {
            self.messages
                .push(json!({"role": "assistant", "content": parts}));
        }
        let reasoning = ["thinking", "redacted"];
        while blocks
            .pop_if(|(kind, _)| reasoning.contains(kind))
            .is_some()
        {}
        if !blocks.is_empty() {
            self.turns.push(("assistant", blocks));
        }
        self.answer(exchange, first);
    }

    fn part(&mut self, said: &Said) -> (Value, Option<Block>) {
        match said {
            Said::Text(text) => {
                let block = (!text.trim().is_empty()).then(|| ("text", text.clone()));
                (json!({"type": "text", "text": text}), block)
            }
            Said::Thinking { text, signed: true } => (
                json!({"type": "thinking", "thinking": text, "signature": "c2ln", "index": 0}),
                Some(("thinking", text.clone())),
            ),
            Said::Thinking { text, .. } => (json!({"type": "thinking", "thinking": text}), None),
            Said::Redacted(data) => (
                json!({"type": "redacted_thinking", "data": data}),
                Some(("redacted", data.clone())),
            ),
            Said::Call => {
                let id = format!("call_{}", self.calls);
                self.calls += 1;
                let part = json!({"type": "tool_use", "id": id, "name": "f", "input": {"a": 1}});
                (part, Some(("call", id)))
            }
        }
    }

    /// The user's turn: a result for each call since `first`, among texts.
    fn answer(&mut self, exchange: &Exchange, first: usize) {
        let mut order = exchange.order.iter().cycle();
        let mut place = || usize::from(*order.next().unwrap());
        let mut results: Vec<String> = Vec::new();
        for call in first..self.calls {
            results.insert(place() % (results.len() + 1), format!("call_{call}"));
        }
        let mut parts: Vec<Value> = exchange
            .texts
            .iter()
            .map(|text| json!({"type": "text", "text": text}))
            .collect();
        if exchange.tool_messages {
            let messages = results
                .iter()
                .map(|id| json!({"role": "tool", "tool_call_id": id, "content": "done"}));
            self.messages.extend(messages);
        } else {
            // Texts and results mix, each in its own order.
            let mut from = 0;
            for id in &results {
                from += place() % (parts.len() - from + 1);
                let part = json!({"type": "tool_result", "tool_use_id": id, "content": "done"});
                parts.insert(from, part);
                from += 1;
            }
        }
        self.messages
            .push(json!({"role": "user", "content": parts}));
        let results = results.into_iter().map(|id| ("result", id));
        let texts = exchange.texts.iter().filter(|text| !text.trim().is_empty());
        let blocks = results.chain(texts.map(|text| ("text", text.clone())));
        self.user(blocks.collect());
    }

    fn user(&mut self, blocks: Vec<Block>) {
        match self.turns.last_mut() {
            Some(("user", last)) => last.extend(blocks),
            _ => self.turns.push(("user", blocks)),
        }
    }

    fn ask(&mut self, text: &str) {
        self.messages.push(json!({"role": "user", "content": text}));
        self.user(vec![("text", text.to_owned())]);
    }

    /// The turns, with a placeholder in those that hold nothing.
    fn expected(mut self) -> Vec<Turn> {
        for (_, blocks) in &mut self.turns {
            if blocks.is_empty() {
                blocks.push(("text", ".".to_owned()));
            }
        }
        self.turns
    }
}

/// The turns of a request to Converse.
fn received(request: &Value) -> Vec<(String, Vec<Block>)> {
    let block = |block: &Value| -> Block {
        let reasoning = &block["reasoningContent"];
        let known = [
            ("text", &block["text"]),
            ("thinking", &reasoning["reasoningText"]["text"]),
            ("redacted", &reasoning["redactedContent"]),
            ("call", &block["toolUse"]["toolUseId"]),
            ("result", &block["toolResult"]["toolUseId"]),
        ];
        let found = known
            .into_iter()
            .find_map(|(kind, value)| Some((kind, value.as_str()?.to_owned())));
        found.unwrap_or_else(|| panic!("{block}"))
    };
    let turn = |message: &Value| {
        let blocks = message["content"].as_array().unwrap().iter().map(block);
        (
            message["role"].as_str().unwrap().to_owned(),
            blocks.collect(),
        )
    };
    let messages = request["messages"].as_array().unwrap();
    messages.iter().map(turn).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn content_parts_arrive_in_the_order_of_the_client(
        exchanges in prop::collection::vec(exchange(), 1..4),
    ) {
        let mut conversation = Conversation::default();
        conversation.ask("Use f");
        exchanges.iter().for_each(|exchange| conversation.add(exchange));
        // After a turn without calls the model may reason, whatever the turns before it hold.
        conversation.add(&Exchange {
            said: vec![Said::Text("Done.".to_owned())],
            messages: 1,
            texts: Vec::new(),
            order: vec![0],
            tool_messages: false,
        });
        conversation.ask("Go on");
        let body = json!({
            "model": "m", "messages": conversation.messages, "reasoning_effort": "low",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        });
        let model = catalogue::model("m", Target::new(HAIKU, "us-east-1"));
        let (caller, warnings) = (Caller::default(), Warnings::default());
        let body = body.to_string();
        let chat = lintel::edge::chat_request(body.as_bytes(), &warnings).unwrap();
        chat.plan(&model, &caller).unwrap();
        let cx = Context { model: &model, caller: &caller, warnings: &warnings, messages: &chat.messages, extras: Default::default() };
        let translated = converse::chat_request(&chat, &cx).unwrap();
        let request = serde_json::to_value(&translated.request).unwrap();
        let checked = lintel::simulator::validate(HAIKU, request.to_string().as_bytes(), false);
        prop_assert!(checked.is_ok(), "{checked:?}: {request}");
        let expected: Vec<(String, Vec<Block>)> = conversation
            .expected()
            .into_iter()
            .map(|(role, blocks)| (role.to_owned(), blocks))
            .collect();
        prop_assert_eq!(received(&request), expected, "{}", body);
    }
}
