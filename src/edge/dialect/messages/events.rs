//! Writes the events of a streamed message.

use bytes::{BufMut, BytesMut};

use super::steps::Steps;
use crate::{
    anthropic::{
        event::Event,
        reply::{Extensions, Message, Usage},
    },
    call::Trace,
    edge::{
        anthropic,
        dialect::{EventWriter, HEARTBEAT, ReplyContext, chat_completions::kb},
    },
    error::Error,
    operation::chat::ChoiceChunk,
};

/// Writes the events of one message.
pub struct Writer {
    out: BytesMut,
    message_id: String,
    request_id: String,
    model: String,
    steps: Steps,
    trace: Trace,
    has_begun: bool,
}

impl Writer {
    /// Creates a writer. `model` is the name that the client requested.
    pub fn new(model: String, steps: Steps, cx: ReplyContext<'_>) -> Self {
        Self {
            out: BytesMut::new(),
            message_id: message_id(cx),
            request_id: format!("req_{}", cx.id),
            model,
            steps,
            trace: cx.trace.clone(),
            has_begun: false,
        }
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let message = Message {
            id: &self.message_id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            stop_details: None,
            // Bedrock reports the counts at the end.
            usage: Usage::default(),
            extensions: Extensions::default(),
        };
        write(&mut self.out, &Event::MessageStart { message });
        write(&mut self.out, &Event::Ping);
    }
}

/// Returns the ID of the message, which contains that of the request.
pub fn message_id(cx: ReplyContext<'_>) -> String {
    format!("msg_{}", cx.id)
}

fn write(out: &mut BytesMut, event: &Event<'_>) {
    out.put_slice(b"event: ");
    out.put_slice(event.name().as_bytes());
    out.put_slice(b"\ndata: ");
    // Serializing plain structs into memory cannot fail.
    let _ = serde_json::to_writer((&mut *out).writer(), event);
    out.put_slice(b"\n\n");
}

impl EventWriter for Writer {
    fn chunk(&mut self, ChoiceChunk { chunk, .. }: &ChoiceChunk) {
        self.begin();
        let out = &mut self.out;
        self.steps
            .push(chunk.clone(), &mut |event| write(out, &event));
    }

    fn error(&mut self, error: &Error) {
        let event = anthropic::error_event(error, Some(&self.request_id));
        self.out.put_slice(&event);
    }

    fn failure(&mut self) -> Option<Error> {
        self.steps.failure()
    }

    fn done(&mut self) {
        self.begin();
        let end = Event::MessageDelta {
            delta: self.steps.end(),
            usage: self.steps.usage().clone(),
            extensions: Extensions {
                kb: self.trace.retrieval().map(|retrieval| kb(retrieval)),
                bedrock_guardrail: self.steps.guardrail(),
            },
        };
        write(&mut self.out, &end);
        write(&mut self.out, &Event::MessageStop);
    }

    fn heartbeat(&mut self) {
        match self.has_begun {
            true => write(&mut self.out, &Event::Ping),
            false => self.out.put_slice(HEARTBEAT),
        }
    }

    fn written(&mut self) -> &mut BytesMut {
        &mut self.out
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;
    use crate::{
        catalogue,
        edge::{dialect::messages::steps::Sealer, seal::Seals},
        model::Target,
        openai::completion::ThinkingBlock,
        operation::chat::Chunk,
    };

    fn writer() -> Writer {
        let target = Target::new("us.anthropic.claude-sonnet-5-5", "us-east-1");
        let (model, trace) = (catalogue::model("m", target), Trace::default());
        let cx = ReplyContext {
            id: Ulid::nil(),
            created: 0,
            model: &model,
            trace: &trace,
        };
        let sealer = Sealer {
            seals: Seals::new(&[]),
            key_id: "alice".to_owned(),
        };
        let warnings = trace.warnings().clone();
        Writer::new(
            "m".to_owned(),
            Steps::new(&model, true, sealer, warnings),
            cx,
        )
    }

    fn written(writer: &mut Writer) -> String {
        String::from_utf8(writer.written().split().to_vec()).unwrap()
    }

    #[test]
    fn idle_stream_sends_pings_once_it_has_begun() {
        let mut writer = writer();
        writer.heartbeat();
        assert_eq!(written(&mut writer), ": keep-alive\n\n");
        let chunk = Chunk::Content("Hi".to_owned());
        writer.chunk(&ChoiceChunk { choice: 0, chunk });
        assert!(written(&mut writer).starts_with("event: message_start\n"));
        writer.heartbeat();
        assert_eq!(
            written(&mut writer),
            "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        );
    }

    /// Claude hides its thinking, and wants its signature back nevertheless.
    #[test]
    fn hidden_thinking_is_a_block_with_only_a_signature() {
        let mut writer = writer();
        let block = ThinkingBlock::Thinking {
            thinking: String::new(),
            signature: Some("lintel.0123abcd.SIG".to_owned()),
        };
        let chunk = Chunk::Thinking(block);
        writer.chunk(&ChoiceChunk { choice: 0, chunk });
        let text = written(&mut writer);
        let names = text.lines().filter_map(|line| line.strip_prefix("event: "));
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "message_start",
                "ping",
                "content_block_start",
                "content_block_delta",
                "content_block_stop"
            ]
        );
        assert!(text.contains(r#""delta":{"type":"signature_delta","signature":"SIG"}"#));
    }
}
