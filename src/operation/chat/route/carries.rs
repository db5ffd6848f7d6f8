//! What a route carries.

use super::Feature;
use crate::{
    call::Route,
    model::{Facts, InvokeFamily, Native},
};

/// Reports whether `route` carries `feature` for a model with these facts. Converse carries everything, because its codec
/// emulates what the model lacks, or warns.
pub fn carries(route: Route, feature: Feature, facts: &Facts) -> bool {
    let native = &facts.native;
    match route {
        Route::Converse => true,
        Route::Invoke => by_invoke(feature, facts.invoke, native),
        Route::Chat => match feature {
            Feature::Guardrail => true,
            _ => by_openai(feature, native, &native.formats),
        },
        Route::MantleChat => match feature {
            Feature::Tier => native.tiers,
            _ => by_openai(feature, native, &native.mantle_formats),
        },
        Route::Responses | Route::MantleResponses => matches!(
            feature,
            Feature::Image | Feature::Tools | Feature::ToolsWithReasoning | Feature::JsonSchema
        ),
        Route::Messages | Route::MantleMessages => match feature {
            Feature::Guardrail => route == Route::Messages,
            Feature::CachePoint
            | Feature::Document
            | Feature::Image
            | Feature::Tools
            | Feature::ToolsWithReasoning
            | Feature::ForcedChoice
            | Feature::Stop
            | Feature::TopK => true,
            _ => false,
        },
        Route::Rerank | Route::Async | Route::Bidi => false,
    }
}

/// A body of OpenAI's chat completions, whose model honors the response formats `formats`.
fn by_openai(feature: Feature, native: &Native, formats: &[String]) -> bool {
    let has_format = |kind: &str| formats.iter().any(|format| format == kind);
    match feature {
        Feature::Image => true,
        Feature::Tools => native.tools,
        Feature::ToolsWithReasoning => native.tools && native.tools_while_reasoning,
        Feature::ForcedChoice => native.forced_choice,
        Feature::JsonSchema => has_format("json_schema"),
        Feature::JsonObject => has_format("json_object"),
        Feature::Stop => native.stop,
        Feature::Guardrail
        | Feature::GuardrailOptions
        | Feature::Latency
        | Feature::Tier
        | Feature::Metadata
        | Feature::CachePoint
        | Feature::Document
        | Feature::Video
        | Feature::Audio
        | Feature::TopK
        | Feature::ConverseFields
        | Feature::ServerTool => false,
    }
}

/// A body of InvokeModel. What Converse has in its body, InvokeModel has in headers.
fn by_invoke(feature: Feature, family: Option<InvokeFamily>, native: &Native) -> bool {
    let takes = |of: fn(InvokeFamily) -> bool| family.is_some_and(of);
    match feature {
        Feature::Guardrail | Feature::Latency | Feature::Tier | Feature::Metadata => true,
        Feature::GuardrailOptions | Feature::ConverseFields | Feature::ServerTool => false,
        _ if family == Some(InvokeFamily::OpenaiChat) => {
            by_openai(feature, native, &native.formats)
        }
        Feature::CachePoint => takes(InvokeFamily::takes_cache_points),
        Feature::Document => takes(InvokeFamily::takes_documents),
        Feature::Image => takes(InvokeFamily::takes_images),
        Feature::Video => takes(InvokeFamily::takes_videos),
        Feature::Tools | Feature::ToolsWithReasoning | Feature::ForcedChoice => {
            takes(InvokeFamily::takes_tools)
        }
        Feature::JsonSchema | Feature::JsonObject => takes(InvokeFamily::takes_schemas),
        Feature::TopK => takes(InvokeFamily::takes_top_k),
        // The gateway ends the text itself where the body has no member for it.
        Feature::Stop => true,
        Feature::Audio => false,
    }
}
