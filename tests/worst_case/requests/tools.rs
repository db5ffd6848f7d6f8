//! Tools, calls of tools, and schemas.

use super::Generator;

impl Generator<'_> {
    pub(super) fn name(&mut self) {
        let name = match self.rng.u8(0..6) {
            0 => "n".repeat(self.rng.usize(1..64)),
            1 => "é".repeat(70),
            2 => "a b.c".to_owned(),
            _ => ["f", "g", "look_up"][self.rng.usize(0..3)].to_owned(),
        };
        self.put(&format!(r#""name":"{name}""#));
    }

    pub(super) fn arguments(&mut self) -> String {
        match self.rng.u8(0..9) {
            0 => String::new(),
            1 => "{broken".to_owned(),
            2 => "[1]".to_owned(),
            // A key that is sent again if tools are rebuilt from the history.
            3 => format!(r#"{{\"{}\":1}}"#, "k".repeat(self.rng.usize(1..900))),
            4 => r#"{\"a\":1,\"a\":2,\"\\u00a8\":\"\ufdfa\"}"#.to_owned(),
            5 => r#"{\"a\":1}{\"b\":[[2]]}"#.to_owned(),
            _ => "{}".to_owned(),
        }
    }

    pub(super) fn call(&mut self, id: &str) {
        if self.one_in(6) {
            self.put(&format!(r#"{{"id":"{id}","type":"custom","custom":{{"#));
            self.name();
            self.put(r#","input":"#);
            self.string();
        } else {
            let arguments = self.arguments();
            self.put(&format!(
                r#"{{"id":"{id}","type":"function","function":{{"arguments":"{arguments}","#
            ));
            self.name();
        }
        self.put("}}");
    }

    fn schema(&mut self) {
        let long = "d".repeat(self.rng.usize(0..40));
        match self.rng.u8(0..8) {
            0 => self.put("{}"),
            1 => self.put(r##"{"type":"object","properties":{"p":{"$ref":"#/$defs/node"}},"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}}}}}"##),
            2 => self.put(r#"{"type":"array","items":{"type":"string","minLength":3}}"#),
            3..=5 => {
                let keyword = ["anyOf", "oneOf", "allOf"][self.rng.usize(0..3)];
                self.put(&format!(r#"{{"type":"object","properties":{{"p":{{"type":"string","description":"{long}"}}}},"{keyword}":["#));
                for nth in 0..self.rng.usize(1..6) {
                    self.separate(nth);
                    self.put(&format!(r#"{{"properties":{{"b{nth}":{{"type":["string","null"]}}}},"required":["b{nth}"]}}"#));
                }
                self.put("]}");
            }
            _ => {
                self.put(r#"{"type":"object","properties":{"x":{"type":"string","pattern":"(?=a)b","description":"#);
                self.string();
                self.put(r#"}},"required":["x"],"additionalProperties":false}"#);
            }
        }
    }

    pub(super) fn tools(&mut self) {
        let list = match self.rng.u8(0..6) {
            0 => "functions",
            _ => "tools",
        };
        self.put(&format!(r#","{list}":["#));
        for nth in 0..self.rng.usize(1..4) {
            self.separate(nth);
            let is_tool = list == "tools";
            if is_tool && self.one_in(8) {
                self.put(r#"{"type":"web_search"}"#);
                continue;
            }
            if is_tool && self.one_in(8) {
                self.put(r#"{"type":"custom","custom":{"#);
                self.name();
                self.put(
                    r#","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"#,
                );
                self.string();
                self.put("}}}}");
                continue;
            }
            self.put(if is_tool {
                r#"{"type":"function","function":{"#
            } else {
                "{"
            });
            self.name();
            if self.rng.bool() {
                self.put(r#","description":"#);
                self.string();
            }
            if self.one_in(3) {
                self.put(r#","strict":true"#);
            }
            if !self.one_in(4) {
                self.put(r#","parameters":"#);
                self.schema();
            }
            if is_tool {
                self.put("}");
                self.mark();
            }
            self.put("}");
        }
        self.put("]");
        let choice = match self.rng.u8(0..7) {
            0 => r#","tool_choice":"required""#,
            1 => r#","tool_choice":"none""#,
            2 => r#","tool_choice":{"type":"function","function":{"name":"f"}}"#,
            3 => {
                r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}"#
            }
            4 => {
                r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#
            }
            _ => "",
        };
        self.put(choice);
    }

    pub(super) fn format(&mut self) {
        match self.rng.u8(0..5) {
            0 => self.put(r#","response_format":{"type":"json_object"}"#),
            1 | 2 => {
                let strict = self.rng.bool();
                self.put(&format!(r#","response_format":{{"type":"json_schema","json_schema":{{"name":"a b","strict":{strict},"schema":"#));
                self.schema();
                self.put("}}");
            }
            _ => {}
        }
    }
}
