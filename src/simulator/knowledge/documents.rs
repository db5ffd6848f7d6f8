//! The documents: the gateway's own documentation, cut at its headings, ranked by BM25.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use bm25::{Embedder, EmbedderBuilder, Scorer, Tokenizer};
use serde_json::{Value, json};

use super::filter;

const FILES: [(&str, &str, &str); 7] = [
    ("README.md", "guide", include_str!("../../../README.md")),
    (
        "docs/serving.md",
        "guide",
        include_str!("../../../docs/serving.md"),
    ),
    (
        "ARCHITECTURE.md",
        "design",
        include_str!("../../../ARCHITECTURE.md"),
    ),
    ("SECURITY.md", "guide", include_str!("../../../SECURITY.md")),
    (
        "docs/compatibility.md",
        "reference",
        include_str!("../../../docs/compatibility.md"),
    ),
    (
        "docs/governance.md",
        "guide",
        include_str!("../../../docs/governance.md"),
    ),
    (
        "docs/knowledge-bases.md",
        "guide",
        include_str!("../../../docs/knowledge-bases.md"),
    ),
];

/// The length of a chunk in characters, about as the service's default.
const CHUNK: usize = 1200;

/// The BM25 score, which has no upper bound, that is reported as 0.5.
const HALF: f64 = 4.0;

struct Chunk {
    text: String,
    metadata: Value,
    uri: String,
}

struct Index {
    chunks: Vec<Chunk>,
    embedder: Embedder<u32, Words>,
    scorer: Scorer<usize>,
}

/// A chunk and its score, from 0 to 1.
pub struct Hit {
    chunk: &'static Chunk,
    score: f64,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let chunks: Vec<Chunk> = FILES
        .iter()
        .flat_map(|(name, kind, text)| cut(name, kind, text))
        .collect();
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    let embedder: Embedder<u32, Words> =
        EmbedderBuilder::with_tokenizer_and_fit_to_corpus(Words, &texts).build();
    let mut scorer = Scorer::new();
    for (at, text) in texts.iter().enumerate() {
        scorer.upsert(&at, embedder.embed(text));
    }
    Index {
        chunks,
        embedder,
        scorer,
    }
});

/// Splits a text into lowercase words, without plural endings and stop words.
struct Words;

const STOP_WORDS: [&str; 36] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "doe", "for", "from",
    "how", "i", "if", "in", "is", "it", "no", "not", "of", "on", "or", "that", "the", "this", "to",
    "what", "when", "which", "who", "why", "with", "you",
];

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let words = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty());
        let stems = words.map(|word| {
            let word = word.to_lowercase();
            if word.len() > 3 {
                word.strip_suffix('s').map(str::to_owned).unwrap_or(word)
            } else {
                word
            }
        });
        stems
            .filter(|word| !STOP_WORDS.contains(&word.as_str()))
            .collect()
    }
}

/// The chunks that share a word with `query` and match `filter`, best first.
pub fn search(query: &str, filter: &Value) -> Vec<Hit> {
    let index = &*INDEX;
    let matches = index.scorer.matches(&index.embedder.embed(query));
    let hits = matches.into_iter().map(|found| {
        let score = f64::from(found.score);
        Hit {
            chunk: &index.chunks[found.id],
            score: score / (score + HALF),
        }
    });
    let mut hits: Vec<Hit> = hits
        .filter(|hit| filter::holds(filter, &hit.chunk.metadata))
        .collect();
    // Ties keep the order of the documents, so that results are reproducible.
    hits.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.place().cmp(&b.place()))
    });
    hits
}

/// Orders hits as a reranking model would: by the share of the query's words in the chunk.
pub fn rerank(query: &str, hits: &mut [Hit]) {
    let wanted: HashSet<String> = Words.tokenize(query).into_iter().collect();
    for hit in &mut *hits {
        let own: HashSet<String> = Words.tokenize(&hit.chunk.text).into_iter().collect();
        #[expect(clippy::cast_precision_loss, reason = "words of one query")]
        let part = wanted.intersection(&own).count() as f64 / wanted.len().max(1) as f64;
        hit.score = part;
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
}

impl Hit {
    fn place(&self) -> *const Chunk {
        self.chunk
    }
}

/// A hit as the service reports it.
pub fn result(hit: &Hit) -> Value {
    json!({
        "content": {"text": hit.chunk.text, "type": "TEXT"},
        "location": {"s3Location": {"uri": hit.chunk.uri}, "type": "S3"},
        "metadata": hit.chunk.metadata,
        "score": hit.score,
    })
}

/// Cuts a document into its sections, and long sections between paragraphs.
fn cut(name: &str, kind: &str, text: &str) -> Vec<Chunk> {
    let uri = format!("s3://lintel-docs/{name}");
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut parts: HashMap<&str, u32> = HashMap::new();
    let mut section = name;
    for paragraph in text.split("\n\n").map(str::trim).flat_map(pieces) {
        let heading = paragraph
            .lines()
            .next()
            .and_then(|line| line.strip_prefix('#'));
        if let Some(heading) = heading {
            section = heading.trim_start_matches('#').trim();
        }
        let last = chunks.last_mut().filter(|last| {
            heading.is_none()
                && last.metadata["section"] == section
                && last.text.len() + paragraph.len() < CHUNK
        });
        if let Some(last) = last {
            last.text.push_str("\n\n");
            last.text.push_str(paragraph);
            continue;
        }
        let part = parts
            .entry(section)
            .and_modify(|part| *part += 1)
            .or_insert(1);
        let metadata = json!({
            "x-amz-bedrock-kb-source-uri": uri, "title": section, "file": name, "section": section, "part": part,
            "kind": kind, "tags": ["lintel", kind],
        });
        chunks.push(Chunk {
            text: paragraph.to_owned(),
            metadata,
            uri: uri.clone(),
        });
    }
    chunks
}

/// Splits a paragraph that is longer than a chunk, such as a table, between its lines.
fn pieces(paragraph: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = paragraph;
    while rest.len() > CHUNK {
        let end = rest.floor_char_boundary(CHUNK);
        let Some(line) = rest[..end]
            .rfind('\n')
            .filter(|at| *at > 0)
            .or_else(|| rest.find('\n'))
        else {
            break;
        };
        pieces.push(&rest[..line]);
        rest = &rest[line + 1..];
    }
    pieces.extend(Some(rest).filter(|rest| !rest.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_answers_questions_about_itself() {
        for (question, file) in [
            (
                "How is a budget set aside before a call?",
                "docs/governance.md",
            ),
            (
                "How do max_results, min_score and reranking choose passages?",
                "docs/knowledge-bases.md",
            ),
        ] {
            let best = &search(question, &Value::Null)[0];
            assert_eq!(
                best.chunk.metadata["file"], file,
                "{question}: {}",
                best.chunk.text
            );
            assert!(best.score > 0.3 && best.score < 1.0);
        }
        assert!(search("xyzzy", &Value::Null).is_empty());
        let only = search(
            "budget",
            &json!({"equals": {"key": "file", "value": "README.md"}}),
        );
        assert!(!only.is_empty() && only.iter().all(|hit| hit.chunk.uri.ends_with("README.md")));
    }
}
