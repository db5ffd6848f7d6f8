//! Answers computed from the request: the same request always gets the same answer.

use serde_json::{Value, json};

use super::{
    continued,
    fault::Plan,
    guardrail,
    in_call::{self, Evaluation},
    passages, schema,
};

/// The content of a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub blocks: Vec<Block>,
    pub stop_reason: &'static str,
    /// The one of `stopSequences` that ended the text.
    pub stop_sequence: Option<String>,
    pub input_tokens: usize,
    pub output_tokens: usize,
    pub guardrail: Evaluation,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    Text(String),
    Reasoning {
        text: String,
        signature: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    /// A call of a tool that the service runs itself; its result follows.
    ServerToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ServerToolResult {
        id: String,
        text: String,
    },
    Cited {
        text: String,
        citation: Value,
    },
}

impl Block {
    /// Counts one token per piece.
    fn tokens(&self) -> usize {
        match self {
            Self::Text(text) | Self::Reasoning { text, .. } | Self::Cited { text, .. } => {
                pieces(text).count()
            }
            Self::ServerToolUse { .. } | Self::ServerToolResult { .. } => 0,
            Self::ToolUse { name, input, .. } => {
                1 + pieces(name).count() + pieces(&input.to_string()).count()
            }
        }
    }
}

/// Computes the reply to a valid request. The model thinks if thinking is enabled, calls the tools that are forced or that
/// the last message names, answers in JSON if there is a schema, searches the web if it has the tool, cites a document if
/// citations are enabled, and otherwise echoes the last message within `maxTokens` and `stopSequences`.
/// `[simulate guardrail]` makes a guardrail intervene.
pub fn answer(request: &Value, plan: &Plan) -> Answer {
    let said = last_text(request);
    let mut blocks = Vec::new();
    let stop_reason;
    let mut stop_sequence = None;
    let intervenes = request["guardrailConfig"].is_object()
        && (plan.guardrail || guardrail::intervenes(request));
    if intervenes {
        blocks.push(Block::Text(guardrail::MESSAGE.to_owned()));
        stop_reason = "guardrail_intervened";
    } else {
        if thinks(request) {
            let text = "The user said something. I repeat it.".to_owned();
            blocks.push(Block::Reasoning {
                text,
                signature: "c2ltdWxhdGVkIHNpZ25hdHVyZQ==".to_owned(),
            });
        }
        let calls = calls(request, &said);
        if calls.is_empty() {
            blocks.extend(search(request, &said));
            let searched = matches!(blocks.last(), Some(Block::Cited { .. }));
            let (block, reason, stop) = text(request, plan, &said);
            blocks.extend(Some(block).filter(|_| !searched));
            (stop_reason, stop_sequence) = (reason, stop);
        } else {
            blocks.extend(calls);
            stop_reason = "tool_use";
        }
    }
    let output_tokens = blocks.iter().map(Block::tokens).sum();
    Answer {
        guardrail: in_call::evaluate(request, &blocks, intervenes),
        blocks,
        stop_reason,
        stop_sequence,
        input_tokens: input_tokens(request),
        output_tokens,
    }
}

/// The service's own web search, its result, and a text that cites it.
fn search(request: &Value, said: &str) -> Vec<Block> {
    let tools = request["toolConfig"]["tools"]
        .as_array()
        .into_iter()
        .flatten();
    let Some(name) = tools
        .filter_map(|tool| tool["systemTool"]["name"].as_str())
        .next()
    else {
        return Vec::new();
    };
    let id = format!(
        "srvtoolu_{}",
        request["messages"].as_array().map_or(0, Vec::len)
    );
    let citation = json!({"title": "A page", "location": {"web": {"url": "https://example.com/page", "domain": "example.com"}}});
    vec![
        Block::ServerToolUse {
            id: id.clone(),
            name: name.to_owned(),
            input: json!({"query": said}),
        },
        Block::ServerToolResult {
            id,
            text: "A page says so.".to_owned(),
        },
        Block::Cited {
            text: format!("The web says of '{said}': so."),
            citation,
        },
    ]
}

