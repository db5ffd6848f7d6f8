use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::{ConfigFile, Outcome, client, explain, print, table};
use crate::{
    call::{Caller, Route},
    catalogue::{self, Origin},
    config::{self, Environment},
    model::{Facts, Model, Target, Targets},
    operation::chat::route,
    upstream::{Clients, DiscoveredModel, Discovery},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Also list the models that the AWS account can call, by their Bedrock ids
    #[arg(long)]
    online: bool,
    /// Show the health of the targets that the running gateway has called, instead of the models
    #[arg(long, conflicts_with = "online")]
    health: bool,
    /// Make one paid call of this model in the running gateway, and print what came of it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["online", "health"])]
    test: Option<String>,
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

const HEALTH_HEADS: [&str; 4] = ["MODEL", "REGION", "BREAKER", "IN FLIGHT"];

pub async fn run(args: Args) -> Outcome {
    if args.health {
        return show_health(&args).await;
    }
    if let Some(name) = &args.test {
        return test(&args, name).await;
    }
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
    let found = match args.online {
        true => discovered(&config.aws).await,
        false => Vec::new(),
    };
    let listed = config.models.list();
    let text = if args.json {
        let configured = listed.map(|listed| object(listed.name, listed.model));
        let found = found.iter().map(|model| object(&model.name, model));
        let models: Vec<Value> = configured.chain(found).collect();
        format!("{}\n", Value::from(models))
    } else {
        let configured = listed.map(|listed| row(listed.name, listed.model, listed.alias));
        let found = found.iter().map(|model| row(&model.name, model, false));
        let rows = configured.chain(found);
        table::render(&HEADS, &rows.collect::<Vec<_>>())
            + "Prices are US dollars per million tokens.\n"
    };
    print(&text)
}

/// Prints what the admin API of the running gateway says about its targets.
async fn show_health(args: &Args) -> Outcome {
    let answer = client::ask(&args.file.config, Method::GET, "/admin/health", None).await;
    let answer = match answer {
        Ok(answer) if args.json => return print(&format!("{}\n", answer.text())),
        Ok(answer) => answer.json(),
        Err(outcome) => return outcome,
    };
    let targets = answer["targets"].as_array().cloned().unwrap_or_default();
    let rows = targets.iter().map(|target| {
        let text = |member: &str| target[member].as_str().unwrap_or_default().to_owned();
        let in_flight = target["in_flight"].as_u64().unwrap_or_default();
        [
            text("model"),
            text("region"),
            text("state"),
            in_flight.to_string(),
        ]
        .to_vec()
    });
    print(&table::render(&HEALTH_HEADS, &rows.collect::<Vec<_>>()))
}

/// Asks the running gateway to call a model.
async fn test(args: &Args, name: &str) -> Outcome {
    let path = format!("/admin/models/{name}/test");
    let answer = match client::ask(&args.file.config, Method::POST, &path, None).await {
        Ok(answer) => answer.json(),
        Err(outcome) => return outcome,
    };
    let text = if args.json {
        format!("{answer:#}\n")
    } else {
        let members = answer.as_object().into_iter().flatten();
        let rows: Vec<Vec<String>> = members
            .filter(|(_, value)| !value.is_null() && **value != json!([]))
            .map(|(name, value)| {
                let text = value.as_str().map(str::to_owned);
                vec![name.clone(), text.unwrap_or_else(|| value.to_string())]
            })
            .collect();
        table::render(&["MEMBER", "VALUE"], &rows)
    };
    match (print(&text), answer["ok"] == true) {
        (Outcome::Done, false) => Outcome::Failed("the model did not answer".to_owned()),
        (outcome, _) => outcome,
    }
}

/// The models that the account can call, each with the facts of the foundation model behind it. A list that fails is
/// reported on standard error.
async fn discovered(aws: &config::Aws) -> Vec<Model> {
    let region = &aws.region;
    let clients = Clients::new(aws.settings.clone(), region.clone(), [region.clone()]);
    let mantle = aws.places.mantle && route::has_mantle(region);
    let discovery = Discovery::new(Arc::new(clients), region.clone(), mantle);
    for failure in discovery.refresh().await {
        let (list, action, reason) = (failure.list, failure.action, failure.reason());
        eprintln!("lintel: cannot list {list}: {reason}; the role needs {action}");
    }
    let models = discovery.models().await;
    let model = |found: &DiscoveredModel| {
        let target = Target::new(&found.id, region);
        let described = found.base.as_ref().filter(|_| found.id.starts_with("arn:"));
        let described = described.map_or_else(|| target.clone(), |base| Target::new(base, region));
        Model {
            targets: Targets::one(target),
            ..catalogue::model(&found.id, described)
        }
    };
    models.iter().map(model).collect()
}

fn object(name: &str, model: &Model) -> Value {
    let price = model
        .price
        .as_deref()
        .map(|price| json!({"input": price.input.to_string(), "output": price.output.to_string()}));
    json!({
        "name": name, "model": model.name, "target": model.target().id, "region": model.target().region,
        "regions": model.targets.iter().map(|target| &target.region).collect::<Vec<_>>(), "fallbacks": model.fallbacks.errors,
        "base_model": model.base, "route": route(model), "routes": routes(model), "price": price,
        "default_max_tokens": model.default_max_tokens(), "max_output_tokens": model.facts.max_output_tokens,
        "context_window": model.facts.context_window,
        "lifecycle": {"status": model.facts.lifecycle.status.as_str(), "eol": model.facts.lifecycle.eol,
                      "successor": model.facts.lifecycle.successor},
        "price_sources": price_sources(model), "facts": facts(model),
    })
}

/// The regions of the model, in order of preference.
fn regions(model: &Model) -> String {
    let regions = model.targets.iter().map(|target| target.region.as_str());
    regions.collect::<Vec<_>>().join(", ")
}

/// The target by which the catalog knows the model: an ARN may not reveal its model.
fn described(model: &Model) -> Target {
    let target = model.target();
    match &model.base {
        Some(base) if catalogue::lookup(target).base.is_none() => Target {
            id: base.clone(),
            ..Target::clone(target)
        },
        _ => Target::clone(target),
    }
}

fn price_sources(model: &Model) -> Vec<Origin> {
    let target = described(model);
    match &model.price {
        Some(price) if catalogue::lookup(&target).price.as_ref() != Some(price) => configured(),
        _ => catalogue::price_origins(&target),
    }
}

/// Every fact with its value and its sources. A fact without a source has the default of a model that is not known.
fn facts(model: &Model) -> Value {
    let members = |facts: &Facts| serde_json::to_value(facts).unwrap_or_default();
    let target = described(model);
    let listed = members(&catalogue::lookup(&target).facts);
    let id = catalogue::parse_reference(&target.id)
        .base
        .unwrap_or_default();
    let mut facts = members(&model.facts);
    for (member, value) in facts.as_object_mut().into_iter().flatten() {
        let sources = match listed.get(member) == Some(value) {
            true => catalogue::fact_origins(id, member),
            false => configured(),
        };
        *value = json!({"value": value, "sources": sources});
    }
    facts
}

/// The source of what the operator sets.
fn configured() -> Vec<Origin> {
    vec![Origin {
        name: "configuration".to_owned(),
        date: None,
    }]
}

/// The API of Bedrock that a request without special needs uses.
fn route(model: &Model) -> Option<&'static str> {
    let facts = &model.facts;
    if facts.rerank.is_some() {
        return Some(Route::Rerank.as_str());
    }
    if facts.embed.is_some() || facts.draw.is_some() {
        return Some(Route::Invoke.as_str());
    }
    let explanation = route::explain(None, model, &Caller::default());
    explanation.choice.ok().map(|choice| choice.route.as_str())
}

/// Every API of Bedrock that serves the model, with what a chat loses on it.
fn routes(model: &Model) -> Value {
    match model.facts.modality.as_str() {
        "chat" => explain::routes(&route::explain(None, model, &Caller::default())),
        _ => model
            .facts
            .routes
            .iter()
            .map(|route| json!({"route": route}))
            .collect(),
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
        regions(model),
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
