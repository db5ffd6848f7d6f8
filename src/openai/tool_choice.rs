//! `tool_choice`, and its legacy form `function_call`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{capped, chat::MAX_TOOLS, knowledge_base::FILE_SEARCH};

/// A mode, one named tool, or a list of allowed tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// The model must call this function or custom tool.
    Named(String),
    /// The model may call only `tools`; `mode` is `auto` or `required`.
    Allowed {
        mode: String,
        tools: Vec<String>,
        /// The types of the allowed tools that have no name, such as `web_search`.
        hosted: Vec<String>,
    },
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(default)]
    function: Option<Name>,
    #[serde(default)]
    custom: Option<Name>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct AllowedTools {
    mode: String,
    #[serde(deserialize_with = "capped::list::<_, _, MAX_TOOLS>")]
    tools: Vec<Tool>,
}

#[derive(Deserialize)]
struct Object {
    /// Set only in the legacy `function_call`.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    function: Option<Name>,
    #[serde(default)]
    custom: Option<Name>,
    #[serde(default)]
    allowed_tools: Option<AllowedTools>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ToolChoice;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", \"auto\", \"required\" or an object that names a tool")
            }
            fn visit_str<E>(self, mode: &str) -> Result<ToolChoice, E> {
                Ok(ToolChoice::Mode(mode.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToolChoice, A::Error> {
                let object = Object::deserialize(MapAccessDeserializer::new(map))?;
                let named = object
                    .function
                    .or(object.custom)
                    .map(|named| named.name)
                    .or(object.name);
                match (named, object.allowed_tools) {
                    (Some(name), _) => Ok(ToolChoice::Named(name)),
                    (None, Some(allowed)) => {
                        let (mut tools, mut hosted) = (Vec::new(), Vec::new());
                        for tool in allowed.tools {
                            match (tool.function.or(tool.custom), tool.kind) {
                                (Some(named), _) => tools.push(named.name),
                                (None, Some(kind)) if kind != "function" && kind != "custom" => {
                                    hosted.push(kind);
                                }
                                (None, _) => {
                                    return Err(A::Error::custom(
                                        "a tool in 'allowed_tools' has no name",
                                    ));
                                }
                            }
                        }
                        Ok(ToolChoice::Allowed {
                            mode: allowed.mode,
                            tools,
                            hosted,
                        })
                    }
                    // The gateway always searches, so the model chooses freely among the other tools.
                    (None, None) if object.kind.as_deref() == Some(FILE_SEARCH) => {
                        Ok(ToolChoice::Mode("auto".to_owned()))
                    }
                    (None, None) => Err(A::Error::custom("an object here must name a tool")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
