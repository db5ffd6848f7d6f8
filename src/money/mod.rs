//! The vocabulary of money: prices, usage, costs and budgets. Integers only.

mod amount;
mod budget;
mod cost;
mod guardrail;
mod price;
mod usage;
mod worst_case;

pub use amount::{NanoUsd, PicoUsd};
pub use budget::{Budget, Mode, Per};
pub use cost::Cost;
pub use guardrail::{GuardrailPrice, MostUnits};
pub use price::{LongContext, Price, Tier};
pub use usage::Usage;
pub use worst_case::{CHUNKS_PER_QUERY, GuardrailFees, WorstCase};
