//! The lists of the control plane: foundation models, inference profiles, and the resources that
//! [`Simulator::describe`] added.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    body::Body,
    http::{Method, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    ServiceError, Simulator, chat::NativeRefusal, escapes::percent_decode, reply,
    request_id::with_request_id, sigv4,
};

/// The most entries of a page. The service may return fewer than a client allows.
const PAGE: usize = 4;
const ACCOUNT: &str = "123456789012";

/// A list, with the rules of its request.
pub struct List {
    path: &'static str,
    /// The IAM action.
    action: &'static str,
    /// The member of the reply that has the entries.
    member: &'static str,
    is_paged: bool,
    /// It is a list of bedrock-mantle.
    is_on_mantle: bool,
    /// The allowed values of query parameters, other than those of pages.
    filters: &'static [(&'static str, &'static [&'static str])],
    /// All entries that match the filters.
    entries: fn(&Simulator, &HashMap<String, String>) -> Vec<Value>,
}

const SORTED: (&str, &[&str]) = ("sortBy", &["CreationTime"]);
const ORDERED: (&str, &[&str]) = ("sortOrder", &["Ascending", "Descending"]);

static LISTS: [List; 6] = [
    List {
        path: "/foundation-models",
        action: "bedrock:ListFoundationModels",
        member: "modelSummaries",
        is_paged: false,
        is_on_mantle: false,
        filters: &[
            ("byOutputModality", &["TEXT", "IMAGE", "EMBEDDING"]),
            ("byInferenceType", &["ON_DEMAND", "PROVISIONED"]),
        ],
        entries: foundation_models,
    },
    List {
        path: "/inference-profiles",
        action: "bedrock:ListInferenceProfiles",
        member: "inferenceProfileSummaries",
        is_paged: true,
        is_on_mantle: false,
        filters: &[("type", &["SYSTEM_DEFINED", "APPLICATION"])],
        entries: inference_profiles,
    },
    List {
        path: "/provisioned-model-throughputs",
        action: "bedrock:ListProvisionedModelThroughputs",
        member: "provisionedModelSummaries",
        is_paged: true,
        is_on_mantle: false,
        filters: &[
            (
                "statusEquals",
                &["Creating", "InService", "Updating", "Failed"],
            ),
            SORTED,
            ORDERED,
        ],
        entries: provisioned,
    },
    List {
        path: "/imported-models",
        action: "bedrock:ListImportedModels",
        member: "modelSummaries",
        is_paged: true,
        is_on_mantle: false,
        filters: &[SORTED, ORDERED],
        entries: imported,
    },
    List {
        path: "/model-customization/custom-model-deployments",
        action: "bedrock:ListCustomModelDeployments",
        member: "modelDeploymentSummaries",
        is_paged: true,
        is_on_mantle: false,
        filters: &[
            ("statusEquals", &["Creating", "Active", "Failed"]),
            SORTED,
            ORDERED,
        ],
        entries: deployments,
    },
    List {
        path: "/v1/models",
        action: "bedrock-mantle:ListModels",
        member: "data",
        is_paged: false,
        is_on_mantle: true,
        filters: &[],
        entries: mantle_models,
    },
];

/// Models that bedrock-mantle lists, some by other ids than bedrock-runtime has. Source: AWS's samples for Bedrock, a reply of
/// `GET /v1/models` from 2026-08-25, and one that nobody knows.
const MANTLE: [&str; 8] = [
    "anthropic.claude-mythos-5",
    "google.gemma-4-31b",
    "moonshotai.kimi-k2-thinking",
    "openai.gpt-5.4",
    "openai.gpt-oss-120b",
    "qwen.qwen3-next-80b-a3b-instruct",
    "somebody.mantle-only",
    "xai.grok-4.3",
];

/// The list that a request is for.
pub fn route(method: &Method, uri: &Uri) -> Option<&'static List> {
    let path = uri.path().strip_prefix("/mantle").unwrap_or(uri.path());
    let list = LISTS.iter().find(|list| list.path == path);
    list.filter(|_| method == Method::GET)
}

