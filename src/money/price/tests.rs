use proptest::prelude::*;

use super::*;

fn price(text: &str) -> PicoUsd {
    text.parse().unwrap()
}

#[test]
fn every_bucket_has_its_price() {
    let price = Price {
        cache_read: Some(price("0.33")),
        cache_write: Some(price("4.125")),
        cache_write_1h: Some(price("6.6")),
        ..Price::new(price("3.3"), price("16.5"))
    };
    let usage = Usage {
        input: 1000,
        cache_read: 10,
        cache_write: 30,
        cache_write_1h: 20,
        output: 7,
        ..Usage::default()
    };
    let cost = price.cost(&usage, Tier::Standard).unwrap();
    assert_eq!(cost.input, NanoUsd(3_300_000));
    assert_eq!(cost.cache_read, NanoUsd(3_300));
    assert_eq!(cost.cache_write, NanoUsd(41_250), "ten for five minutes");
    assert_eq!(cost.cache_write_1h, NanoUsd(132_000));
    assert_eq!(cost.output, NanoUsd(115_500));
    assert_eq!(cost.total(), NanoUsd(3_592_050));
}

#[test]
fn tiers_and_long_contexts() {
    let long = LongContext {
        above_input_tokens: 100,
        input: Some(price("6")),
        output: None,
        cache_read: None,
        cache_write: None,
        cache_write_1h: None,
    };
    let price = Price {
        flex_input: Some(price("1.5")),
        flex_output: Some(price("7.5")),
        cache_read: Some(price("0.3")),
        long_context: vec![long],
        ..Price::new(price("3"), price("15"))
    };
    let usage = Usage {
        input: 100,
        output: 1,
        ..Usage::default()
    };
    assert_eq!(
        price.cost(&usage, Tier::Flex).unwrap().total(),
        NanoUsd(150_000 + 7_500)
    );
    let cached = Usage {
        cache_read: 10,
        ..Usage::default()
    };
    assert_eq!(
        price.cost(&cached, Tier::Flex).unwrap().total(),
        NanoUsd(1_500),
        "half of 0.3"
    );
    let over = Usage {
        input: 101,
        output: 1,
        ..Usage::default()
    };
    assert_eq!(
        price.cost(&over, Tier::Standard).unwrap().total(),
        NanoUsd(606_000 + 15_000)
    );
    let hour = Usage {
        cache_write: 101,
        cache_write_1h: 101,
        ..Usage::default()
    };
    let written = Price {
        cache_write_1h: Some("6".parse().unwrap()),
        ..price.clone()
    };
    assert_eq!(
        written.cost(&hour, Tier::Standard).unwrap().total(),
        NanoUsd(101 * 12_000),
        "twice as dear, as the input is"
    );
    let rounded = Usage {
        input: 1,
        ..Usage::default()
    };
    assert_eq!(
        Price::new(PicoUsd(1), PicoUsd(1))
            .cost(&rounded, Tier::Standard)
            .unwrap()
            .total(),
        NanoUsd(1)
    );
}

/// A priority call of a model without a price for it was held and booked at the standard price.
#[test]
fn dearer_tier_without_a_price_has_no_cost() {
    let price = Price::new(price("3"), price("15"));
    assert_eq!(price.highest(Tier::Priority, false), None);
    assert!(price.cost(&Usage::default(), Tier::Priority).is_none());
    assert!(price.cost(&Usage::default(), Tier::Flex).is_some());
}

/// A long context took the price of its length and not that of its tier.
#[test]
fn long_context_and_tier_multiply() {
    let long = LongContext {
        above_input_tokens: 100,
        input: Some(price("6")),
        output: None,
        cache_read: None,
        cache_write: Some(price("8")),
        cache_write_1h: None,
    };
    let price = Price {
        priority_input: Some(price("4.5")),
        priority_output: Some(price("30")),
        long_context: vec![long],
        ..Price::new(price("3"), price("15"))
    };
    let usage = Usage {
        input: 101,
        output: 1,
        ..Usage::default()
    };
    let cost = price.cost(&usage, Tier::Priority).unwrap();
    assert_eq!(
        (cost.input, cost.output),
        (NanoUsd(909_000), NanoUsd(30_000))
    );
    // The cache prices of the long context were scaled by its input once more.
    let highest = price.highest(Tier::Standard, true).unwrap();
    assert_eq!(highest, (PicoUsd(8_000_000), PicoUsd(15_000_000)));
}

fn any_price() -> impl Strategy<Value = Price> {
    let some = || prop::option::of((0..50_000_000u64).prop_map(PicoUsd));
    let one = || (1..50_000_000u64).prop_map(PicoUsd);
    let long = (0..300u64, some(), some(), some(), some(), some()).prop_map(
        |(above_input_tokens, input, output, cache_read, cache_write, cache_write_1h)| {
            LongContext {
                above_input_tokens,
                input,
                output,
                cache_read,
                cache_write,
                cache_write_1h,
            }
        },
    );
    let tiers = (some(), some(), some(), some(), some(), some());
    let caches = (some(), some(), some());
    (
        one(),
        one(),
        caches,
        tiers,
        prop::collection::vec(long, 0..3),
    )
        .prop_map(|(input, output, caches, tiers, long_context)| Price {
            cache_read: caches.0,
            cache_write: caches.1,
            cache_write_1h: caches.2,
            flex_input: tiers.0,
            flex_output: tiers.1,
            priority_input: tiers.2,
            priority_output: tiers.3,
            optimized_input: tiers.4,
            optimized_output: tiers.5,
            long_context,
            ..Price::new(input, output)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// No usage costs more than the highest prices say, in its tier or in the standard tier.
    #[test]
    fn highest_prices_bound_every_bill(
        price in any_price(),
        tier in prop_oneof![Just(Tier::Standard), Just(Tier::Flex), Just(Tier::Priority), Just(Tier::Optimized)],
        buckets in (0..200u64, 0..200u64, 0..200u64, 0..200u64, 0..200u64),
        may_cache in any::<bool>(),
        falls_back in any::<bool>(),
    ) {
        let (input, cache_read, short, hour, output) = buckets;
        let (short, hour) = if may_cache { (short, hour) } else { (0, 0) };
        let usage = Usage { input, cache_read, cache_write: short + hour, cache_write_1h: hour, output, ..Usage::default() };
        let billed = if falls_back { Tier::Standard } else { tier };
        if let Some((dearest_input, dearest_output)) = price.highest(tier, may_cache) {
            let cost = price.cost(&usage, billed).unwrap();
            // Each bucket is rounded up.
            let most = dearest_input.times(usage.prompt()) + dearest_output.times(output) + NanoUsd(4);
            prop_assert!(cost.total() <= most, "{:?} {:?}", cost, most);
        }
    }
}
