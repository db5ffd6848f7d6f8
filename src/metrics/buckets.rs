//! The buckets of the histograms.

use super::{
    ESTIMATE_ERROR, KB_CONTEXT, KB_RESULTS, KB_RETRIEVE, LEDGER_APPEND, OVERHEAD, REQUEST_DURATION,
    TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN, TOKEN_USAGE,
};

/// The upper bounds of the buckets of each histogram, in its unit. `gen_ai` histograms have the bounds that
/// OpenTelemetry advises.
pub const BUCKETS: [(&str, &[f64]); 10] = [
    (
        TOKEN_USAGE,
        &[
            1.0,
            4.0,
            16.0,
            64.0,
            256.0,
            1024.0,
            4096.0,
            16384.0,
            65536.0,
            262_144.0,
            1_048_576.0,
            4_194_304.0,
            16_777_216.0,
            67_108_864.0,
        ],
    ),
    (
        REQUEST_DURATION,
        &[
            0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
            163.84, 327.68, 655.36,
        ],
    ),
    (
        TIME_TO_FIRST_TOKEN,
        &[
            0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
        ],
    ),
    (
        TIME_PER_OUTPUT_TOKEN,
        &[
            0.001, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
        ],
    ),
    (
        ESTIMATE_ERROR,
        &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 2.0],
    ),
    (
        LEDGER_APPEND,
        &[
            0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0,
        ],
    ),
    (
        KB_RETRIEVE,
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
    ),
    (
        KB_RESULTS,
        &[0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0],
    ),
    (
        KB_CONTEXT,
        &[
            0.0, 250.0, 500.0, 1000.0, 2000.0, 3000.0, 5000.0, 8000.0, 12_000.0, 30_000.0,
            100_000.0,
        ],
    ),
    (
        OVERHEAD,
        &[
            0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25,
        ],
    ),
];
