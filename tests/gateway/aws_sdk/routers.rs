//! Replies of prompt routers, whose trace names the model by an ARN with the account id.

use lintel::{
    simulator::{ScriptedReply, encode_event},
    upstream::{Frame, FrameReader},
};
use serde_json::{Value, json};

use super::{ask, say, start};

fn trace() -> Value {
    let model = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0";
    json!({"promptRouter": {"invokedModelId": model}})
}

#[tokio::test]
async fn account_id_in_the_trace_of_a_prompt_router_is_not_shown() {
    let gateway = start().await;
    let usage = json!({"inputTokens": 1, "outputTokens": 1, "totalTokens": 2});
    let message = json!({"role": "assistant", "content": [{"text": "\"promptRouter\""}]});
    let whole = json!({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "trace": trace()});
    gateway
        .simulator
        .script(ScriptedReply::json(200, whole.to_string()));
    let reply = ask(&gateway, "lite", "converse", &say("Hi")).await;
    let seen = json!({"promptRouter": {"invokedModelId": "us.amazon.nova-pro-v1:0"}});
    assert_eq!(reply.json()["trace"], seen, "{}", reply.text());
    assert_eq!(reply.json()["output"]["message"], message);
    let events = [
        ("messageStart", json!({"role": "assistant"})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        (
            "metadata",
            json!({"usage": usage, "metrics": {}, "trace": trace()}),
        ),
    ];
    let frames = events.map(|(name, event)| encode_event(name, &event.to_string()));
    gateway
        .simulator
        .script(ScriptedReply::stream(frames.to_vec()));
    let reply = ask(&gateway, "lite", "converse-stream", &say("Hi")).await;
    let mut reader = FrameReader::default();
    reader.push(reply.body);
    let mut last = Value::Null;
    while let Some(Frame::Event { payload, .. }) = reader.next_frame().unwrap() {
        last = serde_json::from_slice(&payload).unwrap();
    }
    assert_eq!(last["trace"], seen);
}
