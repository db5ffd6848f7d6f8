use crate::{model::Route, money::WorstCase};

/// The decisions about a call that are made once, when its model's facts are known. Deadline, budget, upstream, headers
/// and log read them, so that they cannot disagree.
#[derive(Clone, Debug)]
pub struct Plan {
    pub route: Route,
    /// Why it is this route. `None` if it is the model's first.
    pub reason: Option<&'static str>,
    pub delivery: Delivery,
    /// The basis of the most that the call can cost.
    pub worst: WorstCase,
    /// A hash of the schema that the service compiles before the first token, if there is one.
    pub compiles: Option<u64>,
    /// The client sees all output as it arrives, so a reservation can grow with it.
    pub visible: bool,
}

impl Plan {
    /// The value of `x-lintel-route`: the route, the reason for it, and another if the delivery differs from the requested
    /// one.
    pub fn route_header(&self) -> String {
        let mut header = self.route.as_str().to_owned();
        let replayed = (self.delivery == Delivery::Replayed).then_some("stream_not_offered");
        for reason in self.reason.into_iter().chain(replayed) {
            header.push_str("; reason=");
            header.push_str(reason);
        }
        header
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
