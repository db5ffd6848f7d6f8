//! The tool calls of an answer.

use std::{collections::VecDeque, sync::Arc};

use super::{Answer, Block};
use crate::{
    operation::chat::{Chunk, ObjectScan, Progress},
    upstream::converse::custom_input::CustomInput,
};

/// The type of a tool use that AWS answers. It is never passed on as a call for the client.
const SERVER_TOOL_USE: &str = "server_tool_use";

impl Answer {
    /// Starts a tool use block.
    pub fn tool_start(
        &mut self,
        block: u32,
        id: &str,
        name: &str,
        kind: Option<&str>,
        out: &mut VecDeque<Chunk>,
    ) {
        self.size.reply_bytes += name.len();
        if kind == Some(SERVER_TOOL_USE) {
            let state = Block::ServerCall {
                id: id.to_owned(),
                name: name.to_owned(),
                input: String::new(),
            };
            self.blocks.open(block, state);
            return;
        }
        let plan = self.plan.clone();
        if plan.json_tool.as_deref() == Some(name) {
            let state = match self.json_tool_used {
                true => Block::Muted,
                false => Block::Json,
            };
            self.json_tool_used = true;
            self.blocks.open(block, state);
            return;
        }
        if plan.mute
            || self.filter.is_cut()
            || ((plan.one_call || plan.legacy) && self.tool_calls > 0)
        {
            self.blocks.open(block, Block::Muted);
            return;
        }
        let index = self.tool_calls;
        self.tool_calls += 1;
        let shown: Arc<str> = plan.names.get(name).map_or(name, String::as_str).into();
        let state = if plan.custom.contains(name) {
            let id: Arc<str> = id.into();
            out.push_back(Chunk::CustomToolStart {
                index,
                id: id.clone(),
                name: shown.clone(),
            });
            Block::Custom {
                index,
                id,
                name: shown.to_string(),
                input: CustomInput::default(),
            }
        } else if plan.legacy {
            out.push_back(Chunk::FunctionCall(shown));
            Block::Function {
                scan: ObjectScan::default(),
            }
        } else {
            out.push_back(Chunk::ToolCall {
                index,
                id: id.into(),
                name: shown,
            });
            Block::ToolCall {
                index,
                scan: ObjectScan::default(),
            }
        };
        self.blocks.open(block, state);
    }

    /// Adds a fragment of the JSON input of a tool use block.
    pub fn tool_input(&mut self, block: u32, fragment: String, out: &mut VecDeque<Chunk>) {
        if fragment.is_empty() {
            return;
        }
        self.size.reply_bytes += fragment.len();
        match self.blocks.get(block) {
            Some(Block::ToolCall { index, scan }) => {
                scan.push(&fragment);
                out.push_back(Chunk::ToolArguments {
                    index: *index,
                    fragment,
                });
            }
            Some(Block::Function { scan }) => {
                scan.push(&fragment);
                out.push_back(Chunk::FunctionArguments(fragment));
            }
            Some(Block::Custom { index, input, .. }) => {
                let text = input.push(&fragment);
                if !text.is_empty() {
                    out.push_back(Chunk::CustomToolInput {
                        index: *index,
                        fragment: text.to_owned(),
                    });
                }
            }
            Some(Block::ServerCall { input, .. }) => input.push_str(&fragment),
            Some(Block::Json) => self.content(fragment, out),
            Some(_) => {}
            None => self.unknown("a part of the arguments of no known tool call"),
        }
    }

    /// Reports whether the input of a tool use block is a whole object. More of it makes it invalid.
    pub fn is_input_complete(&self, block: u32) -> bool {
        match self.blocks.find(block) {
            Some(Block::ToolCall { scan, .. } | Block::Function { scan }) => {
                scan.progress() == Progress::Complete
            }
            Some(Block::Custom { input, .. }) => input.is_complete(),
            _ => false,
        }
    }
}
