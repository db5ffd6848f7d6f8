//! `[defaults]` and `[models.*]`.

mod fallbacks;
mod regions;

use std::{collections::BTreeMap, sync::Arc};

use self::regions::Regions;
use super::{Places, diagnostics::Diagnostics, governance, options, reader::Section};
use crate::{
    dispatch::Models,
    model::{
        Apply, DefaultMaxTokens, DroppedParameters, Model, ModelDefaults, ModelOptions,
        RetryPolicy, Target, Timeouts,
    },
    operation::chat::route,
    upstream::AwsSettings,
};

/// The name of the template of raw Bedrock ids, and what stands for its id.
const RAW: &str = "raw";

/// `[defaults]`: settings of every model that does not set its own.
pub struct Defaults {
    max_tokens: DefaultMaxTokens,
    pub timeouts: Timeouts,
    raw_model_ids: bool,
    dropped_parameters: DroppedParameters,
    pub retry: RetryPolicy,
    pub allow_unpriced: bool,
    pub drain: bool,
    /// Models continue answers whose streams break, if they can.
    resume: bool,
    /// Requests carry a Bedrock API key.
    pub has_api_key: bool,
    regions: Regions,
}

pub fn defaults(mut section: Section<'_>, aws: Option<&AwsSettings>) -> Defaults {
    let has_api_key = aws.is_some_and(|aws| aws.api_key.is_some());
    let has_connect = section.contains("connect_timeout");
    let known = Regions::of_accounts(aws);
    let Model {
        timeouts,
        defaults,
        dropped_parameters,
        ..
    } = Model::new("", Target::new("", ""));
    let max_tokens = section.max_tokens("max_tokens");
    let defaults = Defaults {
        max_tokens: section.or_default("max_tokens", max_tokens, defaults.max_tokens),
        timeouts: Timeouts {
            connect: section.duration_or("connect_timeout", timeouts.connect),
            whole: section.duration_or("timeout", timeouts.whole),
            first_token: section.duration_or("first_token_timeout", timeouts.first_token),
            idle: section.duration_or("idle_timeout", timeouts.idle),
        },
        raw_model_ids: section.boolean("raw_model_ids", true),
        dropped_parameters: read_dropped_parameters(&mut section, dropped_parameters),
        retry: options::retry(&mut section, RetryPolicy::default()),
        allow_unpriced: section.choice(
            "unpriced_models",
            &[("refuse", false), ("allow", true)],
            false,
        ),
        drain: section.choice("on_disconnect", &[("drain", true), ("cancel", false)], true),
        resume: section.boolean("resume", false),
        has_api_key,
        regions: regions::read(&mut section, &known),
    };
    check_connect(&section, has_connect, defaults.timeouts);
    section.finish();
    defaults
}

/// Reports a `connect_timeout` of `section` that no call would have, because its time to the first token ends before.
fn check_connect(section: &Section<'_>, has_connect: bool, timeouts: Timeouts) {
    let first_token = timeouts.first_token;
    if has_connect && timeouts.connect > first_token {
        let seconds = first_token.as_secs_f64();
        let text = format!("must not be longer than first_token_timeout, which is {seconds} s");
        section.problem_at("connect_timeout", text);
    }
}

fn read_dropped_parameters(
    section: &mut Section<'_>,
    default: DroppedParameters,
) -> DroppedParameters {
    let choices = [
        ("warn", DroppedParameters::Warn),
        ("refuse", DroppedParameters::Refuse),
    ];
    section.choice("dropped_parameters", &choices, default)
}

