//! Bounds the memory that parsing a body takes, by counting allocations. In a binary of its own, because it needs its own
//! allocator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may fail"
)]

mod agents;

use lintel::{
    call::Warnings,
    edge::{
        chat_request, completion_request, embedding_request, messages_request, rerank_request,
        responses_request,
    },
};
use lintel_counting_allocator::{Allocations, CountingAllocator, count};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const MIB: usize = 1024 * 1024;

/// The sizes of bodies: the largest that is parsed on the thread of its connection, a large one, and almost the default of
/// `server.max_body`.
const SIZES: [usize; 3] = [MIB / 4, 4 * MIB, 31 * MIB];

/// Parses the body as a request of the API that its first member names. Counts what this allocates, whether the body is
/// accepted or not.
fn parse(body: &[u8]) -> Allocations {
    let warnings = Warnings::default();
    let (_, allocations) = count(|| match body {
        body if body.starts_with(br#"{"input""#) => embedding_request(body, &warnings).map(drop),
        body if body.starts_with(br#"{"query""#) => rerank_request(body, &warnings).map(drop),
        body if body.starts_with(br#"{"prompt""#) => completion_request(body, &warnings).map(drop),
        body if body.starts_with(br#"{"instructions""#) => {
            responses_request(body, &warnings).map(drop)
        }
        body if body.starts_with(br#"{"max_tokens""#) => {
            messages_request(body, &warnings).map(drop)
        }
        body => chat_request(body, &warnings).map(drop),
    });
    allocations
}

/// Returns a body of about `size` bytes: `start`, `item` as often as fits, and `end`.
fn body(start: &str, item: &str, end: &str, size: usize) -> Vec<u8> {
    let times = (size - start.len() - end.len()) / item.len();
    let last = item.trim_end().trim_end_matches(',');
    format!("{start}{}{last}{end}", item.repeat(times - 1)).into_bytes()
}

/// Adds spaces to `item`, so that a body of any size may consist of it.
fn spaced(item: &str) -> String {
    let values = item.bytes().filter(|byte| b"{[,".contains(byte)).count();
    format!("{item:<width$}", width = values * 16)
}

/// Starts, items and ends of bodies that are as large as possible in memory.
const BODIES: [(&str, &str, &str); 40] = [
    // Lists of the smallest items that are read into a type.
    (r#"{"query":"q","documents":["#, r#""a","#, "]}"),
    (r#"{"query":"q","documents":["#, r#"{"text":""},"#, "]}"),
    (CONTENT, "{},", "]}]}"),
    (CONTENT, r#"{"type":"text"},"#, "]}]}"),
    (CONTENT, r#"{"type":"text","text":"a"},"#, "]}]}"),
    (CONTENT, r#"{"type":"a","cachePoint":{}},"#, "]}]}"),
    (CONTENT, r#"{"content":[{"content":[{}]}]},"#, "]}]}"),
    (r#"{"model":"m","messages":["#, "{},", "]}"),
    (r#"{"model":"m","messages":["#, r#"{"role":"user"},"#, "]}"),
    (
        r#"{"model":"m","messages":["#,
        r#"{"role":"user","content":[{},{},{},{},{},{},{},{},{}]},"#,
        "]}",
    ),
    (MESSAGE, r#""tool_calls":[{},{},{}],"#, "\"a\":1}]}"),
    (
        r#"{"model":"m","messages":[{"role":"user","tool_calls":["#,
        r#"{"id":""},"#,
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"assistant","thinking_blocks":["#,
        r#"{"type":""},"#,
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"assistant","reasoning_details":["#,
        r#"{"type":""},"#,
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"assistant","server_tool_blocks":["#,
        "{},",
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"assistant","server_tool_blocks":[{"toolResult":{"toolUseId":"a","content":["#,
        "{},",
        "]}}]}]}",
    ),
    (
        r#"{"model":"m","messages":[],"tools":["#,
        r#"{"type":""},"#,
        "]}",
    ),
    (
        r#"{"model":"m","messages":[],"functions":["#,
        r#"{"name":""},"#,
        "]}",
    ),
    (r#"{"model":"m","messages":[],"stop":["#, r#""","#, "]}"),
    (
        r#"{"model":"m","messages":[],"modalities":["#,
        r#""","#,
        "]}",
    ),
    (r#"{"model":"m","messages":[],"kb":["#, r#""","#, "]}"),
    (
        r#"{"model":"m","messages":[],"kb":{"name":["#,
        r#""","#,
        "]}}",
    ),
    (
        r#"{"model":"m","messages":[],"tools":[{"type":"file_search","vector_store_ids":["#,
        r#""","#,
        "]}]}",
    ),
    (
        r#"{"model":"m","messages":[],"tool_choice":{"allowed_tools":{"mode":"auto","tools":["#,
        "{},",
        "]}}}",
    ),
    // Maps.
    (
        r#"{"model":"m","messages":[],"metadata":{"#,
        r#""":"","#,
        "}}",
    ),
    (
        r#"{"model":"m","messages":[],"logit_bias":{"#,
        r#""":0,"#,
        "}}",
    ),
    (
        BEDROCK,
        r#""request_metadata":{"":"","":""},"#,
        r#""cache":"auto"}}"#,
    ),
    (
        r#"{"model":"m","messages":[],"bedrock":{"request_metadata":{"#,
        r#""":"","#,
        "}}}",
    ),
    (
        r#"{"model":"m","messages":[],"bedrock":{"prompt_variables":{"#,
        r#""":"","#,
        "}}}",
    ),
    (
        r#"{"model":"m","messages":[],"bedrock":{"additional_model_response_field_paths":["#,
        r#""","#,
        "]}}",
    ),
    (
        r#"{"model":"m","messages":[],"bedrock":{"additional_model_request_fields":{"a":["#,
        "0,",
        "]}}}",
    ),
    (
        r#"{"model":"m","messages":[],"bedrock":{"additional_model_request_fields":{"a":["#,
        "[],",
        "]}}}",
    ),
    (
        r#"{"model":"m","messages":[],"bedrock":{"additional_model_request_fields":{"a":["#,
        "[0,                                            ],",
        "]}}}",
    ),
    // Members that no API has.
    (r#"{"model":"m","messages":[],"x":["#, "[],", "]}"),
    (r#"{"model":"m","messages":[],"x":"#, "[", "}"),
    (r#"{"model":"m","messages":[],"#, r#""x":0,"#, "}"),
    (MESSAGE, r#""x":0,"#, "}]}"),
    (
        MESSAGE,
        r#""x":"                                  ","#,
        "}]}",
    ),
    // The other APIs.
    (r#"{"input":["#, r#""a","#, r#"],"model":"m"}"#),
    (r#"{"prompt":["#, r#""a","#, r#"],"model":"m"}"#),
];

const MESSAGE: &str = r#"{"model":"m","messages":[{"role":"user","#;
const CONTENT: &str = r#"{"model":"m","messages":[{"role":"user","content":["#;
const BEDROCK: &str = r#"{"model":"m","messages":[],"bedrock":{"#;

/// Starts, items and ends of bodies with one long text.
const TEXTS: [(&str, &str, &str); 4] = [
    (
        r#"{"model":"m","messages":[{"role":"user","content":""#,
        "\\n",
        r#""}]}"#,
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":""#,
        "\\u00e9",
        r#""}]}"#,
    ),
    (r#"{"model":"m","messages":[{"role":""#, "\\n", r#""}]}"#),
    (r#"{"model":"m","messages":[],""#, "\\n", r#"":0}"#),
];

/// Items of messages whose lists would be too long if they were in one message.
const ITEMS: [(&str, &str); 5] = [
    ("content", "{},"),
    ("content", r#"{"type":"text","text":"a"},"#),
    ("content", r#"{"content":[{"content":[{}]}]},"#),
    ("tool_calls", r#"{"id":""},"#),
    ("reasoning_details", r#"{"type":""},"#),
];

/// Checks that parsing `body` needs little memory and work.
fn check(body: &[u8], at: &str) {
    let size = body.len();
    let Allocations { peak, total } = parse(body);
    assert!(
        peak <= 12 * size + 16 * MIB,
        "{at}: {size} bytes became {peak}"
    );
    // Includes what is allocated again: lists that grow, and the second pass that finds the place of an error.
    assert!(
        total <= 80 * size + 32 * MIB,
        "{at}: {size} bytes took {total}"
    );
}

/// Checks bodies of one list.
fn check_lists(size: usize) {
    for (start, item, end) in BODIES.into_iter().chain(agents::BODIES) {
        check(&body(start, item, end, size), &format!("{start}{item}"));
    }
}

/// Checks bodies of as many values as their size allows.
fn check_spaced(size: usize) {
    for (start, item, end) in BODIES.into_iter().chain(agents::BODIES) {
        let body = body(start, &spaced(item), end, size);
        check(&body, &format!("{start}{item}"));
    }
}

/// Checks bodies of many messages with long lists.
fn check_messages(size: usize) {
    for (member, item) in ITEMS {
        let (items, last) = (spaced(item).repeat(119), item.trim_end_matches(','));
        let message = format!(r#"{{"role":"assistant","{member}":[{items}{last}]}},"#);
        let body = body(r#"{"model":"m","messages":["#, &message, "]}", size);
        check(&body, &format!("{member}: {item}"));
    }
}

/// The old code allocated 9.2 GiB for 31 MiB of `{},` in `content`.
#[test]
fn parsing_one_list_takes_a_small_multiple_of_its_size() {
    for size in SIZES {
        check_lists(size);
    }
}

#[test]
fn parsing_a_long_text_takes_a_small_multiple_of_its_size() {
    for (start, item, end) in TEXTS {
        check(&body(start, item, end, SIZES[1]), &format!("{start}{item}"));
    }
    let (start, item, end) = TEXTS[0];
    check(&body(start, item, end, SIZES[2]), item);
}

#[test]
fn parsing_as_many_values_as_allowed_takes_a_small_multiple_of_their_size() {
    check_spaced(SIZES[0]);
    check_spaced(SIZES[1]);
}

/// Builds the items of a session of so many turns.
type Session = fn(usize) -> String;

/// Every request of a session repeats all its turns.
#[test]
fn parsing_a_hundred_turns_of_an_agent_takes_a_small_multiple_of_their_size() {
    let sessions: [(&str, Session); 2] = [
        (
            r#"{"instructions":"","model":"m","input":["#,
            agents::responses,
        ),
        (
            r#"{"max_tokens":9,"model":"m","messages":["#,
            agents::messages,
        ),
    ];
    for (start, turn) in sessions {
        let turns: Vec<String> = (0..100).map(turn).collect();
        let body = format!(
            r#"{start}{{"role":"user","content":"Go"}},{}]}}"#,
            turns.join(",")
        );
        let Allocations { peak, total } = parse(body.as_bytes());
        let size = body.len();
        assert!(peak <= 4 * size, "{start}: {size} bytes became {peak}");
        assert!(total <= 10 * size, "{start}: {size} bytes took {total}");
    }
}

#[test]
fn parsing_many_messages_takes_a_small_multiple_of_their_size() {
    for size in SIZES {
        check_messages(size);
    }
}
