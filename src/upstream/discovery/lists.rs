//! The lists of the control plane: their paths, and the models in their pages.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock.html>

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
};

use serde::Deserialize;

use super::{DiscoveredModel, Origin};
use crate::{catalogue, model::Target};

/// Maximum entries of a page. The size of a page must stay below the cap of the transport.
const PAGE: usize = 100;

/// A list of the control plane.
pub struct List {
    /// For the log.
    pub name: &'static str,
    /// The IAM action that allows it.
    pub action: &'static str,
    /// The path, with the query of the first page.
    path: &'static str,
    /// bedrock-mantle has the list, and not the control plane.
    pub is_on_mantle: bool,
    is_paged: bool,
    /// Returns the model of an entry, or `None` if requests cannot name it.
    model: fn(Entry) -> Option<DiscoveredModel>,
}

/// Every list, in the order in which clients see the models. The last is that of another host, which may not be reachable.
pub const LISTS: [List; 7] = [
    List {
        name: "foundation models",
        action: "bedrock:ListFoundationModels",
        path: "/foundation-models",
        is_on_mantle: false,
        is_paged: false,
        model: foundation_model,
    },
    List {
        name: "inference profiles of AWS",
        action: "bedrock:ListInferenceProfiles",
        path: "/inference-profiles?type=SYSTEM_DEFINED",
        is_on_mantle: false,
        is_paged: true,
        model: system_profile,
    },
    List {
        name: "application inference profiles",
        action: "bedrock:ListInferenceProfiles",
        path: "/inference-profiles?type=APPLICATION",
        is_on_mantle: false,
        is_paged: true,
        model: application_profile,
    },
    List {
        name: "provisioned throughput",
        action: "bedrock:ListProvisionedModelThroughputs",
        path: "/provisioned-model-throughputs?statusEquals=InService",
        is_on_mantle: false,
        is_paged: true,
        model: provisioned,
    },
    List {
        name: "imported models",
        action: "bedrock:ListImportedModels",
        path: "/imported-models?sortBy=CreationTime",
        is_on_mantle: false,
        is_paged: true,
        model: imported,
    },
    List {
        name: "deployments of custom models",
        action: "bedrock:ListCustomModelDeployments",
        path: "/model-customization/custom-model-deployments?statusEquals=Active",
        is_on_mantle: false,
        is_paged: true,
        model: custom_deployment,
    },
    List {
        name: "models of bedrock-mantle",
        action: "bedrock-mantle:ListModels",
        path: "/v1/models",
        is_on_mantle: true,
        is_paged: false,
        model: mantle_model,
    },
];

/// A page of any list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Page {
    #[serde(
        alias = "data",
        alias = "inferenceProfileSummaries",
        alias = "provisionedModelSummaries",
        alias = "modelDeploymentSummaries"
    )]
    model_summaries: Vec<Entry>,
    next_token: Option<String>,
}

/// The members of the entries of all lists that the gateway reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    /// On bedrock-mantle.
    id: String,
    model_id: String,
    model_arn: String,
    model_name: Option<String>,
    input_modalities: Vec<String>,
    output_modalities: Vec<String>,
    inference_types_supported: Vec<String>,
    model_lifecycle: Lifecycle,
    instruct_supported: Option<bool>,
    inference_profile_id: String,
    inference_profile_arn: String,
    inference_profile_name: Option<String>,
    models: Vec<ProfileModel>,
    provisioned_model_arn: String,
    provisioned_model_name: Option<String>,
    foundation_model_arn: String,
    custom_model_deployment_arn: String,
    custom_model_deployment_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lifecycle {
    status: String,
    end_of_life_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProfileModel {
    model_arn: String,
}

impl List {
    /// Returns the path of a page with its query. `token` comes from the page before.
    pub fn path(&self, token: Option<&str>) -> String {
        let mut path = self.path.to_owned();
        if self.is_paged {
            let _ = write!(path, "&maxResults={PAGE}");
        }
        if let Some(token) = token {
            path.push_str("&nextToken=");
            encode(token, &mut path);
        }
        path
    }

    /// Returns the models of a page, and the token of the next page.
    ///
    /// # Errors
    /// If `body` is not a page.
    pub fn read(&self, body: &[u8]) -> serde_json::Result<(Vec<DiscoveredModel>, Option<String>)> {
        let page: Page = serde_json::from_slice(body)?;
        let models = page.model_summaries.into_iter().filter_map(self.model);
        let named = models.filter(|model| !model.id.is_empty());
        Ok((named.collect(), page.next_token))
    }
}

/// Returns all models that a request can call, each id once. Only the list of foundation models has modalities and
/// lifecycles, which also hold for what leads to these models.
pub fn merged<'a>(models: impl Iterator<Item = &'a DiscoveredModel>) -> Vec<DiscoveredModel> {
    let mut foundation: HashMap<String, DiscoveredModel> = HashMap::new();
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for model in models.filter(|model| seen.insert(model.id.clone())) {
        let mut model = model.clone();
        if model.origin == Origin::FoundationModel {
            foundation.insert(model.id.clone(), model.clone());
        } else if let Some(base) = model.base.as_ref().and_then(|base| foundation.get(base)) {
            model.input.clone_from(&base.input);
            model.output.clone_from(&base.output);
            model.is_legacy = base.is_legacy;
            model.eol.clone_from(&base.eol);
        }
        all.push(model);
    }
    // The profiles that such a model needs are in the list.
    all.retain(|model| !model.needs_profile);
    all
}

