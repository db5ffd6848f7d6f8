use std::{fs, path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use super::{ConfigFile, Outcome, print, table};
use crate::{
    call::{Caller, Route, Warnings},
    catalogue,
    config::{self, Config, Environment},
    edge,
    model::{Model, Target},
    operation::chat::{
        Chat,
        route::{self, Choice, Explanation, Feature, RouteExplanation},
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A configured name, or a Bedrock id
    model: String,
    /// A file with the body of a chat completion; without it, what any request would lose is listed
    #[arg(value_name = "REQUEST")]
    request: Option<PathBuf>,
    /// Without this file, the defaults apply
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HEADS: [&str; 3] = ["ROUTE", "STATUS", "LOSES"];

pub fn run(args: &Args) -> Outcome {
    let environment = Environment::of_process(Vec::new());
    let path = &args.file.config;
    let config = match path
        .exists()
        .then(|| config::load(path, &environment, None))
    {
        None => None,
        Some(Ok((config, _))) => Some(config),
        Some(Err(problems)) => {
            return Outcome::Misconfigured(path.display().to_string(), problems);
        }
    };
    let model = match model(&args.model, config.as_ref(), &environment) {
        Ok(model) => model,
        Err(text) => return Outcome::Failed(text),
    };
    let chat = match args.request.as_ref().map(read).transpose() {
        Ok(chat) => chat,
        Err(text) => return Outcome::Failed(text),
    };
    let explanation = route::explain(chat.as_ref(), &model, &Caller::default());
    if args.json {
        let mut all = object(&explanation);
        all["target"] = called(&model, &explanation).id.into();
        all["endpoint"] = endpoint(&model).into();
        if endpoint(&model).is_some() {
            for (one, shown) in explanation
                .routes
                .iter()
                .zip(all["routes"].as_array_mut().into_iter().flatten())
            {
                shown["not_used"] = unused(&model, one.route).into();
            }
        }
        return print(&format!("{all}\n"));
    }
    print(&text(&model, &explanation))
}

/// Returns the model that requests would reach by `name`.
fn model(
    name: &str,
    config: Option<&Config>,
    environment: &Environment,
) -> Result<Arc<Model>, String> {
    if let Some(model) = config.and_then(|config| config.models.resolve(name).ok()) {
        return Ok(model);
    }
    if !name.contains('.') && !name.starts_with("arn:") {
        return Err(format!(
            "'{name}' is neither a configured name nor a Bedrock id"
        ));
    }
    let region = match config {
        Some(config) => config.aws.region.as_str(),
        None => ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .find_map(|name| environment.variable(name))
            .unwrap_or("us-east-1"),
    };
    let target = Target::new(name, region);
    let known = config.and_then(|config| config.models.known_raw(&target));
    Ok(known.unwrap_or_else(|| Arc::new(catalogue::model(name, target))))
}

fn read(path: &PathBuf) -> Result<Chat, String> {
    let body =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    edge::chat_request(&body, &Warnings::default())
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// The target that a call would have.
fn called(model: &Model, explanation: &Explanation) -> Target {
    let choice = explanation.choice.as_ref().ok();
    let profile = choice.and_then(|choice| catalogue::profile_of(model, choice.route));
    profile.unwrap_or_else(|| Target::clone(model.target()))
}

fn text(model: &Model, explanation: &Explanation) -> String {
    let target = called(model, explanation);
    let mut text = format!("{} in {}\n\n", target.id, target.region);
    let rows = explanation.routes.iter().map(|one| {
        let loses: Vec<&str> = one.loses.iter().map(|feature| feature.as_str()).collect();
        vec![
            one.route.as_str().to_owned(),
            match (endpoint(model), unused(model, one.route)) {
                (Some(endpoint), None) => format!("used by POST {endpoint}"),
                (Some(_), Some(why)) => format!("not used: {why}"),
                (None, _) => status(one, explanation.choice.as_ref().ok()),
            },
            match loses.is_empty() {
                true => "nothing".to_owned(),
                false => loses.join(", "),
            },
        ]
    });
    text.push_str(&table::render(&HEADS, &rows.collect::<Vec<_>>()));
    match (endpoint(model), &explanation.choice) {
        (Some(_), Err(error)) => text.push_str(&format!("\n{error}\n")),
        (None, Err(error)) => text.push_str(&format!("\nNot served: {error}\n")),
        (_, Ok(_)) => {}
    }
    text
}

/// The endpoint of a model that is not for chats.
fn endpoint(model: &Model) -> Option<&'static str> {
    model.facts.purpose().map(|purpose| purpose.endpoint)
}

/// Returns why the endpoint of a model that is not for chats does not use the route, or `None` if it does.
fn unused(model: &Model, route: Route) -> Option<&'static str> {
    let ranks = model.facts.rerank.is_some();
    match (route, model.options.has_api_key) {
        (Route::Rerank, true) => Some("it accepts no API key of Bedrock"),
        (Route::Rerank, false) => None,
        (Route::Invoke, false) if ranks => Some("only with an API key of Bedrock"),
        (Route::Invoke, _) => None,
        _ => Some("this version of lintel does not support it"),
    }
}

fn status(one: &RouteExplanation, choice: Option<&Choice>) -> String {
    match choice.filter(|choice| choice.route == one.route) {
        Some(Choice {
            reason: Some(reason),
            ..
        }) => format!("chosen ({reason})"),
        Some(_) => "chosen".to_owned(),
        None => match one.strike {
            Some(strike) => format!("not used: {}", strike.as_str()),
            None => "possible".to_owned(),
        },
    }
}

fn object(explanation: &Explanation) -> Value {
    let choice = explanation.choice.as_ref();
    json!({
        "route": choice.ok().map(|choice| choice.route),
        "reason": choice.ok().and_then(|choice| choice.reason),
        "error": choice.err().map(ToString::to_string),
        "routes": routes(explanation),
    })
}

/// The routes that serve the model, each with what a request loses on it, and with the reason why it is not used.
pub fn routes(explanation: &Explanation) -> Value {
    let one = |one: &RouteExplanation| {
        let loses: Vec<&str> = one
            .loses
            .iter()
            .map(|feature| Feature::word(*feature))
            .collect();
        json!({"route": one.route, "not_used": one.strike.map(|strike| strike.as_str()), "loses": loses})
    };
    explanation.routes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model that ranks lost tools and images, and its other route was not for chats.
    #[test]
    fn model_that_ranks_is_not_explained_as_one_for_chats() {
        let id = "cohere.rerank-v3-5:0";
        let model = catalogue::model(id, Target::new(id, "us-east-1"));
        let explanation = route::explain(None, &model, &Caller::default());
        let text = text(&model, &explanation);
        assert!(text.contains("used by POST /v1/rerank"), "{text}");
        assert!(text.contains("only with an API key"), "{text}");
        assert!(!text.contains("tools"), "{text}");
        assert!(!text.contains("chats cannot"), "{text}");
    }
}
