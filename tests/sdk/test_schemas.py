"""Validates every reply and every event of Responses and Messages against the types of OpenAI's and Anthropic's SDKs, strictly:
nothing is missing, nothing has another type, and there are no members but theirs and our documented extensions."""

import base64
import functools
import json
import struct
import zlib

import httpx
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

MODELS = ["haiku", "claude", "oss", "hidden", "us.openai.gpt-6-sol"]
# Members of ours, by the class that has them.
EXTENSIONS = {
    "ResponseUsage": {"cost", "estimated"},
    "Usage": {"cost", "estimated"},
    # Anthropic has the last two in `message_start`, when Bedrock has not told them.
    "MessageDeltaUsage": {"cost", "estimated", "cache_creation", "service_tier"},
    "Response": {"kb", "bedrock_guardrail", "x_lintel_warnings"} | {"store"},
    "Message": {"kb", "bedrock_guardrail"},
    "RawMessageDeltaEvent": {"kb", "bedrock_guardrail"},
    # As `store` above: members of OpenAI's API reference that the types of its SDK lack.
    "ResponseFunctionCallArgumentsDoneEvent": {"name"},
    "ResponseCustomToolCall": {"status"},
}


def png():
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0\0")), chunk(b"IEND", b"")]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


PNG = png()
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "additionalProperties": False}
RESPONSES = {
    "text": {"input": "Hello there"},
    "reasoning": {"input": "Hello", "reasoning": {"effort": "low", "summary": "auto"}},
    "sealed reasoning": {"input": "Hello", "reasoning": {"effort": "low"}},
    "tool": {"input": "use look", "tools": [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": True}]},
    "forced tool": {
        "input": "Hi",
        "tools": [{"type": "function", "name": "look"}],
        "tool_choice": {"type": "function", "name": "look"},
        "parallel_tool_calls": False,
    },
    "custom tool": {"input": "use patch", "tools": [{"type": "custom", "name": "patch", "format": {"type": "text"}}]},
    "namespace": {
        "input": "use look",
        "tools": [
            {
                "type": "namespace",
                "name": "eyes",
                "description": "Eyes.",
                "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}],
            }
        ],
    },
    "dropped tool": {"input": "Hi", "tools": [{"type": "function", "name": "look"}, {"type": "mcp", "server_label": "a"}]},
    "schema": {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}},
    "picture": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"},
                ],
            }
        ]
    },
    "cut by the limit": {"input": "[simulate words 60]", "max_output_tokens": 16},
    "filtered": {"input": "contraband", "bedrock": {"guardrail": {"identifier": "gr1", "version": "1", "trace": "enabled"}}},
    "passages": {"input": "What does a budget reserve?", "kb": "docs"},
    "passages with results": {
        "input": "What does a budget reserve?",
        "tools": [{"type": "file_search", "vector_store_ids": ["docs"]}],
        "include": ["file_search_call.results"],
    },
    "settings": {"input": "Hi", "metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.9, "user": "u", "truncation": "auto"},
}
# What the routes of these models do not carry.
UNFIT = {
    ("oss", "picture"),
    ("oss", "filtered"),
    ("us.openai.gpt-6-sol", "filtered"),
    ("us.openai.gpt-6-sol", "settings"),
    ("oss", "document with citations"),
    ("oss", "refused"),
    ("us.openai.gpt-6-sol", "refused"),
}
BREAKS = ["cut", "truncate", "exception throttlingException"]


def messages(text, **more):
    return {"max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


MESSAGES = {
    "text": messages("Hello there"),
    "thinking": messages("Hello", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=3000),
    "tool": messages("use look", tools=[{"name": "look", "input_schema": SCHEMA}]),
    "thinking and a tool": messages(
        "use look",
        tools=[{"name": "look", "input_schema": SCHEMA}],
        thinking={"type": "enabled", "budget_tokens": 1024},
        max_tokens=3000,
    ),
    "forced tool": messages(
        "Hi", tools=[{"name": "look", "input_schema": {"type": "object"}}], tool_choice={"type": "tool", "name": "look"}
    ),
    "schema": messages("Hi", output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    "picture": messages(
        [
            {"type": "text", "text": "Look"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ]
    ),
    "document with citations": messages(
        [
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "The sky is blue."},
                "citations": {"enabled": True},
            },
            {"type": "text", "text": "Which color?"},
        ]
    ),
    "cut by the limit": messages("[simulate words 60]", max_tokens=16),
    "stop sequence": messages("one two three", stop_sequences=["two"]),
    "refused": messages("contraband", bedrock={"guardrail": {"identifier": "gr1", "version": "1", "trace": "enabled"}}),
    "passages": messages("What does a budget reserve?", kb="docs"),
}


@pytest.fixture(scope="module")
def send(gateway):
    client = httpx.Client(headers={"authorization": f"Bearer {gateway.wide_key}"}, timeout=60)

    def send(path, model, body, **more):
        return client.post(f"{gateway.base_url}/{path}", json={"model": model, **body, **more})

    return send


def events(reply):
    """The events of a stream, each with its name."""
    for block in reply.text.split("\n\n"):
        lines = [line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":")]
        fields = dict(lines)
        if "data" in fields:
            data = json.loads(fields["data"])
            assert fields.get("event", data["type"]) == data["type"]
            yield data


