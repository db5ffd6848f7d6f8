//! A price that covers several: that of a call which any of them may apply to.

use std::sync::Arc;

use super::{LongContext, Price, Tier, ratio};
use crate::money::{NanoUsd, PicoUsd};

const TIERS: [Tier; 4] = [Tier::Standard, Tier::Flex, Tier::Priority, Tier::Optimized];

impl Price {
    /// Returns a price at which no usage is cheaper than at any of `prices`, as far as [`highest`](Self::highest) and the
    /// prices of units tell. What one of them does not price has no price. `prices` must not be empty.
    pub fn ceiling(prices: Vec<&Arc<Self>>) -> Arc<Self> {
        let Some((first, others)) = prices.split_first() else {
            return Arc::new(Self::new(PicoUsd(0), PicoUsd(0)));
        };
        if others.iter().all(|other| other == first) {
            return Arc::clone(first);
        }
        let highest = |tier, may_cache| {
            let each = prices.iter().map(|price| price.highest(tier, may_cache));
            let each = each.collect::<Option<Vec<_>>>()?;
            let input = each.iter().map(|(input, _)| *input).max()?;
            Some((input, each.iter().map(|(_, output)| *output).max()?))
        };
        let standard = highest(Tier::Standard, false);
        // The standard tier always has a price.
        let (input, output) = standard.unwrap_or((first.input, first.output));
        let mut ceiling = Self::new(input, output);
        let [_, flex, priority, optimized] = TIERS.map(|tier| highest(tier, false));
        (ceiling.flex_input, ceiling.flex_output) = flex.unzip();
        (ceiling.priority_input, ceiling.priority_output) = priority.unzip();
        (ceiling.optimized_input, ceiling.optimized_output) = optimized.unzip();
        // A tier scales the price of the cache by that of its input, so the write must be dear enough for each.
        let writes = TIERS.map(|tier| {
            let (of_tier, _) = highest(tier, false)?;
            let (write, _) = highest(tier, true)?;
            Some(ratio(write, input, of_tier))
        });
        let write = writes.into_iter().flatten().max().max(Some(input));
        (ceiling.cache_write, ceiling.cache_write_1h) = (write, write);
        ceiling.cache_read = Some(input);
        let unit = |of: fn(&Self) -> Option<NanoUsd>| {
            let each = prices.iter().map(|price| of(price));
            each.collect::<Option<Vec<_>>>()?.into_iter().max()
        };
        ceiling.server_tool_use = unit(|price| price.server_tool_use);
        ceiling.input_image = unit(|price| price.input_image);
        ceiling.query = unit(|price| price.query);
        ceiling.output_image = unit(|price| price.output_image);
        ceiling.video_second = unit(|price| price.video_second);
        // Their prices are part of the above; whoever asks whether there are any must still see them.
        let contexts = prices.iter().flat_map(|price| &price.long_context);
        let least = contexts.map(|long| long.above_input_tokens).min();
        ceiling.long_context = least.map(base_context).into_iter().collect();
        Arc::new(ceiling)
    }
}

/// A long context at the prices of a short one.
fn base_context(above_input_tokens: u64) -> LongContext {
    LongContext {
        above_input_tokens,
        input: None,
        output: None,
        cache_read: None,
        cache_write: None,
        cache_write_1h: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price() -> impl Strategy<Value = Price> {
        let rate = || 1u64..9_000_000;
        let some = || prop::option::of(1u64..9_000_000);
        let tokens = (rate(), rate(), some(), some(), some());
        let tiers = (some(), some(), some(), some());
        (tokens, tiers, prop::option::of((some(), some(), some()))).prop_map(
            |(
                (input, output, read, write, hour),
                (priority, out, optimized, optimized_out),
                long,
            )| {
                let pico = |rate: Option<u64>| rate.map(PicoUsd);
                let mut price = Price::new(PicoUsd(input), PicoUsd(output));
                (price.cache_read, price.cache_write) = (pico(read), pico(write));
                price.cache_write_1h = pico(hour);
                (price.priority_input, price.priority_output) = (pico(priority), pico(out));
                (price.optimized_input, price.optimized_output) =
                    (pico(optimized), pico(optimized_out));
                let long = long.map(|(input, output, write)| LongContext {
                    input: pico(input),
                    output: pico(output),
                    cache_write: pico(write),
                    ..base_context(1000)
                });
                price.long_context = long.into_iter().collect();
                price
            },
        )
    }

    proptest! {
        #[test]
        fn ceiling_is_at_least_as_high_as_each_price(
            prices in prop::collection::vec(price().prop_map(Arc::new), 1..4),
        ) {
            let ceiling = Price::ceiling(prices.iter().collect());
            for tier in TIERS {
                for may_cache in [false, true] {
                    let Some((input, output)) = ceiling.highest(tier, may_cache) else { continue };
                    for price in &prices {
                        let own = price.highest(tier, may_cache);
                        prop_assert!(own.is_some_and(|own| own.0 <= input && own.1 <= output));
                    }
                }
            }
        }
    }
}
