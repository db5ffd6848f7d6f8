//! The table of results.

/// One row: the measurements of the proxy and the gateway, and the target.
pub struct Row {
    pub what: String,
    pub proxy: Option<f64>,
    pub lintel: f64,
    pub unit: &'static str,
    /// The maximum of the ratio if `of_ratio` is set, otherwise of the value.
    pub target: Option<f64>,
    pub of_ratio: bool,
}

impl Row {
    fn met(&self) -> Option<bool> {
        let value = if self.of_ratio {
            self.lintel / self.proxy?
        } else {
            self.lintel
        };
        Some(value <= self.target?)
    }
}

/// Prints a Markdown table, ready to paste.
pub fn print(rows: &[Row]) {
    println!("| what | proxy | lintel | ratio | target |");
    println!("|---|---|---|---|---|");
    for row in rows {
        let proxy = row
            .proxy
            .map_or("–".to_owned(), |value| format!("{value:.1} {}", row.unit));
        let ratio = row.proxy.map_or("–".to_owned(), |value| {
            format!("{:.2}x", row.lintel / value)
        });
        let target = match (row.target, row.met()) {
            (Some(target), Some(met)) => {
                let bound = if row.of_ratio {
                    format!("<= {target}x")
                } else {
                    format!("<= {target} {}", row.unit)
                };
                format!("{bound}: {}", if met { "met" } else { "MISSED" })
            }
            _ => "–".to_owned(),
        };
        println!(
            "| {} | {proxy} | {:.1} {} | {ratio} | {target} |",
            row.what, row.lintel, row.unit
        );
    }
}