/// Reads all models, then resolves the aliases.
pub fn models(
    sections: Vec<(String, Section<'_>)>,
    defaults: &Defaults,
    region: &str,
    places: Places,
    diagnostics: &Diagnostics,
) -> Models {
    let names: Vec<String> = sections.iter().map(|(name, _)| name.clone()).collect();
    let mut named = BTreeMap::new();
    let mut alias_targets: BTreeMap<String, Alias> = BTreeMap::new();
    for (name, mut section) in sections {
        let Some(target) = section.string("target") else {
            section.problem(
                "'target' is missing: a Bedrock model id, an inference profile id, an ARN, or another model's name",
            );
            continue;
        };
        if names.contains(&target) {
            let use_cases = section.strings("use_cases").unwrap_or_default();
            section.finish();
            alias_targets.insert(name, Alias { target, use_cases });
        } else if let Some(model) = model(name.clone(), target, section, defaults, region, places) {
            named.insert(name, Arc::new(model));
        }
    }
    fallbacks::check(
        &named,
        |name| follow(name, &alias_targets, &named),
        |name| alias_targets.contains_key(name),
        diagnostics,
    );
    let aliases = alias_targets.iter().filter_map(|(name, alias)| {
        let resolved = follow(name, &alias_targets, &named);
        if resolved.is_none() {
            diagnostics.problem(
                format!("models.{name}.target"),
                None,
                format!(
                    "'{}' leads to no model: the aliases form a circle, or the model has a problem of its own",
                    alias.target
                ),
            );
        }
        Some((name.clone(), (resolved?, alias.use_cases.clone())))
    });
    let aliases = aliases.collect();
    let raw = defaults.raw_model_ids;
    let raw = raw.then(|| Arc::new(raw_template(defaults, region, places)));
    Models::new(named, aliases, raw).with_home(region)
}

/// The settings of models that are called by a Bedrock id that no model has, with the regions of `[defaults]`.
fn raw_template(defaults: &Defaults, region: &str, places: Places) -> Model {
    let target = Target::new(RAW, defaults.regions.first(region));
    let template = Model {
        raw: true,
        timeouts: defaults.timeouts,
        defaults: ModelDefaults {
            max_tokens: defaults.max_tokens,
            temperature: None,
            top_p: None,
        },
        dropped_parameters: defaults.dropped_parameters,
        retry: defaults.retry,
        options: ModelOptions {
            has_api_key: defaults.has_api_key,
            resume: defaults.resume,
            mantle: places.mantle,
            residency: places.residency,
            ..ModelOptions::default()
        },
        ..Model::new(RAW, target)
    };
    // Each model reports what is wrong with the defaults.
    defaults
        .regions
        .places(template, RAW, false, false, &|_, _| {})
}

struct Alias {
    target: String,
    use_cases: Vec<String>,
}

/// The model at the end of a chain of aliases; `None` if the chain is a circle or the model has a problem of its own.
fn follow(
    name: &str,
    alias_targets: &BTreeMap<String, Alias>,
    named: &BTreeMap<String, Arc<Model>>,
) -> Option<Arc<Model>> {
    let mut at = name;
    for _ in 0..=alias_targets.len() {
        match alias_targets.get(at) {
            Some(alias) => at = &alias.target,
            None => return named.get(at).cloned(),
        }
    }
    None
}

fn model(
    name: String,
    target: String,
    mut section: Section<'_>,
    defaults: &Defaults,
    region: &str,
    places: Places,
) -> Option<Model> {
    let has_price = section.contains("price");
    let has_resume = section.contains("resume");
    let has_regions = section.contains("regions") || section.contains("accounts");
    let spreads = ["strategy", "weights"].map(|key| section.contains(key).then_some(key));
    let regions = regions::read(&mut section, &defaults.regions);
    let region = regions.first(region);
    if !target.contains(['.', ':', '/']) {
        section.problem_at(
            "target",
            format!("'{target}' is neither the name of a model here nor a Bedrock id (vendor.name…) or ARN"),
        );
    }
    let configured = target;
    let target = Target::new(configured.as_str(), region);
    let has_connect = section.contains("connect_timeout");
    let mut limit = |key, default| section.duration(key).unwrap_or(default);
    let timeouts = Timeouts {
        connect: limit("connect_timeout", defaults.timeouts.connect),
        whole: limit("timeout", defaults.timeouts.whole),
        first_token: limit("first_token_timeout", defaults.timeouts.first_token),
        idle: limit("idle_timeout", defaults.timeouts.idle),
    };
    check_connect(&section, has_connect, timeouts);
    let (base, known) = options::known(&mut section, &target);
    let resume = section.boolean("resume", defaults.resume);
    if has_resume && resume && base.is_some() && !known.facts.resume {
        let text =
            "this model cannot continue an answer that was cut off, as far as the catalogue knows";
        section.problem_at("resume", text);
    }
    let model = Model {
        base,
        facts: known.facts,
        price: known.price,
        options: ModelOptions {
            has_api_key: defaults.has_api_key,
            resume,
            ..options::options(&mut section, places)
        },
        timeouts,
        defaults: ModelDefaults {
            max_tokens: section
                .max_tokens("max_tokens")
                .unwrap_or(defaults.max_tokens),
            temperature: section.number("temperature", 0.0, 2.0),
            top_p: section.number("top_p", 0.0, 1.0),
        },
        dropped_parameters: read_dropped_parameters(&mut section, defaults.dropped_parameters),
        retry: if section.has("retry") {
            options::retry(&mut section, defaults.retry)
        } else {
            defaults.retry
        },
        description: section.string("description"),
        use_cases: section.strings("use_cases").unwrap_or_default(),
        limits: governance::limits(&mut section),
        budgets: governance::budgets(&mut section, &format!("model:{name}")),
        fallbacks: fallbacks::read(&mut section),
        ..Model::new(name, target)
    };
    let problem = |key, text| section.problem_at(key, text);
    let model = regions.places(model, &configured, has_price, has_regions, &problem);
    regions::check_spread(&model, spreads.into_iter().flatten(), &problem);
    let apply = model.options.guardrail.as_ref().and_then(|one| one.apply);
    let has_answer =
        model.facts.embed.is_none() && model.facts.rerank.is_none() && model.facts.draw.is_none();
    if !has_answer && apply == Some(Apply::Output) {
        let text = "'apply' must be 'input', because this model gives no answer to evaluate";
        section.problem_at("guardrail", text);
    }
    if let Some(problem) = route::check(&model) {
        section.problem_at("api", problem);
    }
    section.finish();
    Some(model)
}
