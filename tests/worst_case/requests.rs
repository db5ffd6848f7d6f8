//! Random requests, as text: all members that can change what is sent, and text that is hostile to tokenizers.

mod tools;

use fastrand::Rng;

const PNG: &str = "data:image/jpeg;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Characters that become longer when a tokenizer normalizes them, alone or before a combining mark, and their marks.
const HOSTILE: [char; 24] = [
    '\u{fb2c}',
    '\u{fdfa}',
    '\u{1d160}',
    '\u{a8}',
    '\u{e9}',
    '\u{ac00}',
    '\u{1e17}',
    '\u{323}',
    '\u{301}',
    '\u{345}',
    '\u{1f82}',
    '\u{344}',
    '\u{958}',
    '\u{93c}',
    '\u{33c3}',
    '\u{3304}',
    '\u{3099}',
    '\u{622}',
    '\u{654}',
    '\u{1f600}',
    '\u{0}',
    '\u{7f}',
    '"',
    '\\',
];

/// Builds one request.
pub struct Generator<'a> {
    rng: &'a mut Rng,
    out: String,
}

impl<'a> Generator<'a> {
    pub fn new(rng: &'a mut Rng) -> Self {
        let out = String::with_capacity(1024);
        Self { rng, out }
    }

    /// Returns the body of a chat.
    pub fn chat(mut self) -> String {
        self.put(r#"{"model":"m","messages":["#);
        for nth in 0..=self.rng.usize(0..4) / 2 {
            self.separate(nth);
            self.message();
        }
        self.put("]");
        let members = [
            Self::tools,
            Self::format,
            Self::reasoning,
            Self::scalars,
            Self::bedrock,
        ];
        for add in members {
            if self.rng.bool() {
                add(&mut self);
            }
        }
        self.put("}");
        self.out
    }

    /// Returns a text.
    pub fn text(&mut self) -> String {
        let length = match self.rng.u8(..) {
            // Long enough that an error of a byte in each character exceeds what is reserved for templates.
            0..4 => self.rng.usize(0..1000),
            4..20 => self.rng.usize(0..60),
            _ => self.rng.usize(0..6),
        };
        match self.rng.u8(0..4) {
            0 => (0..length).map(|_| self.hostile()).collect(),
            1 => "é\u{323}".repeat(length),
            2 => (0..length).map(|_| self.rng.char('\0'..)).collect(),
            _ => "word ".repeat(length),
        }
    }

    fn hostile(&mut self) -> char {
        match self.rng.bool() {
            true => self.rng.choice(HOSTILE).unwrap(),
            // Blocks with many compositions and decompositions.
            false => {
                let (first, last) = self
                    .rng
                    .choice([
                        ('\u{a0}', '\u{250}'),
                        ('\u{300}', '\u{3ff}'),
                        ('\u{1e00}', '\u{1fff}'),
                        ('\u{f43}', '\u{fb9}'),
                        ('\u{2000}', '\u{2e00}'),
                        ('\u{3200}', '\u{33ff}'),
                        ('\u{fb00}', '\u{ffef}'),
                        ('\u{1d15e}', '\u{1d1c0}'),
                    ])
                    .unwrap();
                self.rng.char(first..=last)
            }
        }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn separate(&mut self, nth: usize) {
        if nth > 0 {
            self.out.push(',');
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(0..n) == 0
    }

    /// Appends a text as JSON, with some characters escaped.
    fn string(&mut self) {
        let text = self.text();
        let escaped = self.one_in(4);
        self.out.push('"');
        for c in text.chars() {
            let escape = escaped && self.rng.bool();
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if escape || u32::from(c) < 32 => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn mark(&mut self) {
        let mark = match self.rng.u8(0..8) {
            0 => r#","cache_control":{"type":"ephemeral"}"#,
            1 => r#","cache_control":{"type":"ephemeral","ttl":"1h"}"#,
            _ => "",
        };
        self.put(mark);
    }

    fn part(&mut self, media: bool) {
        match self.rng.u8(0..14) {
            0 if media => {
                self.put(r#"{"type":"image_url","image_url":{"url":""#);
                self.put(PNG);
                self.put("\"}");
            }
            1 if media => self.put(r#"{"type":"file","file":{"filename":"a b","file_data":"data:text/plain;base64,SGk="}"#),
            2 if media => {
                self.put(r#"{"type":"search_result","search_result":{"source":"s","title":"#);
                self.string();
                self.put(r#","content":"#);
                self.string();
                self.put("}");
            }
            3 if media => {
                self.put(r#"{"cachePoint":{"type":"default"}}"#);
                return;
            }
            _ => {
                self.put(r#"{"type":"text","text":"#);
                self.string();
            }
        }
        self.mark();
        self.put("}");
    }

    fn content(&mut self, media: bool) {
        self.put(r#","content":"#);
        if self.rng.bool() {
            return self.string();
        }
        self.put("[");
        for nth in 0..self.rng.usize(0..3) {
            self.separate(nth);
            self.part(media);
        }
        self.put("]");
    }

    fn message(&mut self) {
        match self.rng.u8(0..10) {
            role @ 0..3 => {
                let role = ["system", "developer", "assistant"][usize::from(role)];
                self.put(&format!(r#"{{"role":"{role}""#));
                self.content(false);
            }
            3 | 4 => {
                let calls = self.rng.usize(1..4);
                self.put(r#"{"role":"assistant","tool_calls":["#);
                for nth in 0..calls {
                    self.separate(nth);
                    self.call(&format!("call {nth}"));
                }
                self.put("]");
                if self.one_in(3) {
                    self.put(r#","reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"c2ln"}]"#);
                }
                self.put("}");
                for nth in 0..self.rng.usize(0..=calls) {
                    self.put(&format!(r#",{{"role":"tool","tool_call_id":"call {nth}""#));
                    self.content(true);
                    self.put("}");
                }
                return;
            }
            5 => {
                let arguments = self.arguments();
                self.put(&format!(
                    r#"{{"role":"assistant","function_call":{{"arguments":"{arguments}","#
                ));
                self.name();
                self.put("}");
            }
            _ => {
                self.put(r#"{"role":"user""#);
                self.content(true);
                if self.one_in(4) {
                    self.put(r#","name":"zoe""#);
                }
            }
        }
        self.put("}");
    }

    fn reasoning(&mut self) {
        let effort =
            ["none", "minimal", "low", "medium", "high", "xhigh", "max"][self.rng.usize(0..7)];
        let budget = self.rng.i32(-1..70_000);
        let more = match self.rng.u8(0..6) {
            0 | 1 => format!(r#","reasoning_effort":"{effort}""#),
            2 => format!(r#","reasoning":{{"max_tokens":{budget}}}"#),
            3 => format!(r#","thinking":{{"type":"enabled","budget_tokens":{budget}}}"#),
            4 => r#","thinking":{"type":"adaptive"}"#.to_owned(),
            5 => r#","enable_thinking":true"#.to_owned(),
            _ => String::new(),
        };
        self.put(&more);
    }

    fn scalars(&mut self) {
        if self.rng.bool() {
            let tokens = self.rng.u32(1..5000);
            self.put(&format!(r#","max_tokens":{tokens}"#));
        }
        if self.one_in(4) {
            let n = self.rng.u8(1..5);
            self.put(&format!(r#","n":{n}"#));
        }
        if self.one_in(5) {
            let tier = ["priority", "flex", "auto"][self.rng.usize(0..3)];
            self.put(&format!(r#","service_tier":"{tier}""#));
        }
        let rare = [
            r#","stream":true"#,
            r#","stop":["a","b"]"#,
            r#","top_k":5,"temperature":0.5"#,
            r#","parallel_tool_calls":false"#,
            r#","prompt_cache_retention":"24h""#,
            r#","cache_control":{"type":"ephemeral","ttl":"1h"}"#,
            r#","web_search_options":{}"#,
            r#","verbosity":"high""#,
            r#","metadata":{"a":"b"}"#,
        ];
        for member in rare {
            if self.one_in(7) {
                self.put(member);
            }
        }
    }

    fn bedrock(&mut self) {
        let members = [
            r#""performance":"optimized""#,
            r#""cache":"auto""#,
            r#""guardrail":{"identifier":"abc","version":"1","guard":"tool_results"}"#,
            r#""guardrail":{"identifier":"abc","version":"1","guard":"all_user"}"#,
            r#""additional_model_request_fields":{"thinking":{"type":"enabled","budget_tokens":60000}}"#,
            r#""additional_model_request_fields":{"response_format":{"type":"json_object","note":"ﷺ"},"seed":1}"#,
            r#""additional_model_request_fields":{"inferenceConfig":{"topK":3},"reasoningConfig":{"type":"enabled","maxReasoningEffort":"high"}}"#,
        ];
        if self.one_in(2) {
            let member = members[self.rng.usize(0..members.len())];
            self.put(&format!(r#","bedrock":{{{member}}}"#));
        }
    }
}
