//! The calls that clients make: the same for every strategy, because their random numbers have a fixed seed.

use std::time::Duration;

use super::{MINUTES, aws::PER_OUTPUT, quota};

const SEED: u64 = 2026;

/// Keys that call all the time, each call independent of the others.
const STEADY: usize = 6;

/// Keys that make all calls of a period at its beginning, within [`BURST`].
const BURSTY: usize = 2;
const PERIOD: f64 = 120.0;
const BURST: f64 = 10.0;

/// A client's limit of the output, in tokens, is one of these.
const LIMITS: [u64; 3] = [512, 1024, 2048];

/// The averages of what a call has, in tokens. Both are distributed evenly between a third and five thirds of that.
const INPUT: u64 = 900;
const OUTPUT: u64 = 150;

/// Tokens of output per second.
const SPEED: f64 = 50.0;

/// One call.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it is made, since the beginning.
    pub at: Duration,
    pub key: String,
    pub is_bursty: bool,
    pub input: u64,
    pub output: u64,
    pub max_tokens: u64,
    /// The size of the prompt. The gateway does not know how many tokens that is.
    pub bytes: usize,
    pub first_token: Duration,
    /// The time from the first token to the end.
    pub rest: Duration,
}

/// Returns all calls in their order. They use `load` times the quotas in the end; half of that is of bursty keys.
pub fn requests(load: f64) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let tokens_of_one = (INPUT + OUTPUT * PER_OUTPUT) as f64;
    let per_second = load * quota() as f64 / 60.0 / tokens_of_one;
    let end = (MINUTES * 60) as f64;
    let mut requests = Vec::new();
    for key in 0..STEADY {
        let rate = per_second / 2.0 / STEADY as f64;
        let mut at = 0.0;
        loop {
            at -= (1.0 - random.f64()).ln() / rate;
            if at >= end {
                break;
            }
            requests.push(request(&mut random, at, format!("steady-{key}"), false));
        }
    }
    for key in 0..BURSTY {
        let count = (per_second / 2.0 / BURSTY as f64 * PERIOD).round() as usize;
        let mut begin = random.f64() * (PERIOD - BURST);
        while begin < end {
            for _ in 0..count {
                let at = begin + random.f64() * BURST;
                requests.push(request(&mut random, at, format!("bursty-{key}"), true));
            }
            begin += PERIOD;
        }
    }
    requests.sort_by_key(|request| request.at);
    requests
}

fn request(random: &mut fastrand::Rng, at: f64, key: String, is_bursty: bool) -> Request {
    let mut around = |average: u64| random.u64(average / 3..=average * 5 / 3);
    let (input, output) = (around(INPUT), around(OUTPUT));
    let limits = LIMITS.iter().filter(|limit| **limit >= output);
    let limits: Vec<_> = limits.collect();
    let bytes_of_token = 3.2 + 1.6 * random.f64();
    Request {
        at: Duration::from_secs_f64(at),
        key,
        is_bursty,
        input,
        output,
        max_tokens: *limits[random.usize(0..limits.len())],
        bytes: (input as f64 * bytes_of_token) as usize,
        first_token: Duration::from_secs_f64(0.5 + random.f64()),
        rest: Duration::from_secs_f64(output as f64 / SPEED),
    }
}