/// Answers a request for a list.
///
/// # Errors
/// The service's error for a wrong signature, a denied action or an invalid query.
pub fn answer(simulator: &Simulator, parts: &Parts, list: &List) -> Result<Response, ServiceError> {
    match entries(simulator, parts, list) {
        Err(error) if list.is_on_mantle => Ok(NativeRefusal::from(error).into_response()),
        answer => answer,
    }
}

fn entries(simulator: &Simulator, parts: &Parts, list: &List) -> Result<Response, ServiceError> {
    let fault = {
        let mut shared = simulator.shared();
        shared.listed.push(parts.uri.to_string());
        shared.list_faults.get(list.path).copied()
    };
    sigv4::check(
        &simulator.secret_key,
        simulator.now(),
        &parts.method,
        &parts.uri,
        &parts.headers,
        &[],
    )?;
    match fault {
        Some(403) => {
            let action = list.action;
            return Err(ServiceError {
                name: "AccessDeniedException",
                status: 403,
                message: format!(
                    "User: arn:aws:iam::{ACCOUNT}:user/x is not authorized to perform: {action}"
                ),
            });
        }
        Some(status) => return Ok(with_request_id(status, Body::empty())),
        None => {}
    }
    let query = query(parts.uri.query().unwrap_or_default())?;
    let (limit, start) = page(list, &query)?;
    let entries = (list.entries)(simulator, &query);
    let end = entries.len().min(start.saturating_add(limit));
    let entry_page = entries.get(start..end).ok_or_else(invalid_token)?;
    let mut body = json!({ list.member: entry_page });
    if end < entries.len() {
        body["nextToken"] = token(end).into();
    }
    if list.is_on_mantle {
        body["object"] = "list".into();
    }
    Ok(reply::json(&body))
}

/// Checks the query, and returns the size of the page and the index of its first entry.
fn page(list: &List, query: &HashMap<String, String>) -> Result<(usize, usize), ServiceError> {
    let (mut limit, mut start) = (if list.is_paged { PAGE } else { usize::MAX }, 0);
    for (name, value) in query {
        match name.as_str() {
            "maxResults" if list.is_paged => {
                let most = value.parse().ok().filter(|most| (1..=1000).contains(most));
                limit = limit.min(most.ok_or_else(|| invalid(name, value))?);
            }
            "nextToken" if list.is_paged => {
                let index = value
                    .strip_prefix("page+")
                    .and_then(|rest| rest.strip_suffix("=="));
                start = index
                    .and_then(|index| index.parse().ok())
                    .ok_or_else(invalid_token)?;
            }
            _ => {
                let known = list.filters.iter().find(|(filter, _)| filter == name);
                if !known.is_some_and(|(_, values)| values.contains(&value.as_str())) {
                    return Err(invalid(name, value));
                }
            }
        }
    }
    Ok((limit, start))
}

/// A token that a client must escape.
fn token(start: usize) -> String {
    format!("page+{start}==")
}

fn invalid(name: &str, value: &str) -> ServiceError {
    ServiceError::validation(format!(
        "Value '{value}' at '{name}' failed to satisfy constraint"
    ))
}

fn invalid_token() -> ServiceError {
    ServiceError::validation("The provided nextToken is invalid.")
}

fn query(text: &str) -> Result<HashMap<String, String>, ServiceError> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((percent_decode(name)?, percent_decode(value)?))
    });
    let decoded: Option<HashMap<_, _>> = decoded.collect();
    decoded.ok_or_else(|| ServiceError::validation("The query is malformed."))
}

/// The models of the list, in the form of the service.
static MODELS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("foundation-models.json")).unwrap_or_default()
});

fn mantle_models(_: &Simulator, _: &HashMap<String, String>) -> Vec<Value> {
    let model = |id: &&str| json!({"id": id, "object": "model", "created": 1_780_000_000, "owned_by": "system"});
    MANTLE.iter().map(model).collect()
}

