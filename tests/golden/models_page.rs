//! `docs/models.md`: what each model of the catalogue can do through this gateway. `make catalogue` writes it.

use std::{fmt::Write, fs, path::Path};

use lintel::{
    call::{Caller, Route},
    catalogue,
    model::{Facts, LifecycleStatus, Model, ReasoningStyle, Target},
    operation::chat::route::{Feature, RouteExplanation, Strike, carries, explain},
};

const HEAD: &str = "\
# Models

<!-- Written by `make catalogue` from the catalog; a test checks that it is current. Do not edit it. -->

The models of Bedrock, and what each can do through lintel. [The catalog](catalog.md) says where the facts come from, and
`lintel explain MODEL` explains one model. Other ids work too: Bedrock rejects what a model does not support.

## Chats

- **Routes**: the APIs of Bedrock in [order of preference](routes.md). Those in parentheses are called only if the operator sets `api`, and
  this version cannot call those in brackets.
- **Streaming**: *whole with tools* means that a request with tools is sent whole, and its reply is sent to the client as a stream.
- **Tools**: the forms of `tool_choice` that the model accepts (`any` is OpenAI's `required`). lintel emulates the others.
- **System**: *in the first turn* means that lintel puts the system text before the first message of the user.
- **Structured output**: *emulated* means by a tool or by an instruction, and the answer is checked.
- **Caching**: the shortest prefix that a cache point saves, in tokens; *automatic* without cache points.
- **Guardrail**: *in the call*, or only *applied* by lintel around the call ([guardrails](guardrails.md)).

";

const CHAT_COLUMNS: &str = "| Models | Routes | Streaming | Tools | Images | Documents | Video | System | Reasoning | \
     Structured output | Caching | Guardrail |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";

/// One chat model.
struct Row<'m> {
    model: &'m Model,
    routes: Vec<RouteExplanation>,
}

impl Row<'_> {
    fn facts(&self) -> &Facts {
        &self.model.facts
    }

    /// Reports whether a route that the gateway chooses carries `feature`.
    fn carries(&self, feature: Feature) -> bool {
        let mut usable = self.routes.iter().filter(|route| route.strike.is_none());
        usable.any(|route| carries(route.route, feature, self.facts()))
    }

    fn has(&self, fact: bool, feature: Feature) -> &'static str {
        match fact && self.carries(feature) {
            true => "yes",
            false => "–",
        }
    }

    fn routes(&self) -> String {
        let names = self.routes.iter().map(|route| {
            let name = route.route.as_str();
            match route.strike {
                None => name.to_owned(),
                Some(Strike::Unproven | Strike::RuntimeServes) => format!("({name})"),
                Some(_) => format!("[{name}]"),
            }
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn streaming(&self) -> &'static str {
        let facts = self.facts();
        match (facts.stream, facts.tools && !facts.stream_with_tools) {
            (false, _) => "–",
            (true, false) => "yes",
            (true, true) => "whole with tools",
        }
    }

    fn tools(&self) -> String {
        let facts = self.facts();
        if !facts.tools || !self.carries(Feature::Tools) {
            return "–".to_owned();
        }
        let own = |route: Route| route == Route::Converse || route == Route::Invoke;
        let is_own = self.routes.first().is_some_and(|first| own(first.route));
        let choices = match &facts.native {
            Some(native) if !is_own => &native.tool_choice,
            _ => &facts.tool_choice,
        };
        let names = choices
            .iter()
            .map(|choice| format!("{choice:?}").to_lowercase());
        names.collect::<Vec<_>>().join(", ")
    }

    fn reasoning(&self) -> String {
        let reasoning = &self.facts().reasoning;
        let native = self.facts().native.as_ref();
        let by_effort = native.is_some_and(|native| !native.efforts.is_empty());
        let how = match reasoning.style {
            ReasoningStyle::Budget => "budget",
            ReasoningStyle::Adaptive => "adaptive",
            ReasoningStyle::None if !by_effort => match reasoning.inline_tag {
                Some(_) => "in the text",
                None => "",
            },
            _ => "effort",
        };
        let always = match (reasoning.cannot_disable, reasoning.default_on) {
            (true, _) => "always",
            (false, true) => "by default",
            (false, false) => "",
        };
        let parts: Vec<&str> = [how, always]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        match parts.is_empty() {
            true => "–".to_owned(),
            false => parts.join(", "),
        }
    }

    fn structured(&self) -> &'static str {
        let facts = self.facts();
        let native = self.routes.iter().any(|route| {
            let is_native = matches!(route.route, Route::Chat | Route::MantleChat);
            is_native && route.strike.is_none() && carries(route.route, Feature::JsonSchema, facts)
        });
        match facts.structured_output || native {
            true => "yes",
            false => "emulated",
        }
    }

    fn caching(&self) -> String {
        match &self.facts().cache {
            Some(cache) if self.carries(Feature::CachePoint) => {
                format!("from {}", cache.min_tokens)
            }
            _ => {
                let price = self.model.price.as_ref();
                let is_priced = price.is_some_and(|price| price.cache_read.is_some());
                if is_priced { "automatic" } else { "–" }.to_owned()
            }
        }
    }

    /// All columns but the first.
    fn columns(&self) -> String {
        let facts = self.facts();
        let system = if facts.system {
            "yes"
        } else {
            "in the first turn"
        };
        let guardrail = match self.carries(Feature::Guardrail) {
            true => "in the call",
            false => "applied",
        };
        [
            &self.routes(),
            self.streaming(),
            &self.tools(),
            self.has(facts.image, Feature::Image),
            self.has(facts.document, Feature::Document),
            self.has(facts.video, Feature::Video),
            system,
            &self.reasoning(),
            self.structured(),
            &self.caching(),
            guardrail,
        ]
        .join(" | ")
    }
}

