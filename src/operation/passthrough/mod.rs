//! A request of an AWS SDK for Bedrock, which goes on as it came. The gateway reads it only to bound what it costs, and
//! changes only the limit of its output, its guardrail and its metadata.

mod invoke;
mod invoke_size;
mod reply;
mod size;
mod tier;
mod units;
mod worst_case;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

pub use invoke::{LIMITS, NOVA_LIMITS, cap_member};
pub use invoke_size::invoke_size;
pub use reply::{PassthroughReply, Piece, PieceStream, WholePassthrough};
pub use size::Size;
pub use units::Billed;

use super::{Operation, not_served};
use crate::{
    call::{Caller, Delivery, Plan, Route},
    error::{Error, Kind},
    model::{AUTO_LEAST, DefaultMaxTokens, Facts, Model, ReasoningStyle},
    money::NanoUsd,
};

/// The AWS operation that the client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdkOperation {
    Converse,
    InvokeModel,
}

impl SdkOperation {
    fn route(self) -> Route {
        match self {
            Self::Converse => Route::Converse,
            Self::InvokeModel => Route::Invoke,
        }
    }
}

/// A request of an AWS SDK.
#[derive(Clone, Debug)]
pub struct Passthrough {
    pub operation: SdkOperation,
    /// The client calls the streaming variant of the operation.
    pub stream: bool,
    /// The client's body, as JSON.
    pub body: Bytes,
    /// The headers that InvokeModel has instead of members of the body.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The pairs of the request metadata.
    pub metadata: Vec<(String, String)>,
    /// What bounds the cost.
    pub size: Size,
    /// The limit of the output that a budget sets, in tokens.
    pub limit: Option<u32>,
}

impl Passthrough {
    /// Returns the limit of the output that Bedrock gets, in tokens: the client's or the default, but no more than the
    /// model's. `None` if the body must not have one.
    pub fn cap(&self, model: &Model) -> Option<u32> {
        if self.size.is_unlimited(model) || self.has_no_output(&model.facts) {
            return None;
        }
        let facts = &model.facts;
        let most = facts.max_output_tokens.unwrap_or(u32::MAX);
        let asked = self.limit.or(self.size.max_tokens);
        Some(asked.unwrap_or_else(|| self.default_cap(model)).min(most))
    }

    /// Returns the limit of the output if the client sets none, in tokens.
    fn default_cap(&self, model: &Model) -> u32 {
        let facts = &model.facts;
        let text = self.size.text.saturating_sub(self.size.media);
        let media = self.size.images * worst_case::LIKELY_IMAGE;
        let default = model.default_max_tokens_beside(text, media);
        let of_body = facts.invoke.as_ref().and_then(|one| one.max_output_tokens);
        let of_body = of_body.filter(|_| self.operation == SdkOperation::InvokeModel);
        default
            .min(of_body.unwrap_or(u32::MAX))
            .max(facts.min_output_tokens)
    }

    /// The client sets no limit of the output, and the operator's default is automatic.
    fn has_automatic_cap(&self, model: &Model) -> bool {
        self.limit.or(self.size.max_tokens).is_none()
            && model.defaults.max_tokens == DefaultMaxTokens::Auto
            && self.cap(model).is_some()
    }

    /// Returns the units that the request is billed for, beside tokens.
    pub fn billed(&self, facts: &Facts) -> Billed {
        match self.operation {
            SdkOperation::Converse => Billed::default(),
            SdkOperation::InvokeModel => self.size.units.billed(facts),
        }
    }

    fn has_no_output(&self, facts: &Facts) -> bool {
        self.operation == SdkOperation::InvokeModel && cap_member(facts).is_none()
    }

