use std::time::Duration;

use super::*;
use crate::{
    call::Occupancy as _,
    model::Target,
    money::Usage,
    upstream::attempt::{breaker::Evidence, registry::TargetHealth},
};

const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];

fn model(strategy: Strategy, weights: [u32; 3]) -> Model {
    let places = REGIONS.iter().zip(weights).map(|(region, weight)| {
        let mut place = Model::new("m", Target::new("example.m", region));
        place.targets.weight = weight;
        Arc::new(place)
    });
    let places = places.collect();
    let mut model = Model::new("m", Target::new("example.m", REGIONS[0])).with_places(places);
    model.targets.strategy = strategy;
    model
}

fn starts(model: &Model, affinities: impl Iterator<Item = Option<u64>>) -> [usize; 3] {
    let registry = Registry::default();
    let choice = Choice::new(&registry, &model.targets, "m");
    let mut counts = [0; 3];
    affinities.for_each(|affinity| counts[choice.start(affinity, 0)] += 1);
    counts
}

#[tokio::test]
async fn calls_are_distributed_by_strategy_and_weight() {
    let none = || std::iter::repeat_n(None, 40);
    let ordered = model(Strategy::Ordered, [1, 1, 1]);
    assert_eq!(starts(&ordered, none()), [40, 0, 0]);
    let in_turn = model(Strategy::RoundRobin, [2, 1, 1]);
    assert_eq!(starts(&in_turn, none()), [20, 10, 10]);
    let keyed = starts(&in_turn, (0..400).map(Some));
    assert!((150..250).contains(&keyed[0]), "{keyed:?}");
}

#[tokio::test]
async fn least_busy_place_is_chosen_by_its_weight() {
    let model = model(Strategy::LeastInFlight, [1, 2, 1]);
    let registry = Registry::default();
    let choice = Choice::new(&registry, &model.targets, "m");
    let mut permits = Vec::new();
    let mut counts = [0; 3];
    for _ in 0..8 {
        let place = choice.start(None, 0);
        counts[place] += 1;
        permits.push(choice.healths[place].admit(false));
    }
    assert_eq!(counts, [2, 4, 2]);
    drop(permits);
    assert!(choice.healths.iter().all(|health| health.in_flight() == 0));
}

#[tokio::test(start_paused = true)]
async fn region_that_was_broken_gets_a_few_calls_again() {
    let model = model(Strategy::Ordered, [1, 1, 1]);
    let registry = Registry::default();
    let choice = Choice::new(&registry, &model.targets, "m");
    for _ in 0..20 {
        let permit = choice.healths[0].admit(false).unwrap();
        permit.end(Some(Evidence::Fails), Duration::ZERO);
    }
    assert_eq!(choice.start(None, 0), 1);
    tokio::time::advance(Duration::from_secs(5)).await;
    let mut probes = Vec::new();
    for _ in 0..3 {
        assert_eq!(choice.start(None, 0), 0);
        probes.push(choice.healths[0].admit(false).unwrap());
    }
    assert_eq!(choice.start(None, 0), 1, "no more than three at a time");
    probes
        .into_iter()
        .for_each(|probe| probe.end(Some(Evidence::Works), Duration::ZERO));
    assert!(registry.report().iter().all(TargetHealth::is_closed));
    assert_eq!(choice.start(None, 0), 0);
}

#[tokio::test(start_paused = true)]
async fn conversation_stays_in_its_region_and_only_those_of_a_lost_region_move() {
    let model = model(Strategy::RoundRobin, [1, 1, 1]);
    let registry = Registry::default();
    let choice = Choice::new(&registry, &model.targets, "m");
    let before: Vec<_> = (0..99).map(|key| choice.start(Some(key), 0)).collect();
    choice.healths[0].rest(Duration::from_secs(1));
    for (key, before) in (0..).zip(&before) {
        let after = choice.start(Some(key), 0);
        assert!(after != 0 && (*before == 0 || after == *before), "{key}");
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let again: Vec<_> = (0..99).map(|key| choice.start(Some(key), 0)).collect();
    assert_eq!(again, before);
}

#[tokio::test(start_paused = true)]
async fn call_begins_where_most_of_the_quota_is_left() {
    let model = model(Strategy::Headroom, [1, 1, 1]);
    let registry = Registry::default();
    let choice = Choice::new(&registry, &model.targets, "m");
    let begin = |tokens| {
        let place = choice.start(None, tokens);
        let permit = choice.healths[place].admit(false).unwrap();
        permit.lease().count(tokens, 5);
        (place, permit)
    };
    let (first, large) = begin(9000);
    let (second, small) = begin(1000);
    let others: Vec<_> = (0..2).map(|_| begin(1000)).collect();
    let places: Vec<_> = others.iter().map(|(place, _)| *place).collect();
    assert_eq!((first, second), (0, 1));
    assert_eq!(places, [2, 1]);
    // AWS throttles the second region at 2,000 tokens a minute, so calls that do not fit go elsewhere.
    let refused = choice.healths[1].admit(false).unwrap();
    refused.lease().count(1500, 5);
    refused.lease().not_admitted(true);
    assert_eq!(choice.healths[1].headroom.quota(), Some(2000.0));
    assert_eq!(begin(1000).0, 2);
    // The large call has used little in the end.
    let usage = Usage {
        input: 100,
        output: 20,
        ..Usage::default()
    };
    large.lease().used(&usage);
    assert_eq!(choice.healths[0].headroom.used(), 200.0);
    assert_eq!(begin(1000).0, 0);
    drop(small);
}

#[tokio::test(start_paused = true)]
async fn slow_region_is_used_only_if_the_others_are_full() {
    let model = model(Strategy::Headroom, [1, 1, 1]);
    let registry = Registry::default();
    let choice = Choice::new(&registry, &model.targets, "m");
    for (health, seconds) in choice.healths.iter().zip([5, 1, 1]) {
        health.answered_within(Duration::from_secs(seconds));
    }
    choice.healths[1].headroom.count(5000);
    assert_eq!(choice.start(None, 100), 2);
    for place in [1, 2] {
        choice.healths[place].headroom.count(2_000_000);
    }
    assert_eq!(choice.start(None, 100), 0);
}
