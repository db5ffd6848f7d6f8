//! What a route carries.

use super::Feature;
use crate::{
    call::Route,
    model::{Endpoints, Facts, Invoke, InvokeFamily, Native, NativeTools, ToolChoiceMode},
};

/// Reports whether `route` carries `feature` for a model with these facts. Converse carries everything else than stop
/// sequences and what only Anthropic's Messages has, because its codec emulates what the model lacks, or warns.
pub fn carries(route: Route, feature: Feature, facts: &Facts) -> bool {
    let native = facts.native.as_ref();
    match route {
        // Emulated in the same way on every route, so no reason to leave or to choose Converse.
        Route::Converse if feature == Feature::Stop => {
            facts.stop || facts.routes.first() == Some(&Route::Converse)
        }
        Route::Converse => !matches!(
            feature,
            Feature::Items
                | Feature::Betas
                | Feature::ClientTool
                | Feature::Logprobs
                | Feature::Grammar
        ),
        Route::Invoke => by_invoke(feature, facts),
        Route::Chat => match feature {
            Feature::Guardrail => true,
            _ => by_openai(feature, native, Endpoints::Both),
        },
        Route::MantleChat => match feature {
            Feature::Tier => native.is_none_or(|native| !native.tiers.is_empty()),
            _ => by_openai(feature, native, Endpoints::Mantle),
        },
        Route::Responses | Route::MantleResponses => match feature {
            Feature::Image | Feature::JsonSchema | Feature::Items => true,
            Feature::Tools | Feature::ToolsWithReasoning => {
                native.is_none_or(|native| native.tools != NativeTools::Never)
            }
            Feature::ForcedChoice => by_openai(feature, native, Endpoints::Both),
            Feature::Tier => {
                route.is_mantle() && native.is_none_or(|native| !native.tiers.is_empty())
            }
            _ => false,
        },
        Route::Messages | Route::MantleMessages => match feature {
            Feature::Guardrail => route == Route::Messages,
            Feature::CachePoint
            | Feature::Document
            | Feature::Image
            | Feature::Tools
            | Feature::ToolsWithReasoning
            | Feature::ForcedChoice
            // The gateway emulates what the endpoint cannot enforce, as on Converse.
            | Feature::JsonSchema
            | Feature::JsonObject
            | Feature::Stop
            | Feature::TopK
            | Feature::RequestFields
            | Feature::Betas
            | Feature::ClientTool => true,
            _ => false,
        },
        Route::Rerank
        | Route::GuardrailChecks
        | Route::ApplyGuardrail
        | Route::Async
        | Route::Bidi => false,
    }
}

/// Chat completions of OpenAI, on both endpoints or only on bedrock-mantle. Nothing is refused to a model of which nothing
/// is known there.
fn by_openai(feature: Feature, native: Option<&Native>, endpoint: Endpoints) -> bool {
    let is_offered = |on: Endpoints| on == Endpoints::Both || on == endpoint;
    let accepts = |of: &dyn Fn(&Native) -> bool| native.is_none_or(of);
    match feature {
        Feature::Image => true,
        Feature::Tools => accepts(&|native| native.tools != NativeTools::Never),
        Feature::ToolsWithReasoning => accepts(&|native| native.tools == NativeTools::Always),
        Feature::ForcedChoice => accepts(&|native| native.tool_choice != [ToolChoiceMode::Auto]),
        Feature::JsonSchema => accepts(&|native| is_offered(native.json_schema)),
        Feature::JsonObject => accepts(&|native| is_offered(native.json_object)),
        Feature::Stop => accepts(&|native| native.stop),
        Feature::Guardrail
        | Feature::GuardrailOptions
        | Feature::Logprobs
        | Feature::Grammar
        | Feature::Latency
        | Feature::Tier
        | Feature::Metadata
        | Feature::CachePoint
        | Feature::Document
        | Feature::Video
        | Feature::Audio
        | Feature::TopK
        | Feature::RequestFields
        | Feature::ConverseFields
        | Feature::Items
        | Feature::Betas
        | Feature::ClientTool
        | Feature::ServerTool => false,
    }
}

/// InvokeModel. What Converse has in its body is in headers, or emulated as on Converse.
fn by_invoke(feature: Feature, facts: &Facts) -> bool {
    let family = facts.invoke.as_ref().map(|invoke| invoke.family);
    let is_any = |families: &[InvokeFamily]| family.is_some_and(|one| families.contains(&one));
    let takes_images = [
        InvokeFamily::Anthropic,
        InvokeFamily::Nova,
        InvokeFamily::MistralChat,
        InvokeFamily::OpenaiChat,
    ];
    match feature {
        Feature::Document => is_any(&[InvokeFamily::Anthropic, InvokeFamily::CommandR]),
        Feature::Betas | Feature::ClientTool => is_any(&[InvokeFamily::Anthropic]),
        Feature::Image => is_any(&takes_images),
        Feature::Video => is_any(&[InvokeFamily::Nova, InvokeFamily::Pegasus]),
        Feature::CachePoint => is_any(&[InvokeFamily::Anthropic, InvokeFamily::Nova]),
        Feature::Tools | Feature::ToolsWithReasoning | Feature::ForcedChoice => {
            is_any(&takes_images) || is_any(&[InvokeFamily::CommandR])
        }
        Feature::Audio | Feature::ConverseFields | Feature::Items | Feature::ServerTool => false,
        Feature::Guardrail
        | Feature::GuardrailOptions
        | Feature::Latency
        | Feature::Tier
        | Feature::Metadata
        | Feature::JsonSchema
        | Feature::JsonObject
        | Feature::TopK
        | Feature::RequestFields => true,
        Feature::Stop => facts.stop,
        Feature::Logprobs => facts.invoke.as_ref().is_some_and(Invoke::returns_logprobs),
        Feature::Grammar => facts.invoke.as_ref().is_some_and(Invoke::accepts_grammars),
    }
}
