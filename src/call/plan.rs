use crate::money::WorstCase;

/// The decisions about a call that are made once, when its model's facts are known. Deadline, budget, upstream, headers
/// and log read them, so that they cannot disagree.
#[derive(Clone, Debug)]
pub struct Plan {
    pub route: Route,
    pub delivery: Delivery,
    /// The basis of the most that the call can cost.
    pub worst: WorstCase,
    /// A hash of the schema that the service compiles before the first token, if there is one.
    pub compiles: Option<u64>,
    /// The client sees all output as it arrives, so a reservation can grow with it.
    pub visible: bool,
}

impl Plan {
    /// The value of `x-lintel-route`: the route, and the reason if the delivery differs from the requested one.
    pub fn route_header(&self) -> String {
        let route = self.route.as_str();
        match self.delivery {
            Delivery::Replayed => format!("{route}; reason=stream_not_offered"),
            Delivery::Whole | Delivery::Stream => route.to_owned(),
        }
    }
}

/// The Bedrock API that a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Converse and ConverseStream.
    Converse,
    /// InvokeModel, with a body in the form of the model's family.
    Invoke,
    /// InvokeGuardrailChecks.
    GuardrailChecks,
    /// ApplyGuardrail, as an operation of its own.
    ApplyGuardrail,
}

impl Route {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::Invoke => "invoke",
            Self::GuardrailChecks => "guardrail_checks",
            Self::ApplyGuardrail => "apply_guardrail",
        }
    }
}

/// Whether the answer is streamed from the service and to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Neither.
    Whole,
    /// Both.
    Stream,
    /// Only to the client: the model cannot stream this answer, or the gateway must check it and may have to repeat
    /// the request.
    Replayed,
}
