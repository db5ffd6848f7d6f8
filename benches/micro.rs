//! Benchmarks the stages of the hot path separately: decoding requests, translating them, parsing frames, and
//! writing server-sent events.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a benchmark may fail"
)]

use std::{collections::VecDeque, hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lintel::{
    call::{Caller, Warnings},
    catalogue,
    edge::{ChatWriter, EventWriter, chat_request},
    model::{Model, Target},
    operation::chat::{ChoiceChunk, Chunk},
    simulator::encode_event,
    upstream::{
        Frame, FrameReader,
        converse::{self, Context, ReplyPlan, StreamTranslator},
    },
};
use serde_json::json;

const EVENTS: u64 = 100;

fn request_body() -> Vec<u8> {
    let turn = |role: &str, text: &str| json!({"role": role, "content": text.repeat(20)});
    let messages: Vec<_> = (0..10)
        .flat_map(|_| {
            [
                turn("user", "What is it? "),
                turn("assistant", "It is this. "),
            ]
        })
        .collect();
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tools =
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    json!({"model": "m", "messages": messages, "tools": tools, "temperature": 0.5})
        .to_string()
        .into_bytes()
}

fn model() -> Model {
    catalogue::model("m", Target::new("amazon.nova-lite-v1:0", "us-east-1"))
}

fn event_stream() -> Bytes {
    let payload =
        r#"{"contentBlockIndex":0,"delta":{"text":" some words"},"p":"abcdefghijklmnop"}"#;
    (0..EVENTS)
        .flat_map(|_| encode_event("contentBlockDelta", payload))
        .collect()
}

fn bench_requests(criterion: &mut Criterion) {
    let request_body = request_body();
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(request_body.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| chat_request(black_box(&request_body), &Warnings::default()).unwrap())
    });
    let request = chat_request(&request_body, &Warnings::default()).unwrap();
    let (model, caller) = (model(), Caller::default());
    group.bench_function("translate", |b| {
        b.iter(|| {
            let warnings = Warnings::default();
            let cx = Context {
                model: &model,
                caller: &caller,
                warnings: &warnings,
                messages: &request.messages,
                extras: Default::default(),
            };
            serde_json::to_vec(
                &converse::chat_request(black_box(&request), &cx)
                    .unwrap()
                    .request,
            )
            .unwrap()
        });
    });
    group.finish();
}

fn bench_streams(criterion: &mut Criterion) {
    let bytes = event_stream();
    let mut group = criterion.benchmark_group("stream");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("frames and events", |b| {
        b.iter(|| {
            let mut reader = FrameReader::default();
            let mut translator =
                StreamTranslator::new(Arc::new(ReplyPlan::default()), Warnings::default());
            let mut chunks = VecDeque::new();
            reader.push(bytes.clone());
            while let Some(Frame::Event {
                event_type,
                payload,
            }) = reader.next_frame().unwrap()
            {
                translator
                    .event(&event_type, &payload, &mut chunks)
                    .unwrap();
            }
            chunks
        });
    });
    let chunk = ChoiceChunk {
        choice: 0,
        chunk: Chunk::Content(" some words".into()),
    };
    group.bench_function("server-sent events", |b| {
        b.iter(|| {
            let mut writer = ChatWriter::new("chatcmpl-01ARZ3NDEKTSV4RRFFQ69G5FAV", 1, "m", false);
            for _ in 0..EVENTS {
                writer.chunk(black_box(&chunk));
            }
            writer.written().split()
        });
    });
    group.finish();
}

criterion_group!(benches, bench_requests, bench_streams);
criterion_main!(benches);
