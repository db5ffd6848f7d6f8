//! Documents, dashboards and help texts name what exists.

use std::collections::BTreeSet;

use crate::{files, read, root};

/// Returns the names of all metrics, which are the string constants of `metrics.rs`.
fn metrics() -> BTreeSet<String> {
    let text = read(&root().join("src/metrics.rs"));
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1));
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 10);
    names
}

/// Returns the words with a prefix of the exported metrics, without the suffixes of the exposition format.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| {
        ["lintel_", "gen_ai_", "process_"]
            .iter()
            .any(|prefix| word.starts_with(prefix))
    });
    names
        .map(|word| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .fold(word, |word, ending| {
                    word.strip_suffix(ending).unwrap_or(word)
                })
                .to_owned()
        })
        .collect()
}

#[test]
fn dashboards_and_alerts_name_metrics_that_exist() {
    let known = metrics();
    let process = [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ];
    let mut used = BTreeSet::new();
    for path in files("dashboards", ".json")
        .into_iter()
        .chain(files("dashboards", ".yml"))
    {
        for name in named(&read(&path)) {
            assert!(
                known.contains(&name) || process.contains(&name.as_str()),
                "{}: the metric {name} does not exist",
                path.display()
            );
            used.insert(name);
        }
    }
    let unused: Vec<&String> = known.difference(&used).collect();
    assert!(unused.is_empty(), "no panel or alert uses {unused:?}");
}

#[test]
fn every_metric_is_described() {
    let text = read(&root().join("src/metrics.rs"));
    let flat: String = text.split_whitespace().collect();
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter(|line| line.contains(": &str ="))
    {
        let name = line.split(':').next().unwrap();
        let described = ["counter", "gauge", "histogram"]
            .iter()
            .any(|kind| flat.contains(&format!("describe_{kind}!({name},")));
        assert!(described, "{name} has no help text");
    }
}

#[test]
fn dashboards_are_json_with_panels() {
    for path in files("dashboards", ".json") {
        let dashboard: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
        assert!(
            dashboard["panels"]
                .as_array()
                .is_some_and(|panels| !panels.is_empty()),
            "{}",
            path.display()
        );
    }
}

/// The members of a request, in the source of its wire type.
fn members(file: &str, request: &str) -> Vec<String> {
    let source = read(&root().join(file));
    let (_, rest) = source
        .split_once(&format!("pub struct {request} {{"))
        .unwrap();
    let (members, _) = rest.split_once("\n}").unwrap();
    members
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
        .map(|(member, _)| member.to_owned())
        .collect()
}

#[test]
fn the_page_on_compatibility_has_every_member_of_each_request() {
    let page = read(&root().join("docs/compatibility.md"));
    let (chat, rest) = page.split_once("\n## Completions\n").unwrap();
    let (completions, rest) = rest.split_once("\n## Embeddings\n").unwrap();
    let (embeddings, rest) = rest.split_once("\n## Rerank\n").unwrap();
    let (rerank, images) = rest.split_once("\n## Images\n").unwrap();
    for (file, request, section, least) in [
        ("src/openai/chat.rs", "ChatRequest", chat, 30),
        (
            "src/openai/text_completion.rs",
            "CompletionRequest",
            completions,
            15,
        ),
        ("src/openai/embedding.rs", "EmbeddingRequest", embeddings, 6),
        ("src/openai/rerank.rs", "RerankRequest", rerank, 6),
        ("src/openai/image.rs", "ImageRequest", images, 30),
        (
            "src/openai/responses/served/request.rs",
            "Request",
            &read(&root().join("docs/responses.md")),
            40,
        ),
    ] {
        let members = members(file, request);
        assert!(members.len() > least, "{file}: {members:?}");
        for member in members {
            assert!(
                section.contains(&format!("\n| `{member}` |")),
                "no page describes `{member}` of {request}"
            );
        }
    }
}

/// Returns the code blocks of a Markdown file with the info string `kind`.
fn blocks(markdown: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    markdown
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn configuration_examples_in_the_docs_load() {
    let pages = ["README.md", "docs/knowledge-bases.md"]
        .map(|page| read(&root().join(page)))
        .concat();
    let blocks = blocks(&pages, "toml");
    assert!(!blocks.is_empty());
    let variables = vec![(
        "LINTEL_KEY_APP".to_owned(),
        "sk-0123456789abcdef0123456789abcdef".to_owned(),
    )];
    for block in blocks {
        let environment = lintel::config::Environment {
            variables: variables.clone(),
            flags: Vec::new(),
        };
        lintel::config::parse(&block, &environment, None)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{block}"));
    }
}

#[test]
fn make_targets_in_the_readme_exist() {
    let makefile = read(&root().join("Makefile"));
    let readme = read(&root().join("README.md"));
    let commands = blocks(&readme, "sh").join("\n");
    let targets: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.trim().strip_prefix("make "))
        .collect();
    assert!(
        targets.len() >= 2,
        "the README names at least demo and test"
    );
    for target in targets {
        let name = target.split_whitespace().next().unwrap();
        assert!(makefile.contains(&format!("\n{name}:")), "make {name}");
    }
}
