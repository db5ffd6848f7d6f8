//! Changes of the tools in the middle of a conversation. No route has them, so the list becomes the one that is valid at the end.

use std::collections::{HashMap, HashSet};

use crate::{
    anthropic::{
        content::{Block, Content, Message, Role},
        request::Tool,
    },
    call::Warnings,
    error::Error,
};

/// The changes of one conversation.
#[derive(Debug, Default)]
pub struct ToolChanges {
    /// Whether the model can call a tool, by its name. The last change decides.
    is_offered: HashMap<String, bool>,
    /// Tools that a message defines, with their paths.
    defined: Vec<(String, Tool)>,
    /// The references to tools: their paths and names, and whether they add the tool.
    references: Vec<(String, String, bool)>,
}

impl ToolChanges {
    /// Takes the changes out of the messages of the role `system`.
    ///
    /// # Errors
    /// 400 with the path of a change without a tool.
    pub fn take(messages: &mut [Message], warnings: &Warnings) -> Result<Self, Error> {
        let mut changes = Self::default();
        for (index, message) in messages.iter_mut().enumerate() {
            if let (Role::System, Content::Blocks(blocks)) = (message.role, &mut message.content) {
                for (nth, block) in blocks.iter_mut().enumerate() {
                    let at = format!("messages[{index}].content[{nth}].tool");
                    changes.add(block, at, warnings)?;
                }
            }
        }
        Ok(changes)
    }

    fn add(&mut self, block: &mut Block, at: String, warnings: &Warnings) -> Result<(), Error> {
        let is_addition = match block.kind.as_str() {
            "tool_addition" => true,
            "tool_removal" => false,
            _ => return Ok(()),
        };
        let change = block.tool.take().map(|change| *change);
        let Some(change) = change else {
            let text = format!("A block of type '{}' needs 'tool'.", block.kind);
            return Err(Error::invalid(at, text).with_code("missing_required_parameter"));
        };
        let name = match (change.kind.as_str(), change.definition, change.name) {
            ("tool_reference", _, Some(name)) => {
                let reference = (format!("{at}.name"), name.clone(), is_addition);
                self.references.push(reference);
                name
            }
            ("tool_definition", Some(tool), _) if is_addition => {
                let name = tool.name.clone();
                self.defined.retain(|(_, known)| known.name != name);
                self.defined.push((format!("{at}.definition"), tool));
                name
            }
            (kind, ..) if kind.starts_with("mcp_") => {
                warnings.dropped(at, "this gateway calls no MCP servers");
                return Ok(());
            }
            _ => {
                let text = "'tool' must be a 'tool_reference' with 'name', or, in a 'tool_addition', a 'tool_definition' with 'definition'.";
                return Err(Error::invalid(at, text));
            }
        };
        self.is_offered.insert(name, is_addition);
        Ok(())
    }

    /// Reports whether there are changes.
    pub fn is_any(&self) -> bool {
        !self.is_offered.is_empty()
    }

    /// Reports whether a message has added the tool, so that it is not deferred any more.
    pub fn has_added(&self, name: &str) -> bool {
        self.is_offered.get(name) == Some(&true)
    }

    /// Returns the tools that the model can call, with their paths, out of those that the request declares and those that
    /// messages define. Warns about the removal of a tool that does not exist.
    ///
    /// # Errors
    /// 400 with the path of an addition that refers to such a tool.
    pub fn offered(
        &mut self,
        declared: Vec<Tool>,
        warnings: &Warnings,
    ) -> Result<Vec<(String, Tool)>, Error> {
        self.check_references(&declared, warnings)?;
        let defined = std::mem::take(&mut self.defined);
        let is_redefined = |tool: &Tool| defined.iter().any(|(_, own)| own.name == tool.name);
        let declared = declared.into_iter().enumerate();
        let mut tools: Vec<(String, Tool)> = declared
            .map(|(index, tool)| (format!("tools[{index}]"), tool))
            .filter(|(_, tool)| !is_redefined(tool))
            .collect();
        tools.extend(defined);
        tools.retain(|(_, tool)| self.is_offered.get(&tool.name) != Some(&false));
        Ok(tools)
    }

    fn check_references(&self, declared: &[Tool], warnings: &Warnings) -> Result<(), Error> {
        let defined = self.defined.iter().map(|(_, tool)| tool);
        let known: HashSet<&str> = declared
            .iter()
            .chain(defined)
            .map(|tool| &*tool.name)
            .collect();
        for (at, name, is_addition) in &self.references {
            if known.contains(name.as_str()) {
                continue;
            }
            if *is_addition {
                let text = format!(
                    "No tool has the name '{name}'. Declare it in 'tools', or add it with a 'tool_definition'."
                );
                return Err(Error::invalid(at.clone(), text));
            }
            warnings.add(format!("{at}: ignored (no tool has this name)"));
        }
        Ok(())
    }
}
