use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use super::Settings;
use crate::{
    call::{Alert, Call, Spend, Trace},
    governance::{Certainty, Hold, ServedAt, Settlement, price_at},
    metrics,
    model::Model,
    money::{NanoUsd, Price, WorstCase},
};

/// A call in flight. Settles its hold exactly once, however the call ends.
pub struct Settling {
    settings: Arc<Settings>,
    pub hold: Arc<Hold>,
    /// Set if a budget ended the stream.
    denied: Arc<AtomicBool>,
    trace: Trace,
    charge: Charge,
    request_id: Arc<str>,
    key_id: String,
    team: String,
    model: Arc<Model>,
    ended: bool,
}

impl Settling {
    pub fn new<T>(
        settings: Arc<Settings>,
        call: &Call<T>,
        hold: Arc<Hold>,
        denied: Arc<AtomicBool>,
    ) -> Self {
        let charge = Charge {
            hold: Arc::downgrade(&hold),
            worst: call.plan.worst,
            price: call.model.price.clone(),
        };
        let told = charge.clone();
        let spending = call.trace.spending();
        spending.charge_by(move |spend| told.cost(spend).0);
        Self {
            settings,
            hold,
            denied,
            trace: call.trace.clone(),
            charge,
            request_id: call.request_id.clone(),
            key_id: call.caller.key_id.clone(),
            team: call.caller.team_name().to_owned(),
            model: call.model.clone(),
            ended: false,
        }
    }

    /// Records in the hold where requests of the call are sent, before they are.
    pub fn follow_moves<T>(&self, call: &Call<T>) {
        let (hold, model, worst) = (
            Arc::downgrade(&self.hold),
            call.model.clone(),
            call.plan.worst,
        );
        let spending = call.trace.spending();
        spending.ask_before_move(move |target| {
            let (hold, model) = (hold.upgrade(), model.clone());
            Box::pin(async move {
                let place = target.clone();
                let price = || price_at(model.served_by(&place), &worst);
                match hold {
                    Some(hold) => hold.relocate(target, price).await,
                    None => false,
                }
            })
        });
    }

    /// Settles the hold of a call that has ended. `status` is `ok` or an error code, `how` is the label of its
    /// [`EndReason`](crate::operation::EndReason).
    pub fn end(mut self, status: &'static str, how: &'static str) {
        let denied = self.denied.load(Ordering::Relaxed);
        self.settle(status, if denied { "cut" } else { how });
    }

    fn settle(&mut self, status: &'static str, how: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let spend = self.trace.spending().total();
        let (cost, certainty) = self.charge.cost(&spend);
        let usage = spend.usage.unwrap_or_default();
        let attempts = self.trace.own_attempts();
        let label = self.model.label();
        let has_places = !self.model.targets.places.is_empty();
        if let Some(target) = self.trace.target().filter(|_| has_places) {
            let place = self.model.served_by(&target);
            let price = price_at(place, &self.charge.worst);
            self.hold.set_served(ServedAt { target, price });
        }
        self.hold.settle(Settlement {
            usage,
            cost,
            certainty,
            status,
            how,
            attempts,
        });
        tracing::debug!(
            request_id = &*self.request_id,
            model = label,
            cost_usd = cost.map(tracing::field::display),
            certainty = certainty.as_str(),
            status,
            how,
            attempts,
            "a reservation was settled"
        );
        let Some(cost) = cost else { return };
        self.trace.set_charged(cost + spend.side_calls.total());
        metrics::spent(&self.team, &self.key_id, label, certainty.as_str(), cost);
        if self
            .settings
            .alert_request
            .is_some_and(|limit| cost > limit)
        {
            metrics::expensive_request(label);
            tracing::warn!(
                request_id = &*self.request_id,
                key_id = self.key_id,
                model = label,
                cost_usd = %cost,
                "a request cost more than budget.alert_request_usd"
            );
            let _ = self.settings.alerts.try_send(Alert::ExpensiveRequest {
                request_id: self.request_id.to_string(),
                key_id: self.key_id.clone(),
                team: self.team.clone(),
                model: label.to_owned(),
                cost_usd: cost.to_string(),
            });
        }
    }
}

/// What a call is charged for what it has spent.
#[derive(Clone)]
struct Charge {
    hold: Weak<Hold>,
    worst: WorstCase,
    price: Option<Arc<Price>>,
}

impl Charge {
    /// Returns the cost of all requests of the call, and its certainty.
    fn cost(&self, spend: &Spend) -> (Option<NanoUsd>, Certainty) {
        let price = self.price.as_deref();
        let request = WorstCase {
            input_tokens: self.worst.input_tokens.saturating_add(spend.input_growth),
            ..self.worst
        };
        let worst = |tokens| price.and_then(|price| request.cost_of_one(price, tokens));
        let mut certainty = Certainty::Actual;
        let mut cost = NanoUsd::default();
        let mut known_cost = cost;
        if let Some(usage) = spend.usage {
            match (usage.cost, price.and_then(|price| request.cost(price))) {
                (Some(known), _) => {
                    cost = known.total();
                    known_cost = cost;
                }
                // A part of the usage has no price.
                (None, Some(most)) => return (Some(most), Certainty::Presumed),
                (None, None) => return fees_only(spend),
            }
            if spend.estimated > 0 {
                // The service did not report the input of these requests, so the reserved input is charged for each. What
                // it reported for their siblings does not count towards that.
                certainty = Certainty::Estimated;
                let input = worst(0).unwrap_or_default();
                let estimated = NanoUsd(input.0.saturating_mul(spend.estimated.into()));
                let counted = NanoUsd(cost.0.saturating_sub(spend.estimated_cost.0));
                cost = counted + estimated.max(spend.estimated_cost);
            }
        }
        if spend.unanswered > 0 {
            certainty = Certainty::Presumed;
            let Some(input) = worst(0) else {
                return fees_only(spend);
            };
            cost = cost + NanoUsd(input.0.saturating_mul(spend.unanswered.into()));
        }
        if spend.lost > 0 {
            certainty = Certainty::Presumed;
            let Some(one) = worst(self.worst.output_tokens) else {
                return fees_only(spend);
            };
            cost = cost + NanoUsd(one.0.saturating_mul(spend.lost.into()));
        }
        // Each stream that was continued has broken, so its usage is estimated. More requests of unknown usage may be the
        // ones that continued it, whose input is longer.
        if spend.estimated + spend.unanswered + spend.lost > spend.continued {
            let longer =
                price.and_then(|price| request.cost_of_growth(price, spend.continued_input));
            cost = cost + longer.unwrap_or_default();
        }
        // The requests of a fan-out differ, and the largest stands for each whose cost is unknown.
        // Together they cost no more than was reserved for all.
        if self.worst.total_input_tokens.is_some()
            && let Some(hold) = self.hold.upgrade()
        {
            cost = cost.min(hold.max_cost()).max(known_cost);
        }
        if spend.unpriced_fees || spend.presumed_guardrails {
            certainty = Certainty::Presumed;
        }
        (Some(cost + spend.fees + spend.guardrails), certainty)
    }
}

/// Returns the cost of a call to a model without a price: that of reranking and guardrails only.
fn fees_only(spend: &Spend) -> (Option<NanoUsd>, Certainty) {
    match spend.fees + spend.guardrails {
        NanoUsd(0) => (None, Certainty::Actual),
        fees => (Some(fees), Certainty::Presumed),
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.settle("abandoned", "client_gone");
    }
}
