//! Bodies of Responses and Messages that are as large as possible in memory. The first member names the API.

/// Starts, items and ends.
pub const BODIES: [(&str, &str, &str); 21] = [
    (r#"{"instructions":"","model":"m","input":["#, "{},", "]}"),
    (
        r#"{"instructions":"","model":"m","input":["#,
        r#"{"role":"user","content":""},"#,
        "]}",
    ),
    (INPUT, "{},", "]}]}"),
    (INPUT, r#"{"type":"input_text","text":""},"#, "]}]}"),
    (
        r#"{"instructions":"","model":"m","input":["#,
        r#"{"type":"function_call","call_id":"a","name":"f","arguments":""},"#,
        "]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":[{"type":"reasoning","summary":["#,
        "{},",
        "]}]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":["#,
        r#"{"type":"reasoning","summary":[],"encrypted_content":""},"#,
        "]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":[{"type":"function_call_output","call_id":"a","output":["#,
        r#"{"type":"input_text","text":""},"#,
        "]}]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":[{"type":"additional_tools","tools":["#,
        "{},",
        "]}]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":"a","tools":["#,
        r#"{"type":"function","name":"f"},"#,
        "]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":"a","tools":[{"type":"namespace","name":"n","tools":["#,
        "{},",
        "]}]}",
    ),
    (
        r#"{"instructions":"","model":"m","input":"a","include":["#,
        r#""","#,
        "]}",
    ),
    (r#"{"max_tokens":9,"model":"m","messages":["#, "{},", "]}"),
    (
        r#"{"max_tokens":9,"model":"m","messages":["#,
        r#"{"role":"user","content":""},"#,
        "]}",
    ),
    (BLOCKS, "{},", "]}]}"),
    (BLOCKS, r#"{"type":"text","text":""},"#, "]}]}"),
    (
        BLOCKS,
        r#"{"type":"tool_use","id":"a","name":"f","input":{}},"#,
        "]}]}",
    ),
    (
        r#"{"max_tokens":9,"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":["#,
        r#"{"type":"text","text":""},"#,
        "]}]}]}",
    ),
    (
        r#"{"max_tokens":9,"model":"m","messages":[],"system":["#,
        r#"{"type":"text","text":""},"#,
        "]}",
    ),
    (
        r#"{"max_tokens":9,"model":"m","messages":[],"tools":["#,
        r#"{"name":"f","input_schema":{}},"#,
        "]}",
    ),
    (
        r#"{"max_tokens":9,"model":"m","messages":[],"stop_sequences":["#,
        r#""","#,
        "]}",
    ),
];

const INPUT: &str = r#"{"instructions":"","model":"m","input":[{"role":"user","content":["#;
const BLOCKS: &str = r#"{"max_tokens":9,"model":"m","messages":[{"role":"user","content":["#;

/// The start and the end of a session of Responses, and what each of its turns adds.
pub fn responses(turn: usize) -> String {
    let text = "x".repeat(500);
    format!(
        r#"{{"type":"reasoning","summary":[],"encrypted_content":"lt1.{text}"}},{{"type":"function_call","call_id":"c{turn}","name":"f","arguments":"{{\"a\":\"{text}\"}}"}},{{"type":"function_call_output","call_id":"c{turn}","output":"{text}"}}"#
    )
}

/// The same of Messages.
pub fn messages(turn: usize) -> String {
    let text = "x".repeat(500);
    format!(
        r#"{{"role":"assistant","content":[{{"type":"thinking","thinking":"{text}","signature":"{text}"}},{{"type":"tool_use","id":"c{turn}","name":"f","input":{{"a":"{text}"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c{turn}","content":"{text}"}}]}}"#
    )
}