fn text(request: &Value, plan: &Plan, said: &str) -> (Block, &'static str, Option<String>) {
    if let Some(schema) =
        request["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str()
    {
        let schema = serde_json::from_str(schema).unwrap_or(Value::Null);
        return (
            Block::Text(schema::example(&schema, "value").to_string()),
            "end_turn",
            None,
        );
    }
    if let Some((index, document)) = cited_document(request) {
        let citation = json!({
            "title": document["name"], "sourceContent": [{"text": "a line"}],
            "location": {"documentPage": {"documentIndex": index, "start": 1, "end": 2}},
        });
        return (
            Block::Cited {
                text: "The document says so.".to_owned(),
                citation,
            },
            "end_turn",
            None,
        );
    }
    if let Some(json) = instructed(request, plan, said) {
        let json = plan
            .misfit
            .map_or(json.clone(), |misfit| misfit.spoil(&json));
        return (Block::Text(json), "end_turn", None);
    }
    let whole = |request: &Value, said: &str| match plan.words {
        Some(words) => vec!["word"; words].join(" "),
        None => {
            passages::answer(last_blocks(request)).unwrap_or_else(|| format!("You said: {said}"))
        }
    };
    let rest = continued::rest(request, |asked| whole(asked, &last_text(asked)));
    let mut text = rest.unwrap_or_else(|| whole(request, said));
    let config = &request["inferenceConfig"];
    let stops = config["stopSequences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let mut stop_reason = "end_turn";
    let mut met = None;
    if let Some((at, stop)) = stops
        .filter_map(|stop| Some((text.find(stop)?, stop)))
        .min()
    {
        text.truncate(at);
        (stop_reason, met) = ("stop_sequence", Some(stop.to_owned()));
    }
    let max_tokens = config["maxTokens"]
        .as_u64()
        .and_then(|max| usize::try_from(max).ok())
        .unwrap_or(usize::MAX);
    if pieces(&text).count() > max_tokens {
        text = pieces(&text).take(max_tokens).collect();
        (stop_reason, met) = ("max_tokens", None);
    }
    (Block::Text(text), stop_reason, met)
}

/// All instructions: the system text and, for families without one, the first message.
fn instructions(request: &Value) -> String {
    let first = &request["messages"][0]["content"];
    let lists = [&request["system"], first]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten();
    lists
        .filter_map(|block| block["text"].as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

/// JSON, if the instructions ask for nothing else. A prefilled brace is not repeated, unless a directive asks for it.
fn instructed(request: &Value, plan: &Plan, said: &str) -> Option<String> {
    let instructions = instructions(request);
    let json = match instructions.split_once("JSON schema:") {
        Some((_, schema)) => {
            let schema = serde_json::Deserializer::from_str(schema)
                .into_iter::<Value>()
                .next()?
                .ok()?;
            schema::example(&schema, "value")
        }
        None if instructions.contains("one JSON object and nothing else") => json!({"said": said}),
        None => return None,
    };
    let begun = last_blocks(request)
        .last()
        .is_some_and(|block| block["text"] == "{");
    let text = json.to_string();
    Some(match plan.anew.as_deref() {
        Some("fence") => format!("```json\n{text}\n```"),
        Some("prose") => format!("Here it is:\n{text}"),
        None if begun => text[1..].to_owned(),
        _ => text,
    })
}

fn thinks(request: &Value) -> bool {
    let fields = &request["additionalModelRequestFields"];
    let kind = fields["thinking"]["type"].as_str();
    matches!(kind, Some("enabled" | "adaptive"))
        || fields["reasoningConfig"]["type"] == "enabled"
        || fields["reasoning_effort"].is_string()
        || fields["reasoning"]["effort"]
            .as_str()
            .is_some_and(|effort| effort != "none")
}

/// Calls of the forced tool or of the tools that the last message names; none if the message brings results.
fn calls(request: &Value, said: &str) -> Vec<Block> {
    let config = &request["toolConfig"];
    let tools: Vec<&Value> = config["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| &tool["toolSpec"])
        .filter(|t| t.is_object())
        .collect();
    let choice = &config["toolChoice"];
    let own = &request["additionalModelRequestFields"]["tool_choice"];
    let forced = choice["tool"]["name"].as_str().or(own["name"].as_str());
    let any = choice["any"].is_object() || own["type"] == "any";
    let results = last_blocks(request)
        .iter()
        .any(|block| block["toolResult"].is_object());
    let named = |tool: &&Value| {
        let name = tool["name"].as_str().unwrap_or_default();
        said.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c))
            .map(|word| word.trim_end_matches('.'))
            .any(|word| word == name)
    };
    let instructed = instructions(request);
    let instructed = instructed
        .split_once("calling the tool '")
        .and_then(|(_, rest)| rest.split('\'').next());
    let any = any || instructions(request).contains("calling at least one of the tools");
    let mut chosen: Vec<&Value> = match forced.or(instructed) {
        Some(name) => tools
            .iter()
            .filter(|tool| tool["name"] == name)
            .copied()
            .collect(),
        None if results && !any => Vec::new(),
        None => tools.iter().copied().filter(named).collect(),
    };
    if any && chosen.is_empty() {
        chosen.extend(tools.last());
    }
    if own["disable_parallel_tool_use"] == true {
        chosen.truncate(1);
    }
    let turn = request["messages"].as_array().map_or(0, Vec::len);
    let block = |(nth, tool): (usize, &Value)| Block::ToolUse {
        id: format!("tooluse_{turn}_{nth}"),
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        input: schema::example(&tool["inputSchema"]["json"], "value"),
    };
    chosen.into_iter().enumerate().map(block).collect()
}

fn cited_document(request: &Value) -> Option<(usize, &Value)> {
    let messages = request["messages"].as_array().into_iter().flatten();
    let blocks = messages.flat_map(|message| message["content"].as_array().into_iter().flatten());
    let documents = blocks
        .map(|block| &block["document"])
        .filter(|document| document.is_object());
    documents
        .enumerate()
        .find(|(_, document)| document["citations"]["enabled"] == true)
}

/// Splits a text into pieces: a word with the space before it. One piece counts as one token.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest[first.len_utf8()..]
            .find(' ')
            .map_or(rest.len(), |at| at + first.len_utf8());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

fn last_blocks(request: &Value) -> &[Value] {
    let last = request["messages"]
        .as_array()
        .and_then(|messages| messages.last());
    last.and_then(|message| message["content"].as_array())
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn last_text(request: &Value) -> String {
    let blocks = last_blocks(request);
    let results = blocks
        .iter()
        .filter_map(|block| block["toolResult"]["content"].as_array());
    let results = results
        .flatten()
        .filter_map(|content| content["text"].as_str());
    let texts: Vec<&str> = results.chain(passages::said(blocks)).collect();
    texts.join(" ")
}

/// The number of tokens in all strings of a block.
pub fn weight(block: &Value) -> usize {
    match block {
        Value::String(text) => pieces(text).count(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.values().map(weight).sum(),
        _ => 0,
    }
}

fn input_tokens(request: &Value) -> usize {
    let texts = |list: &Value| -> usize {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|block| block["text"].as_str())
            .map(|text| pieces(text).count())
            .sum()
    };
    let messages = request["messages"].as_array().into_iter().flatten();
    texts(&request["system"])
        + weight(&request["toolConfig"]["tools"])
        + messages
            .map(|message| texts(&message["content"]))
            .sum::<usize>()
}
