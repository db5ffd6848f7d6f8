//! `fallbacks` of a model.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::{diagnostics::Diagnostics, reader::Section},
    model::{Fallbacks, Model},
};

/// Reads a list of models, or a table with a list for each cause.
pub fn read(section: &mut Section<'_>) -> Fallbacks {
    if !section.is_table("fallbacks") {
        return Fallbacks {
            errors: section.strings("fallbacks").unwrap_or_default(),
            ..Fallbacks::default()
        };
    }
    let mut own = section.section("fallbacks");
    let mut list = |key| own.strings(key).unwrap_or_default();
    let fallbacks = Fallbacks {
        errors: list("errors"),
        context_length: list("context_length"),
        content_filter: list("content_filter"),
    };
    own.finish();
    fallbacks
}

/// Reports fallbacks that lead nowhere. `resolve` returns the model that a name leads to, if it is known, and `is_alias` tells
/// which names are aliases.
pub fn check(
    named: &BTreeMap<String, Arc<Model>>,
    resolve: impl Fn(&str) -> Option<Arc<Model>>,
    is_alias: impl Fn(&str) -> bool,
    diagnostics: &Diagnostics,
) {
    for model in named.values() {
        let problem = |text: String| {
            diagnostics.problem(format!("models.{}.fallbacks", model.name), None, text);
        };
        for list in [
            &model.fallbacks.errors,
            &model.fallbacks.context_length,
            &model.fallbacks.content_filter,
        ] {
            let is_again = |(index, name): &(usize, &String)| list[..*index].contains(name);
            if let Some((_, name)) = list.iter().enumerate().find(is_again) {
                problem(format!("'{name}' is named twice"));
            }
        }
        for name in model.fallbacks.iter() {
            let other = resolve(name);
            let is_itself = other.as_ref().is_some_and(|other| other.name == model.name);
            if other.is_some_and(|other| other.facts.is_not_for_chats()) {
                problem(format!("'{name}' does not chat"));
            }
            if *name == model.name {
                problem(format!("'{name}' is the model itself"));
            } else if is_itself {
                problem(format!("'{name}' is an alias of the model itself"));
            } else if !named.contains_key(name) && !is_alias(name) {
                problem(format!("no model has the name '{name}'"));
            }
        }
        if model.facts.embed.is_some() && model.fallbacks.iter().next().is_some() {
            problem(
                "vectors of two models cannot be compared, so this model can have none".to_owned(),
            );
        }
    }
}
