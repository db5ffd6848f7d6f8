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
