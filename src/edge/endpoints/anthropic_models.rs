//! The list of models in Anthropic's form, for clients that send `anthropic-version`.

use jiff::Timestamp;

use crate::{
    anthropic::models::{ModelInfo, ModelList},
    openai::models::ModelObject,
};

/// Returns the list of the models that answer messages. It has one page, whatever `limit` the client sends.
pub fn list<'a>(models: &'a [ModelObject<'a>]) -> ModelList<'a> {
    let data: Vec<_> = models
        .iter()
        .filter(|model| chats(model))
        .map(info)
        .collect();
    ModelList {
        has_more: false,
        first_id: data.first().map(|model| model.id),
        last_id: data.last().map(|model| model.id),
        data,
    }
}

/// Returns one model.
pub fn info<'a>(model: &'a ModelObject<'a>) -> ModelInfo<'a> {
    let created = i64::try_from(model.created).unwrap_or_default();
    ModelInfo {
        r#type: "model",
        id: model.id,
        display_name: model.name.unwrap_or(model.id),
        created_at: Timestamp::from_second(created)
            .unwrap_or_default()
            .to_string(),
        max_input_tokens: model.context_window,
        max_tokens: model.max_output_tokens,
        lifecycle: model.lifecycle.status,
    }
}

fn chats(model: &ModelObject<'_>) -> bool {
    model.default_max_tokens.is_some() && model.output_modalities.contains(&"text")
}
