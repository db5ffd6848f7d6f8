//! Compares the strategies of regions under AWS's quotas of tokens per minute, in simulated time: `lintel-bench quota`. The
//! choice of regions, the head-room and the queue are the gateway's own code. Only AWS and the clients are simulated.

mod aws;
mod plot;
mod scene;
mod tenants;

use std::{fs, path::Path};

use lintel::model::Strategy;

use self::{
    aws::Rule,
    scene::{Outcome, play},
};
use crate::BoxError;

/// The regions and their quotas, in tokens per minute.
const QUOTAS: [(&str, u64); 3] = [
    ("us-east-1", 100_000),
    ("us-west-2", 50_000),
    ("eu-west-1", 25_000),
];

/// How long the clients call, in minutes.
const MINUTES: u64 = 4;

/// The demands that the plot shows, relative to the sum of the quotas.
const LOADS: [f64; 3] = [0.5, 1.0, 2.0];

/// The files of the documentation that have the results.
const PAGE: &str = "regions.md";
const PLOT: &str = "quota.svg";

/// The lines of the page that enclose the table.
const BEGIN: &str = "<!-- The output of `make quota`. -->\n";
const END: &str = "<!-- The end of the output. -->\n";

/// What is compared: a strategy, and whether calls wait.
#[derive(Clone, Copy)]
pub struct Subject {
    pub name: &'static str,
    strategy: Strategy,
    has_queue: bool,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "ordered",
        strategy: Strategy::Ordered,
        has_queue: false,
    },
    Subject {
        name: "round_robin",
        strategy: Strategy::RoundRobin,
        has_queue: false,
    },
    Subject {
        name: "headroom",
        strategy: Strategy::Headroom,
        has_queue: false,
    },
    Subject {
        name: "headroom, queue",
        strategy: Strategy::Headroom,
        has_queue: true,
    },
];

/// Prints the table. Writes it and the plot into the documentation in `docs`, if given.
pub fn run(docs: Option<&Path>) -> Result<(), BoxError> {
    let table = table()?;
    print!("{table}");
    let Some(docs) = docs else { return Ok(()) };
    let page = docs.join(PAGE);
    let text = fs::read_to_string(&page)?;
    fs::write(&page, replaced(&text, &table)?)?;
    fs::write(docs.join(PLOT), plot()?)?;
    Ok(())
}

/// Returns `page` with `table` between its marks.
fn replaced(page: &str, table: &str) -> Result<String, BoxError> {
    let lacks = || BoxError::from("the page lacks the marks around the table");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(lacks)?;
    let (_, after) = rest.split_once(END).ok_or_else(lacks)?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// Returns a Markdown table of every strategy, with a demand as large as the quotas.
fn table() -> Result<String, BoxError> {
    let mut table = String::from(
        "| AWS counts by | Strategy | Answered calls | of steady keys | of bursty keys | Quota used | 429 from AWS | 429 to clients | Wait p50 | p99 |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for rule in [Rule::Bucket, Rule::Window] {
        for subject in SUBJECTS {
            let outcome = play(subject, rule, 1.0)?;
            table.push_str(&row(subject, rule, &outcome));
        }
    }
    Ok(table)
}

fn row(subject: Subject, rule: Rule, outcome: &Outcome) -> String {
    let minutes = MINUTES as f64;
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let each_minute = |count: u64| format!("{:.1}/min", count as f64 / minutes);
    let seconds = |share: f64| format!("{:.1} s", outcome.wait(share).as_secs_f64());
    format!(
        "| {} | `{}` | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        rule.name(),
        subject.name.replace(", ", "` + `"),
        percent(outcome.answered(|_| true)),
        percent(outcome.answered(|is_bursty| !is_bursty)),
        percent(outcome.answered(|is_bursty| is_bursty)),
        percent(outcome.tokens as f64 / (quota() as f64 * minutes)),
        each_minute(outcome.throttled),
        each_minute(outcome.refused()),
        seconds(0.5),
        seconds(0.99),
    )
}

/// Returns the plot of the answered calls over the demand.
fn plot() -> Result<String, BoxError> {
    let mut lines = Vec::new();
    for subject in SUBJECTS {
        let mut points = Vec::new();
        for load in LOADS {
            let outcome = play(subject, Rule::Window, load)?;
            points.push((load, outcome.answered(|_| true) * 100.0));
        }
        lines.push((subject.name, points));
    }
    Ok(plot::draw(&lines))
}

/// The quota of all regions together, in tokens per minute.
fn quota() -> u64 {
    QUOTAS.iter().map(|(_, quota)| quota).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(name: &str) -> String {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        fs::read_to_string(docs.join(name)).unwrap()
    }

    #[test]
    fn table_of_the_documentation_is_what_the_simulation_prints() {
        let page = docs(PAGE);
        let expected = replaced(&page, &table().unwrap()).unwrap();
        assert_eq!(page, expected, "run `make quota`");
    }

    #[test]
    fn plot_of_the_documentation_is_what_the_simulation_draws() {
        assert_eq!(docs(PLOT), plot().unwrap(), "run `make quota`");
    }
}
