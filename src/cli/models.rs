use serde_json::{Value, json};

use super::{ConfigFile, Outcome, print, table};
use crate::{
    call::Route,
    config::{self, Environment},
    model::Model,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HEADS: [&str; 7] = [
    "NAME",
    "TARGET",
    "REGION",
    "INPUT",
    "OUTPUT",
    "MAX OUTPUT",
    "LIFECYCLE",
];

pub fn run(args: &Args) -> Outcome {
    let config = match config::load(
        &args.file.config,
        &Environment::of_process(Vec::new()),
        None,
    ) {
        Ok((config, _)) => config,
        Err(problems) => {
            return Outcome::Misconfigured(args.file.config.display().to_string(), problems);
        }
    };
    let listed = config.models.list();
    let text = if args.json {
        let models: Vec<Value> = listed
            .map(|listed| object(listed.name, listed.model))
            .collect();
        format!("{}\n", Value::from(models))
    } else {
        let rows = listed.map(|listed| row(listed.name, listed.model, listed.alias));
        table::render(&HEADS, &rows.collect::<Vec<_>>())
            + "Prices are US dollars per million tokens.\n"
    };
    print(&text)
}

fn object(name: &str, model: &Model) -> Value {
    let price = model
        .price
        .as_deref()
        .map(|price| json!({"input": price.input.to_string(), "output": price.output.to_string()}));
    json!({
        "name": name, "model": model.name, "target": model.target().id, "region": model.target().region,
        "base_model": model.base, "route": route(model), "price": price,
        "default_max_tokens": model.defaults.max_tokens, "max_output_tokens": model.facts.max_output_tokens,
        "context_window": model.facts.context_window,
        "lifecycle": {"status": model.facts.lifecycle.status.as_str(), "eol": model.facts.lifecycle.eol,
                      "successor": model.facts.lifecycle.successor},
    })
}

/// The API of Bedrock that serves the model.
fn route(model: &Model) -> &'static str {
    match model.facts.embed {
        Some(_) => Route::Invoke.as_str(),
        None => Route::Converse.as_str(),
    }
}

fn row(name: &str, model: &Model, alias: bool) -> Vec<String> {
    let price = |of: fn(&crate::money::Price) -> crate::money::PicoUsd| {
        model
            .price
            .as_deref()
            .map_or_else(|| "?".to_owned(), |price| of(price).to_string())
    };
    let lifecycle = &model.facts.lifecycle;
    vec![
        name.to_owned(),
        if alias {
            format!("= {}", model.name)
        } else {
            model.target().id.clone()
        },
        model.target().region.clone(),
        price(|price| price.input),
        price(|price| price.output),
        model
            .facts
            .max_output_tokens
            .map_or_else(|| "?".to_owned(), |tokens| tokens.to_string()),
        [
            lifecycle.status.as_str(),
            lifecycle.eol.as_deref().unwrap_or_default(),
        ]
        .join(" ")
        .trim_end()
        .to_owned(),
    ]
}
