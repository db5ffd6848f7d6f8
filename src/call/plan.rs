use crate::money::WorstCase;

/// How a call travels, made once when its model's facts are known. Deadline, budget, upstream,
/// headers and log read it; none of them decides again.
#[derive(Clone, Debug)]
pub struct Plan {
    pub route: Route,
    pub delivery: Delivery,
    /// The most that the call can cost.
    pub worst: WorstCase,
    /// A fingerprint of a schema that the service compiles before the first token.
    pub compiles: Option<u64>,
    /// The client sees all output as it comes, so a reservation may grow with it.
    pub visible: bool,
}

impl Plan {
    /// The value of `x-lintel-route`: the route, and the reason if it is not the ordinary one.
    pub fn route_header(&self) -> String {
        let route = self.route.as_str();
        match self.delivery {
            Delivery::Replayed => format!("{route}; reason=stream_not_offered"),
            Delivery::Whole | Delivery::Stream => route.to_owned(),
        }
    }
}

/// The API of Bedrock that a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Converse and ConverseStream.
    Converse,
    /// InvokeModel, with the body of the model's family.
    Invoke,
}

impl Route {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::Invoke => "invoke",
        }
    }
}

/// How the answer comes from the service and goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    Stream,
    /// The client wants a stream, but the service is asked for the whole answer: the family cannot
    /// stream it, or it may have to be asked for again.
    Replayed,
}
