//! The vocabulary of money: prices, usage, what a call may cost, and what may be spent. Integers only.

mod budget;
mod price;
mod usage;
mod worst_case;

pub use budget::{Budget, Mode, Per};
pub use price::{Cost, LongContext, NanoUsd, PicoUsd, Price, Tier};
pub use usage::Usage;
pub use worst_case::WorstCase;
