//! The items of a conversation.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use super::nullable;

/// An item of the input. It has no id, because ids refer to stored items.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputItem<'a> {
    Message {
        /// `user`, `assistant`, `system` or `developer`.
        role: &'static str,
        content: Content<'a>,
    },
    Reasoning(Box<ReasoningItem>),
    FunctionCall {
        call_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        name: Cow<'a, str>,
        /// JSON text.
        arguments: Cow<'a, str>,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Cow<'a, str>,
    },
    CustomToolCall {
        call_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        name: Cow<'a, str>,
        input: &'a str,
    },
    CustomToolCallOutput {
        call_id: Cow<'a, str>,
        output: Cow<'a, str>,
    },
}

/// A list of parts, written as a string if it is one text.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<InputPart<'a>>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [InputPart::InputText { text } | InputPart::OutputText { text }] => {
                text.serialize(serializer)
            }
            parts => parts.serialize(serializer),
        }
    }
}

/// A part of a message of the input.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputPart<'a> {
    InputText {
        text: Cow<'a, str>,
    },
    InputImage {
        image_url: String,
        /// `low`, `high` or `auto`.
        detail: &'a str,
    },
    /// Text of an earlier answer.
    OutputText {
        text: Cow<'a, str>,
    },
}

/// The reasoning before a message or a call. A client sends it back unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ReasoningItem {
    #[serde(deserialize_with = "nullable")]
    pub id: String,
    #[serde(deserialize_with = "nullable")]
    pub summary: Vec<ReasoningText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<ReasoningText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A part of a summary, or of reasoning as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ReasoningText {
    /// `summary_text` or `reasoning_text`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "nullable")]
    pub text: String,
}

/// An item of the output.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    Message(OutputMessage),
    Reasoning(Box<ReasoningItem>),
    FunctionCall(FunctionCall),
    CustomToolCall(CustomToolCall),
    /// Any other, such as a call of a tool that the service runs.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct OutputMessage {
    #[serde(default, deserialize_with = "nullable")]
    pub content: Vec<OutputPart>,
}

/// A part of a message of the output.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputPart {
    OutputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

/// A call of a function. Its result refers to `call_id`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FunctionCall {
    #[serde(deserialize_with = "nullable")]
    pub call_id: String,
    pub namespace: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// JSON text.
    #[serde(deserialize_with = "nullable")]
    pub arguments: String,
}

/// A call of a tool whose input is text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CustomToolCall {
    #[serde(deserialize_with = "nullable")]
    pub call_id: String,
    pub namespace: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub input: String,
    /// `completed`, `incomplete` or `in_progress`.
    pub status: Option<String>,
}
