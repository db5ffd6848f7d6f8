//! Tools and the tool choice of a request.

use super::body;
use crate::{
    bedrock::request::{Tool, ToolChoice, ToolConfig},
    model::Facts,
    model::ToolChoiceMode,
};

/// Returns `tools` and `tool_choice` for the tools that Converse would get.
pub fn tools<'a>(
    config: Option<ToolConfig<'a>>,
    facts: &Facts,
) -> (Vec<body::Tool<'a>>, Option<body::ToolChoice<'a>>) {
    let Some(config) = config else {
        return (Vec::new(), None);
    };
    let tools = config.tools.into_iter().filter_map(|tool| match tool {
        Tool::ToolSpec(spec) => Some(body::Tool {
            kind: "function",
            function: body::Function {
                name: spec.name,
                description: spec.description,
                parameters: spec.input_schema.json,
                strict: spec.strict,
            },
        }),
        // The endpoints cache by themselves, and run no tools. The planner keeps Claude's own tools away.
        Tool::CachePoint(_) | Tool::SystemTool { .. } | Tool::ClientTool { .. } => None,
    });
    let choice = match config.tool_choice {
        // Left to its default, a family may not offer to call a tool at all.
        None => facts
            .tool_choice
            .contains(&ToolChoiceMode::Auto)
            .then_some(body::ToolChoice::Mode("auto")),
        Some(ToolChoice::Any {}) => Some(body::ToolChoice::Mode("required")),
        Some(ToolChoice::Tool { name }) => Some(body::ToolChoice::Named {
            kind: "function",
            function: body::Name { name },
        }),
    };
    (tools.collect(), choice)
}
