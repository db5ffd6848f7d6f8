//! Lowers the automatic limit of the output where it is too much for a budget, or for what is left of AWS's quota.

use std::sync::Arc;

use super::{Budget, Terms, max_cost, most, reserved_in, slices};
use crate::{call::Call, error::Error, operation::Operation};

impl Budget {
    /// Replaces the automatic limit of the output by what the answers of this key need, if the client's limit on the cost, a
    /// budget or the quota on Bedrock admits only that. A call that waits for the quota waits less with it.
    ///
    /// # Errors
    /// If the request with this limit has no plan.
    pub(super) async fn lower<T: Operation>(
        &self,
        call: &mut Call<T>,
        budgets: &[Arc<Terms>],
    ) -> Result<(), Error> {
        let ledger = &self.0.ledger;
        let unknown = budgets
            .iter()
            .filter(|one| ledger.budget_status(&one.id).is_none());
        let unknown: Vec<Arc<str>> = unknown.map(|one| one.id.clone()).collect();
        // A window that cannot be read is reported by the hold.
        let _ = ledger.open_windows(&unknown).await;
        let is_within = self.is_within(call, budgets);
        if is_within && self.0.quotas.admit(call) {
            return Ok(());
        }
        let outputs = &self.0.outputs;
        let tokens = outputs.limit(&call.caller.key_id, &call.model.name);
        let Some(body) = call.body.with_default_limit(&call.model, tokens) else {
            return Ok(());
        };
        let plan = body.plan(&call.model, &call.caller)?;
        let body = std::mem::replace(&mut call.body, Arc::new(body));
        let plan = std::mem::replace(&mut call.plan, plan);
        if !self.is_within(call, budgets) {
            // The rejection is about what the client sent.
            (call.body, call.plan) = (body, plan);
            return Ok(());
        }
        let why = match is_within {
            false => "a budget or max_cost_usd admits no more",
            true => "the quota of tokens per minute on Bedrock has no room for more",
        };
        call.trace.warnings().add(format!(
            "max_tokens: {tokens} was sent instead of the default ({why})"
        ));
        Ok(())
    }

    /// Reports whether the client's limit and what is left of the budgets admit the call. The ledger decides.
    fn is_within<T: Operation>(&self, call: &Call<T>, budgets: &[Arc<Terms>]) -> bool {
        let Some(whole) = most(call) else {
            return true;
        };
        let slice = slices::of(call);
        let admits = |budget: &Arc<Terms>| {
            let status = self.0.ledger.budget_status(&budget.id);
            let needed = reserved_in(budget, whole, slice);
            status.is_none_or(|status| needed <= status.remaining())
        };
        max_cost(call).is_none_or(|max| whole <= max) && budgets.iter().all(admits)
    }
}