def foreign(value, path=""):
    """The paths of members that are neither the SDK's nor ours."""
    if isinstance(value, BaseModel):
        name = type(value).__name__
        extra = set(value.model_extra or {}) - EXTENSIONS.get(name, set())
        yield from (f"{path}.{member} of {name}" for member in extra)
        for member in type(value).model_fields:
            yield from foreign(getattr(value, member), f"{path}.{member}")
    elif isinstance(value, list):
        for item in value:
            yield from foreign(item, f"{path}[]")


@functools.cache
def adapter(kind):
    return TypeAdapter(kind)


def validate(kind, data):
    parsed = adapter(kind).validate_json(json.dumps(data), strict=True)
    assert not list(foreign(parsed)), (list(foreign(parsed)), data)
    return parsed


def check_responses_stream(reply, ends):
    seen = list(events(reply))
    kinds = [data["type"] for data in seen]
    assert [data["sequence_number"] for data in seen] == list(range(len(seen)))
    for data in seen:
        if data["type"] == "error":
            # The nested member makes the SDKs raise.
            assert set(data.pop("error")) == {"message", "type", "param", "code"}
        if data["type"] != "keepalive":
            validate(ResponseStreamEvent, data)
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] in ends, kinds
    added, done = (kinds.count(f"response.output_item.{step}") for step in ["added", "done"])
    assert added == done or kinds[-1] == "response.failed", kinds
    return seen


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", RESPONSES)
def test_responses_have_the_types_of_the_sdk(send, model, name):
    if (model, name) in UNFIT:
        return
    whole = send("responses", model, RESPONSES[name])
    assert whole.status_code == 200, whole.text
    response = validate(Response, whole.json())
    ends = ["response.completed", "response.incomplete", "response.failed"]
    stream = send("responses", model, RESPONSES[name], stream=True)
    last = check_responses_stream(stream, ends)[-1]
    assert last["type"] == f"response.{response.status}"
    if name != "filtered":
        assert [item["type"] for item in last["response"]["output"]] == [item.type for item in response.output]


@pytest.mark.parametrize("model", ["haiku", "oss", "hidden", "us.openai.gpt-6-sol"])
@pytest.mark.parametrize("fault", BREAKS)
def test_broken_responses_have_the_types_of_the_sdk(send, model, fault):
    body = {"input": f"[simulate words 30] [simulate {fault}]"}
    kinds = [data["type"] for data in check_responses_stream(send("responses", model, body, stream=True), ["response.failed"])]
    assert kinds[-2] == "error"


def check_messages_stream(reply):
    seen = list(events(reply))
    for data in seen:
        if data["type"] == "error":
            assert set(data["error"]) <= {"type", "message"} and data["error"]["message"], data
        elif data["type"] != "ping":
            validate(RawMessageStreamEvent, data)
    return [data for data in seen if data["type"] != "ping"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", MESSAGES)
def test_messages_have_the_types_of_the_sdk(send, model, name):
    if (model, name) in UNFIT:
        return
    whole = send("messages", model, MESSAGES[name])
    assert whole.status_code == 200, whole.text
    message = validate(Message, whole.json())
    seen = check_messages_stream(send("messages", model, MESSAGES[name], stream=True))
    kinds = [data["type"] for data in seen]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
    assert seen[-2]["delta"]["stop_reason"] == message.stop_reason
    begun = [data["content_block"]["type"] for data in seen if data["type"] == "content_block_start"]
    assert begun == [block.type for block in message.content]
    assert kinds.count("content_block_stop") == len(begun)


@pytest.mark.parametrize("model", ["haiku", "oss", "hidden", "us.openai.gpt-6-sol"])
@pytest.mark.parametrize("fault", BREAKS)
def test_broken_messages_have_the_types_of_the_sdk(send, model, fault):
    body = messages(f"[simulate words 30] [simulate {fault}]")
    kinds = [data["type"] for data in check_messages_stream(send("messages", model, body, stream=True))]
    assert kinds[-1] == "error" and "message_stop" not in kinds, kinds
