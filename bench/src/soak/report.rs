//! The table of a soak, and its verdict.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{Calls, Counts, Cpu, Sample, Scale, good::quantile};

/// Reads one number from a sample.
type Count = fn(&Sample) -> f64;

pub struct Report {
    pub scale: Scale,
    pub duration: Duration,
    /// Of the well-behaved key: before, during and after the storm.
    pub calls: [Calls; 3],
    pub samples: Vec<Sample>,
    /// Before and after the storm, when nothing is left of any call.
    pub start: Sample,
    pub end: Sample,
    /// Requests that an empty gateway refused. `None`: the machine was too slow to find out.
    pub refused: Option<usize>,
    pub counts: Arc<Counts>,
    pub cpu: Cpu,
}

impl Report {
    /// Prints a Markdown table, ready to paste.
    pub fn print(&self, max_ratio: f64) {
        let Self {
            scale,
            duration,
            counts,
            cpu,
            start,
            end,
            ..
        } = self;
        let of = |count: &std::sync::atomic::AtomicUsize| count.load(Relaxed);
        println!(
            "{} s; {} idle strangers ({} connections), {} slow readers ({}), {} slow writers ({}), {} calls with a broken upstream",
            duration.as_secs(),
            scale.strangers,
            of(&counts.strangers),
            scale.slow,
            of(&counts.readers),
            scale.slow,
            of(&counts.writers),
            of(&counts.broken),
        );
        println!(
            "flooding key: {} calls answered, {} limited, {} otherwise",
            of(&counts.admitted),
            of(&counts.limited),
            of(&counts.other)
        );
        let share = |time: Duration| 100.0 * time.as_secs_f64() / duration.as_secs_f64();
        println!(
            "CPU, in percent of one core: gateway {:.0}, simulator {:.0}, load generator {:.0}",
            share(cpu.lintel),
            share(cpu.simulator),
            share(cpu.own)
        );
        println!();
        println!("| what | before | storm | after | bound |");
        println!("|---|---|---|---|---|");
        let [before, during, after] = &self.calls;
        for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
            let [before, during, after] = [before, during, after].map(|calls| calls.quantile(q));
            println!(
                "| {name} of the well-behaved key | {before:.1} ms | {during:.1} ms ({:.2}x) | {after:.1} ms ({:.2}x) | {} |",
                during / before,
                after / before,
                match name {
                    "p99" => format!("{max_ratio}x"),
                    _ => "–".to_owned(),
                }
            );
        }
        let replies = |q: f64| {
            let times = self
                .calls
                .each_ref()
                .map(|calls| quantile(&calls.replies, q));
            times.map(|time| format!("{time:.1} ms")).join(" | ")
        };
        for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
            println!(
                "| {name} without connecting and waiting for its turn | {} | – |",
                replies(q)
            );
        }
        println!(
            "| its calls, and failures | {} |",
            self.calls
                .each_ref()
                .map(|calls| format!("{}, {}", calls.latencies.len(), failures(calls)))
                .join(" | ")
                + " | 0 failures"
        );
        let most = |of: fn(&Sample) -> f64| self.samples.iter().map(of).fold(0.0, f64::max);
        println!(
            "| RSS | {:.1} MiB | at most {:.1} MiB | {:.1} MiB | flat |",
            start.rss,
            most(|sample| sample.rss),
            end.rss
        );
        let counts: [(&str, Count); 5] = [
            ("file descriptors", |sample| sample.descriptors as f64),
            ("client connections", |sample| sample.connections),
            ("calls in flight", |sample| sample.in_flight),
            ("open streams", |sample| sample.streams),
            ("open holds", |sample| sample.holds),
        ];
        for (name, of) in counts {
            let bound = match name {
                "file descriptors" => "as before",
                _ => "0 left",
            };
            println!(
                "| {name} | {} | at most {} | {} | {bound} |",
                of(start),
                most(of),
                of(end)
            );
        }
        println!(
            "| requests refused by an empty gateway | – | – | {} | 0 |",
            self.refused
                .map_or("not measured".to_owned(), |refused| refused.to_string())
        );
        println!();
        let rss = self
            .samples
            .iter()
            .map(|sample| format!("{:.0} s: {:.0}", sample.at.as_secs_f64(), sample.rss));
        println!("RSS in MiB: {}", rss.collect::<Vec<_>>().join(", "));
        for calls in &self.calls {
            for (why, count) in &calls.failures {
                println!("failed {count} times: {why}");
            }
        }
    }

    /// Returns what is not as it should be.
    pub fn faults(&self, max_ratio: f64) -> Vec<String> {
        let mut faults = Vec::new();
        let failed: usize = self.calls.iter().map(failures).sum();
        if failed > 0 {
            faults.push(format!("{failed} calls of the well-behaved key failed"));
        }
        let [before, during, _] = &self.calls;
        let ratio = during.quantile(0.99) / before.quantile(0.99);
        // Also if there was no call.
        if ratio.is_nan() || ratio > max_ratio {
            faults.push(format!("p99 is {ratio:.1} times as long in the storm"));
        }
        if !self.end.is_quiet(self.start.descriptors) {
            faults.push("connections, calls, holds or descriptors are left".to_owned());
        }
        match self.refused {
            Some(0) => {}
            Some(refused) => faults.push(format!("permits for {refused} requests are left")),
            None => faults.push("the machine is too slow to fill the gateway".to_owned()),
        }
        if self.grows() {
            faults.push("the memory keeps growing".to_owned());
        }
        faults
    }

    /// Compares the last third of the storm with the second.
    fn grows(&self) -> bool {
        let third = self.samples.len() / 3;
        let mean = |samples: &[Sample]| {
            samples.iter().map(|sample| sample.rss).sum::<f64>() / samples.len() as f64
        };
        let (second, last) = self.samples[third..].split_at(third);
        mean(last) > 1.1 * mean(second) + 8.0
    }
}

fn failures(calls: &Calls) -> usize {
    calls.failures.values().sum()
}
