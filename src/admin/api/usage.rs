//! `/admin/usage`: spend and tokens, grouped, as JSON or CSV.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::header,
    response::IntoResponse,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, dollars, duration};
use crate::{
    admin::error::ApiError,
    governance::{GroupBy, ReportQuery, ReportRow},
};

/// The length of a roll-up, in seconds.
const QUARTER: i64 = 900;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// Comma-separated.
    #[serde(default)]
    by: Option<String>,
    /// A duration before now, or a time.
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    until: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    format: Option<String>,
}

pub async fn report(State(api): State<Arc<Api>>, Query(query): Query<UsageQuery>) -> Answer {
    let by = query
        .by
        .as_deref()
        .unwrap_or("key,team,model")
        .split(',')
        .filter(|name| !name.is_empty());
    let by: Vec<GroupBy> = by
        .map(|name| {
            let known = GroupBy::ALL
                .into_iter()
                .find(|(known, _)| *known == name.trim());
            known.map(|(_, by)| by).ok_or_else(|| {
                let names = GroupBy::ALL.map(|(name, _)| name).join(", ");
                ApiError::invalid(format!("'by': '{name}' is not one of {names}."))
            })
        })
        .collect::<Result<_, _>>()?;
    let now = Timestamp::now().as_second();
    let since = moment("since", query.since.as_deref().unwrap_or("7d"), now)?;
    // Roll-ups cover a quarter of an hour. Those that contain `since` and the last second before `until` are included.
    let since = since.div_euclid(QUARTER) * QUARTER;
    let until = query.until.as_deref();
    let until = until.map(|text| moment("until", text, now)).transpose()?;
    let until = until.map(|until| until.saturating_add(QUARTER - 1).div_euclid(QUARTER) * QUARTER);
    if until.is_some_and(|until| until <= since) {
        return Err(ApiError::invalid("'until' must be later than 'since'."));
    }
    let groups = api
        .ledger
        .report(ReportQuery {
            by: by.clone(),
            since,
            until: until.unwrap_or(i64::MAX),
            key_id: None,
        })
        .await?;
    match query.format.as_deref() {
        None | Some("json") => {
            let rows: Vec<Value> = groups.iter().map(|group| row(&by, group)).collect();
            Ok(Json(json!({"since": since, "until": until, "rows": rows})).into_response())
        }
        Some("csv") => Ok((
            [(header::CONTENT_TYPE, "text/csv; charset=utf-8")],
            csv(&by, &groups),
        )
            .into_response()),
        Some(_) => Err(ApiError::invalid("'format' must be 'json' or 'csv'.")),
    }
}

/// A duration before `now` such as `7d`, or a time such as `2026-01-31T00:00:00Z`, in Unix seconds.
fn moment(name: &str, text: &str, now: i64) -> Result<i64, ApiError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let ago = duration(name, text)?;
    Ok(now.saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX)))
}

fn row(by: &[GroupBy], group: &ReportRow) -> Value {
    let mut row = serde_json::Map::new();
    for (by, name) in by.iter().zip(&group.names) {
        row.insert(by.as_str().to_owned(), name.as_str().into());
    }
    let counts = [
        ("requests", group.calls),
        ("input_tokens", group.input),
        ("cache_read_tokens", group.cache_read),
        ("cache_write_tokens", group.cache_write),
        ("output_tokens", group.output),
    ];
    row.extend(counts.map(|(name, count)| (name.to_owned(), count.into())));
    row.insert("cost_usd".to_owned(), dollars(group.cost).into());
    Value::Object(row)
}

fn csv(by: &[GroupBy], groups: &[ReportRow]) -> String {
    // A spreadsheet would evaluate a cell that starts with one of these as a formula.
    let plain = |text: &str| {
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            format!("'{text}")
        } else {
            text.to_owned()
        }
    };
    let quoted = |text: &str| match plain(text) {
        text if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        text => text,
    };
    let heads = by.iter().map(|by| by.as_str()).chain([
        "requests",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "output_tokens",
        "cost_usd",
    ]);
    let mut text = heads.collect::<Vec<_>>().join(",") + "\n";
    for group in groups {
        let ReportRow {
            names,
            calls,
            input,
            cache_read,
            cache_write,
            output,
            cost,
        } = group;
        let counts = [calls, input, cache_read, cache_write, output].map(ToString::to_string);
        let cells: Vec<String> = names
            .iter()
            .map(|name| quoted(name))
            .chain(counts)
            .chain([dollars(*cost)])
            .collect();
        text.push_str(&(cells.join(",") + "\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_a_spreadsheet_would_evaluate_are_quoted() {
        let group = |name: &str| ReportRow {
            names: vec![name.to_owned()],
            calls: 1,
            input: 2,
            cache_read: 3,
            cache_write: 4,
            output: 5,
            cost: -6,
        };
        for (name, cell) in [
            ("=1+1", "'=1+1"),
            ("\rx", "\"'\rx\""),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
        ] {
            let text = csv(&[GroupBy::Model], &[group(name)]);
            let row = text.split_once('\n').unwrap().1;
            assert_eq!(row, format!("{cell},1,2,3,4,5,-0.000000006\n"));
        }
    }
}
