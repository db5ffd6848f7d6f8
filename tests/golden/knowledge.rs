//! Snapshots of the bodies that Retrieve and the model receive for requests with `kb`.

use std::fs;

use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{files, name, settings, without_ids};
use crate::support::{Gateway, sha256};

const SECRET: &str = "sk-test-golden";

fn configuration() -> String {
    format!(
        r#"
        [knowledge_bases.docs]
        id = "GOLDENDOCS"
        [knowledge_bases.templated]
        id = "TEMPLATED0"
        prompt_file = "{}/tests/golden/knowledge/template.txt"
        filter = {{ type = "ne", key = "draft", value = true }}
        [keys.all2]
        sha256 = "{}"
        knowledge_bases = ["*"]
        "#,
        env!("CARGO_MANIFEST_DIR"),
        sha256(SECRET)
    )
}

/// Each case consists of a request and of the results that Retrieve returns for it.
#[tokio::test]
async fn passages_are_added_to_the_prompt() {
    for path in files("knowledge", ".json") {
        let gateway = Gateway::start_with(&configuration()).await;
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        gateway.simulator.script(ScriptedReply::json(
            200,
            json!({"retrievalResults": case["results"]}).to_string(),
        ));
        let reply = gateway.as_key(SECRET, &case["request"]).await;
        assert_eq!(reply.status, 200, "{}: {}", path.display(), reply.text());
        let received = gateway.simulator.received();
        let search = std::str::from_utf8(&received[0].body).unwrap();
        let converse = std::str::from_utf8(&received[1].body)
            .unwrap()
            .replace("\"lintel_key_id\":\"all2\"", "\"lintel_key_id\":\"all\"");
        let tag = converse
            .split("<passages-")
            .nth(1)
            .unwrap()
            .split('>')
            .next()
            .unwrap();
        let converse = without_ids(converse.as_bytes()).replace(tag, "TAG");
        // The prompt without JSON escapes, for reviewers of the snapshot.
        let sent: Value = serde_json::from_str(&converse).unwrap();
        let turns = sent["messages"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|turn| turn["content"].as_array().unwrap());
        let prompt = turns
            .filter_map(|block| {
                let guarded = block["guardContent"]["text"]["text"].as_str();
                block["text"].as_str().or(guarded)
            })
            .find(|text| text.contains("<passages-"))
            .unwrap();
        let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
        let kb = &reply.json()["kb"];
        let text = format!(
            "{}\n{search}\n\n{converse}\n\n{prompt}\n\n{kb}\nwarnings: {warnings}\n",
            received[0].path
        );
        settings().bind(|| insta::assert_snapshot!(format!("knowledge_{}", name(&path)), text));
    }
}