fn foundation_model(entry: Entry) -> Option<DiscoveredModel> {
    let lower = |all: Vec<String>| all.iter().map(|one| one.to_ascii_lowercase()).collect();
    let date = |time: String| time.get(..10).map(str::to_owned);
    let types = entry.inference_types_supported;
    Some(DiscoveredModel {
        base: Some(entry.model_id.clone()),
        id: entry.model_id,
        name: entry.model_name,
        origin: Origin::FoundationModel,
        needs_profile: !types.is_empty() && !types.iter().any(|one| one == "ON_DEMAND"),
        input: lower(entry.input_modalities),
        output: lower(entry.output_modalities),
        is_legacy: entry.model_lifecycle.status == "LEGACY",
        eol: entry.model_lifecycle.end_of_life_time.and_then(date),
    })
}

fn system_profile(entry: Entry) -> Option<DiscoveredModel> {
    Some(DiscoveredModel {
        id: entry.inference_profile_id,
        base: first_base(&entry.models),
        name: entry.inference_profile_name,
        origin: Origin::InferenceProfile,
        ..DiscoveredModel::default()
    })
}

fn application_profile(entry: Entry) -> Option<DiscoveredModel> {
    Some(DiscoveredModel {
        id: entry.inference_profile_arn,
        base: first_base(&entry.models),
        name: entry.inference_profile_name,
        origin: Origin::ApplicationProfile,
        ..DiscoveredModel::default()
    })
}

fn provisioned(entry: Entry) -> Option<DiscoveredModel> {
    Some(DiscoveredModel {
        id: entry.provisioned_model_arn,
        base: base_of(&entry.foundation_model_arn),
        name: entry.provisioned_model_name,
        origin: Origin::Provisioned,
        ..DiscoveredModel::default()
    })
}

/// Converse serves only imported models with a chat template.
fn imported(entry: Entry) -> Option<DiscoveredModel> {
    (entry.instruct_supported != Some(false)).then(|| DiscoveredModel {
        id: entry.model_arn,
        name: entry.model_name,
        origin: Origin::Imported,
        ..DiscoveredModel::default()
    })
}

fn custom_deployment(entry: Entry) -> Option<DiscoveredModel> {
    Some(DiscoveredModel {
        id: entry.custom_model_deployment_arn,
        base: base_of(&entry.model_arn),
        name: entry.custom_model_deployment_name,
        origin: Origin::CustomDeployment,
        ..DiscoveredModel::default()
    })
}

/// The list also has models that bedrock-runtime serves, some by other ids, and models that this gateway cannot call.
fn mantle_model(entry: Entry) -> Option<DiscoveredModel> {
    let known = catalogue::lookup(&Target::new(&entry.id, ""));
    let (base, facts) = (known.base?, known.facts);
    let routes = facts.routes.iter();
    let mut proven = routes.filter(|route| !facts.unproven.contains(route));
    let is_only_here = proven.all(|route| route.is_mantle());
    (is_only_here && !facts.routes.is_empty()).then(|| DiscoveredModel {
        base: Some(base.to_owned()),
        id: entry.id,
        origin: Origin::Mantle,
        ..DiscoveredModel::default()
    })
}

fn first_base(models: &[ProfileModel]) -> Option<String> {
    base_of(&models.first()?.model_arn)
}

/// Returns the id of the foundation model in `…:foundation-model/ID` or `…:custom-model/ID/NAME`. The custom model of an
/// imported one has none.
fn base_of(arn: &str) -> Option<String> {
    let (kind, rest) = arn.splitn(6, ':').nth(5)?.split_once('/')?;
    let id = match kind {
        "foundation-model" => rest,
        "custom-model" => rest.split_once('/')?.0,
        _ => return None,
    };
    (id != "imported").then(|| id.to_owned())
}

/// Appends `text` to a query, percent-encoded.
fn encode(text: &str, query: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                query.push(byte.into());
            }
            byte => {
                let _ = write!(query, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_read_from_arns_of_foundation_models_and_of_custom_models() {
        let custom = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/abc123abc123";
        let foundation = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0";
        let imported = "arn:aws:bedrock:us-east-1:123456789012:custom-model/imported/abc123abc123";
        assert_eq!(
            base_of(custom).as_deref(),
            Some("amazon.nova-lite-v1:0:300k")
        );
        assert_eq!(
            base_of(foundation).as_deref(),
            Some("amazon.nova-lite-v1:0")
        );
        assert_eq!(base_of(imported), None);
        assert_eq!(base_of("amazon.nova-lite-v1:0"), None);
    }

    #[test]
    fn profile_has_the_modalities_of_its_model_which_is_listed_only_if_it_can_be_called() {
        let body = br#"{"modelSummaries": [
            {"modelId": "a.one", "modelArn": "x", "inputModalities": ["TEXT", "IMAGE"], "outputModalities": ["TEXT"],
             "inferenceTypesSupported": ["INFERENCE_PROFILE"],
             "modelLifecycle": {"status": "LEGACY", "endOfLifeTime": "2027-01-02T03:04:05Z"}},
            {"modelId": "a.two", "modelArn": "y", "inferenceTypesSupported": ["ON_DEMAND"]}]}"#;
        let profiles = br#"{"inferenceProfileSummaries": [{"inferenceProfileId": "us.a.one",
            "models": [{"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/a.one"}]}], "nextToken": "a+b/c"}"#;
        let (mut all, _) = LISTS[0].read(body).unwrap();
        let (found, token) = LISTS[1].read(profiles).unwrap();
        all.extend(found);
        let path = LISTS[1].path(token.as_deref());
        assert!(
            path.ends_with("&maxResults=100&nextToken=a%2Bb%2Fc"),
            "{path}"
        );
        let merged = merged(all.iter());
        let ids: Vec<&str> = merged.iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["a.two", "us.a.one"]);
        assert_eq!(merged[1].input, ["text", "image"]);
        assert_eq!(merged[1].eol.as_deref(), Some("2027-01-02"));
    }
}