    /// # Errors
    /// 400 if the operator's guardrail cannot be applied to a request of this form.
    fn check_guardrail(&self, model: &Model, caller: &Caller) -> Result<(), Error> {
        let policies = caller.guardrails_for(model);
        let why = if policies.input.or(policies.output).is_some() {
            "The gateway applies a guardrail to this model or key, which it cannot do for requests of AWS SDKs. Use POST \
             /v1/chat/completions, or another model."
        } else if policies.in_call.is_some() && self.operation == SdkOperation::InvokeModel {
            // It evaluates prompt attacks only in text that the body marks.
            "This model or key has a guardrail, which InvokeModel applies only to marked text. Use Converse."
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::InvalidRequest, why).with_code("unsupported_parameter"))
    }

    /// # Errors
    /// 404 if Bedrock does not serve the model by this operation, or the operator has chosen another.
    fn check_route(&self, model: &Model) -> Result<(), Error> {
        let route = self.operation.route();
        let facts = &model.facts;
        let configured = model.options.api.routes();
        if let Some(other) = configured.first()
            && !configured.contains(&route)
        {
            return Err(not_served(format!(
                "The operator of this gateway chose the route '{}' for this model. Use POST /v1/chat/completions.",
                other.as_str()
            )));
        }
        match facts.routes.contains(&route) {
            true => Ok(()),
            false => Err(not_served(
                "Bedrock does not serve this model by this operation. Use POST /v1/chat/completions.",
            )),
        }
    }
}

impl Operation for Passthrough {
    type Reply = PassthroughReply;
    const NAME: &'static str = "passthrough";
    const SIZE_MEMBER: &'static str = "maxTokens";

    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error> {
        self.check_route(model)?;
        self.check_guardrail(model, caller)?;
        if self.operation == SdkOperation::InvokeModel {
            units::check(self, &model.facts)?;
        }
        Ok(Plan {
            route: self.operation.route(),
            reason: Some("passthrough"),
            delivery: match self.stream {
                true => Delivery::Stream,
                false => Delivery::Whole,
            },
            worst: worst_case::of(self, model, caller),
            compiles: None,
            visible: false,
        })
    }

    fn likely_tokens(&self, model: &Model) -> u64 {
        let most = worst_case::output_tokens(self, model);
        // An automatic limit is far more than most answers need.
        let output = match self.has_automatic_cap(model) {
            true => most.min(u64::from(AUTO_LEAST)),
            false => most,
        };
        worst_case::likely_input(self) + output
    }

    fn admitted_tokens(&self, model: &Model) -> u64 {
        worst_case::likely_input(self) + worst_case::output_tokens(self, model)
    }

    fn is_stream(&self) -> bool {
        self.stream
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        None
    }

    fn limited(&self, model: &Model, tokens: u32) -> Option<Self> {
        let thinks =
            self.size.sets_reasoning && model.facts.reasoning.style != ReasoningStyle::None;
        let is_unlimited = self.size.is_unlimited(model) || self.has_no_output(&model.facts);
        if thinks || is_unlimited || tokens < model.facts.min_output_tokens {
            return None;
        }
        Some(Self {
            limit: Some(tokens),
            ..self.clone()
        })
    }

    fn with_default_limit(&self, model: &Model, tokens: u32) -> Option<Self> {
        let lowers = self.has_automatic_cap(model)
            && tokens >= model.facts.min_output_tokens
            && tokens < self.default_cap(model);
        lowers.then(|| Self {
            limit: Some(tokens),
            ..self.clone()
        })
    }

    fn unbounded_member(&self, model: &Model, caller: &Caller) -> Option<String> {
        let allowed = |name: &str| caller.raw_fields.iter().any(|glob| glob.matches(name));
        match self.operation {
            SdkOperation::Converse => {
                let mut names = self.size.unbounded_fields.iter();
                let name = names.find(|name| !allowed(name))?;
                Some(format!("additionalModelRequestFields.{name}"))
            }
            SdkOperation::InvokeModel => {
                let mut names = invoke::unbounded(&self.size, &model.facts);
                names.find(|name| !allowed(name)).cloned()
            }
        }
    }

    fn cost_advice(&self) -> &'static str {
        "Lower maxTokens"
    }
}
