//! The route of each model of the catalogue for requests with different needs.

use insta::assert_snapshot;
use lintel::{
    call::{Caller, Route},
    catalogue,
    model::{Model, Target},
    operation::chat::{
        Chat,
        route::{self, BUILT},
    },
    upstream::Exchange,
};
use serde_json::{Value, json};

use super::settings;

/// A gateway that can use every route of chats.
const ALL: &[Route] = &[
    Route::Converse,
    Route::Invoke,
    Route::Chat,
    Route::MantleChat,
    Route::Responses,
    Route::MantleResponses,
    Route::Messages,
    Route::MantleMessages,
];

/// The names of the cases, and what each adds to a plain request.
fn cases() -> [(&'static str, Value); 5] {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    [
        ("plain", json!({})),
        ("tools", json!({"tools": [tool]})),
        (
            "guardrail",
            json!({"bedrock": {"guardrail": {"identifier": "abc", "version": "1"}}}),
        ),
        ("schema", json!({"response_format": schema})),
        ("stop", json!({"stop": ["END"]})),
    ]
}

fn chat(more: &Value) -> Chat {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    lintel::edge::chat_request(request.to_string().as_bytes(), &Default::default()).unwrap()
}

fn chosen(model: &Model, chat: &Chat, built: &[Route]) -> String {
    let caller = Caller::default();
    match route::choose(model, &route::needs_of(chat, model, &caller), built) {
        Ok(choice) => match choice.reason {
            Some(reason) => format!("{} ({reason})", choice.route.as_str()),
            None => choice.route.as_str().to_owned(),
        },
        Err(error) => format!("{}: {error}", error.code().unwrap_or_default()),
    }
}

/// Models with the same choices share a paragraph, so that a difference is easy to see.
#[test]
fn every_model_has_its_route() {
    let cases = cases().map(|(name, more)| (name, chat(&more)));
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for id in catalogue::ids() {
        let model = catalogue::model("m", Target::new(id, "us-east-1"));
        let choices = cases
            .iter()
            .map(|(name, chat)| (*name, chosen(&model, chat, ALL)));
        let mut text = String::new();
        let mut last = String::new();
        for (name, choice) in choices {
            match choice == last {
                true => text.push_str(&format!(", {name}")),
                false => text.push_str(&format!("\n  {choice}: {name}")),
            }
            last = choice;
        }
        match rows.iter_mut().find(|(known, _)| *known == text) {
            Some((_, ids)) => ids.push(id),
            None => rows.push((text, vec![id])),
        }
    }
    let count: usize = rows.iter().map(|(_, ids)| ids.len()).sum();
    assert_eq!(count, 176);
    let text: String = rows
        .iter()
        .map(|(text, ids)| format!("{}{text}\n", ids.join("\n")))
        .collect::<Vec<_>>()
        .join("\n");
    settings().bind(|| assert_snapshot!("routes", text));
}

#[test]
fn only_routes_with_a_codec_are_chosen() {
    let routes = catalogue::ids().flat_map(|id| {
        let model = catalogue::model("m", Target::new(id, "us-east-1"));
        model.facts.routes.clone()
    });
    for route in routes.chain(ALL.iter().copied()) {
        let is_built = BUILT.contains(&route);
        assert_eq!(Chat::codec(route).is_some(), is_built, "{}", route.as_str());
    }
    for id in catalogue::ids() {
        let model = catalogue::model("m", Target::new(id, "us-east-1"));
        for (_, more) in cases() {
            let chat = chat(&more);
            match route::of(&chat, &model, &Caller::default()) {
                Ok(choice) => assert!(Chat::codec(choice.route).is_some(), "{id}"),
                Err(error) => assert!(
                    matches!(
                        error.code(),
                        Some("model_not_found" | "unsupported_parameter")
                    ),
                    "{id}: {error}"
                ),
            }
        }
    }
}