fn foundation_models(_: &Simulator, query: &HashMap<String, String>) -> Vec<Value> {
    let has = |model: &Value, member: &str, filter: &str| {
        let values = model[member].as_array().into_iter().flatten();
        query
            .get(filter)
            .is_none_or(|wanted| values.clone().any(|one| one == wanted))
    };
    let matching = MODELS.iter().filter(|model| {
        has(model, "outputModalities", "byOutputModality")
            && has(model, "inferenceTypesSupported", "byInferenceType")
    });
    matching.cloned().collect()
}

/// A profile of the geography `us` for each model that needs one, and all application profiles.
fn inference_profiles(simulator: &Simulator, query: &HashMap<String, String>) -> Vec<Value> {
    let needs_profile =
        |model: &&Value| model["inferenceTypesSupported"] == json!(["INFERENCE_PROFILE"]);
    let system = MODELS.iter().filter(needs_profile).map(|model| {
        let id = format!("us.{}", model["modelId"].as_str().unwrap_or_default());
        json!({
            "inferenceProfileName": format!("US {}", model["modelName"].as_str().unwrap_or_default()),
            "inferenceProfileArn": format!("arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{id}"),
            "inferenceProfileId": id, "models": [{"modelArn": model["modelArn"]}],
            "status": "ACTIVE", "type": "SYSTEM_DEFINED",
        })
    });
    let application = resources(simulator, "application-inference-profile");
    let application = application.into_iter().map(|(arn, name, model)| {
        json!({
            "inferenceProfileName": name, "inferenceProfileArn": arn, "inferenceProfileId": name,
            "models": [{"modelArn": model}], "status": "ACTIVE", "type": "APPLICATION",
        })
    });
    let all = system.chain(application);
    let wanted = query.get("type");
    all.filter(|profile| wanted.is_none_or(|wanted| profile["type"] == **wanted))
        .collect()
}

fn provisioned(simulator: &Simulator, _: &HashMap<String, String>) -> Vec<Value> {
    let all = resources(simulator, "provisioned-model").into_iter();
    all.map(|(arn, name, model)| {
        json!({
            "provisionedModelName": name, "provisionedModelArn": arn, "modelArn": model, "desiredModelArn": model,
            "foundationModelArn": model, "modelUnits": 1, "desiredModelUnits": 1, "status": "InService",
            "creationTime": CREATED, "lastModifiedTime": CREATED,
        })
    })
    .collect()
}

fn imported(simulator: &Simulator, _: &HashMap<String, String>) -> Vec<Value> {
    let all = resources(simulator, "imported-model").into_iter();
    all.map(|(arn, name, _)| {
        json!({
            "modelArn": arn, "modelName": name, "creationTime": CREATED, "instructSupported": true,
            "modelArchitecture": "qwen2",
        })
    })
    .collect()
}

fn deployments(simulator: &Simulator, _: &HashMap<String, String>) -> Vec<Value> {
    let all = resources(simulator, "custom-model-deployment").into_iter();
    all.map(|(arn, name, model)| {
        json!({
            "customModelDeploymentArn": arn, "customModelDeploymentName": name, "modelArn": model,
            "createdAt": CREATED, "status": "Active",
        })
    })
    .collect()
}

const CREATED: &str = "2026-11-01T00:00:00Z";

/// The resources of one kind that [`Simulator::describe`] added: ARN, name and the ARN of the model, by ARN.
fn resources(simulator: &Simulator, kind: &str) -> Vec<(String, String, String)> {
    let shared = simulator.shared();
    let all = shared.described.iter();
    let of_kind = all.filter_map(|(arn, model)| {
        let (own, name) = arn.splitn(6, ':').nth(5)?.split_once('/')?;
        (own == kind).then(|| (arn.clone(), name.to_owned(), model.clone()))
    });
    let mut sorted: Vec<_> = of_kind.collect();
    sorted.sort();
    sorted
}