/// Models with the same columns share a row, in the order of the first of them.
fn table(rows: impl Iterator<Item = (String, String)>) -> String {
    let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
    for (id, columns) in rows {
        match grouped.iter_mut().find(|(known, _)| *known == columns) {
            Some((_, ids)) => ids.push(id),
            None => grouped.push((columns, vec![id])),
        }
    }
    let mut text = String::new();
    for (columns, ids) in grouped {
        let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        writeln!(text, "| {} | {columns} |", ids.join(", ")).unwrap();
    }
    text
}

fn chat_row(model: &Model) -> String {
    let routes = explain(None, model, &Caller::default()).routes;
    Row { model, routes }.columns()
}

/// The columns of a model that does not chat: endpoint, routes, and what it takes. `None` if the gateway has no endpoint
/// for it.
fn other_row(facts: &Facts) -> Option<String> {
    let list = |items: &[String]| items.join(", ");
    let (endpoint, details) = match (&facts.embed, &facts.draw, &facts.rerank) {
        (Some(embed), ..) => {
            let sizes: Vec<String> = embed.dimensions.iter().map(u32::to_string).collect();
            let images = match embed.family.takes_images() {
                true => "texts and images",
                false => "texts",
            };
            let details = format!(
                "{images} of up to {} tokens; {} dimensions",
                embed.max_tokens,
                list(&sizes)
            );
            ("embeddings", details)
        }
        (_, Some(draw), _) => {
            let endpoint = match facts.modality.as_str() {
                "image_edit" => "images/edits",
                _ => "images/generations",
            };
            (endpoint, format!("needs {}", list(&draw.needs)))
        }
        (.., Some(_)) => ("rerank", "a query and documents".to_owned()),
        _ => return None,
    };
    let routes: Vec<&str> = facts
        .routes
        .iter()
        .filter(|route| **route != Route::Async)
        .map(|route| route.as_str())
        .collect();
    Some(format!(
        "`/v1/{endpoint}` | {} | {details}",
        routes.join(", ")
    ))
}

fn why_not(facts: &Facts) -> &'static str {
    match facts.modality.as_str() {
        "speech" => "speech over a bidirectional stream",
        "video" => "video, made asynchronously into S3",
        _ => "no supported route",
    }
}

fn page() -> String {
    let models: Vec<(&str, Model)> = catalogue::ids()
        .map(|id| (id, catalogue::model(id, Target::new(id, "us-east-1"))))
        .collect();
    let is_old = |model: &Model| model.facts.lifecycle.status == LifecycleStatus::Eol;
    let live = || models.iter().filter(|(_, model)| !is_old(model));
    let chats = live().filter(|(_, model)| model.facts.modality == "chat");
    let others = || live().filter(|(_, model)| model.facts.modality != "chat");
    let mut text = HEAD.to_owned() + CHAT_COLUMNS;
    text += &table(chats.map(|(id, model)| ((*id).to_owned(), chat_row(model))));
    text += "\n## Embeddings, images and reranking\n\n| Models | Endpoint | Routes | Input |\n|---|---|---|---|\n";
    text += &table(
        others().filter_map(|(id, model)| Some(((*id).to_owned(), other_row(&model.facts)?))),
    );
    text += "\n## Not served\n\n| Models | Why |\n|---|---|\n";
    let unserved = others().filter(|(_, model)| other_row(&model.facts).is_none());
    text +=
        &table(unserved.map(|(id, model)| ((*id).to_owned(), why_not(&model.facts).to_owned())));
    text += "\n## Past their end of life\n\nlintel sends requests to these models, with a warning. Bedrock answers them only for accounts with extended access.\n\n";
    let old: Vec<String> = models
        .iter()
        .filter(|(_, model)| is_old(model))
        .map(|(id, _)| format!("`{id}`"))
        .collect();
    writeln!(text, "{}.", old.join(", ")).unwrap();
    text
}

#[test]
fn page_of_models_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md");
    let page = page();
    if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/models.md is not current. Write it with INSTA_UPDATE=always cargo test --test gateway page_of_models"
    );
}
