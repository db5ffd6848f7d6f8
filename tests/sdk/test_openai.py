"""Tests the official OpenAI SDK for Python. Nothing but its base URL and key may have to change."""

import asyncio
import json
import urllib.request

import openai
import pytest

HELLO = [{"role": "user", "content": "Hello there"}]


def simulate(fault):
    return [{"role": "user", "content": f"one two three four [simulate {fault}]"}]


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)


def upstream_calls(gateway):
    with urllib.request.urlopen(f"{gateway.simulator_url}/_simulator/requests") as reply:
        return json.load(reply)


def test_completion_is_returned(client):
    completion = client.chat.completions.create(model="claude", messages=HELLO, max_tokens=50, temperature=0.5)
    assert completion.choices[0].message.content == "You said: Hello there"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "claude"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens == 6
    assert completion._request_id.startswith("req_")


def test_all_roles_are_accepted(client):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Again", "name": "zoe"},
    ]
    raw = client.chat.completions.with_raw_response.create(model="claude", messages=messages)
    assert raw.parse().choices[0].message.content == "You said: Again"
    assert "messages[4].name: ignored" in raw.headers["x-lintel-warnings"]
    assert raw.headers["x-lintel-model"] == "us.anthropic.claude-sonnet-5-5"


def test_stream_delivers_the_whole_text(client):
    stream = client.chat.completions.create(model="claude", messages=HELLO, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Hello there"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_ends_with_usage_if_requested(client):
    options = {"include_usage": True}
    stream = client.chat.completions.create(model="claude", messages=HELLO, stream=True, stream_options=options)
    *before, last = list(stream)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (2, 4)
    assert all(chunk.usage is None for chunk in before)


def test_stream_helper_assembles_the_completion(client):
    with client.chat.completions.stream(model="claude", messages=HELLO) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == "You said: Hello there"


def test_async_client_works(gateway):
    async def main():
        async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key) as client:
            whole = client.chat.completions.create(model="claude", messages=HELLO)
            stream = await client.chat.completions.create(model="claude", messages=HELLO, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return (await whole).choices[0].message.content, text

    assert asyncio.run(main()) == ("You said: Hello there",) * 2


def test_tool_calls_are_returned(client, gateway):
    call = {"toolUse": {"toolUseId": "tooluse_1", "name": "add", "input": {"b": 2, "a": 1}}}
    reply = {
        "output": {"message": {"role": "assistant", "content": [call]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14},
    }
    body = json.dumps({"status": 200, "body": reply}).encode()
    headers = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{gateway.simulator_url}/_simulator/replies", body, headers))
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
    messages = [{"role": "user", "content": "1 + 2?"}]
    message = client.chat.completions.create(model="claude", messages=messages, tools=tools).choices[0].message
    assert message.content is None
    assert json.loads(message.tool_calls[0].function.arguments) == {"a": 1, "b": 2}
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "3"}]
    answer = client.chat.completions.create(model="claude", messages=messages, tools=tools)
    assert answer.choices[0].message.content == "You said: 3"


def test_models_are_listed_and_retrieved(client):
    assert [model.id for model in client.models.list()] == ["claude", "haiku", "hasty", "task"]
    assert client.models.retrieve("claude").owned_by == "anthropic"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"temperature": 9}, openai.BadRequestError, "invalid_value"),
        ({"messages": []}, openai.BadRequestError, "invalid_value"),
        ({"messages": simulate("too-long")}, openai.BadRequestError, "context_length_exceeded"),
        ({"model": "hidden"}, openai.PermissionDeniedError, "model_not_allowed"),
        ({"model": "nope"}, openai.NotFoundError, "model_not_found"),
        ({"messages": simulate("not-found")}, openai.NotFoundError, "model_not_found"),
        ({"messages": simulate("conflict")}, openai.ConflictError, "conflict"),
        ({"messages": simulate("throttle")}, openai.RateLimitError, "rate_limit_exceeded"),
        ({"messages": simulate("quota")}, openai.RateLimitError, "rate_limit_exceeded"),
        ({"messages": simulate("access-denied")}, openai.InternalServerError, "upstream_access_denied"),
        ({"messages": simulate("internal")}, openai.InternalServerError, "upstream_error"),
        ({"messages": simulate("unavailable")}, openai.InternalServerError, "upstream_unavailable"),
        ({"messages": simulate("hang"), "model": "hasty"}, openai.InternalServerError, "upstream_timeout"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_raise_the_sdk_exception_classes(client, change, error, code, stream):
    if stream and change.get("model") == "hasty":
        change = {**change, "extra_body": {}, "timeout": 90, "model": "claude", "messages": simulate("model-timeout")}
        code = "model_timeout"
    request = {"model": "claude", "messages": HELLO, "stream": stream, **change}
    with pytest.raises(error) as raised:
        client.chat.completions.create(**request)
    assert type(raised.value) is error
    assert raised.value.code == code
    assert raised.value.request_id.startswith("req_")


def test_wrong_key_raises_authentication_error(gateway):
    client = openai.OpenAI(base_url=gateway.base_url, api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as raised:
        client.chat.completions.create(model="claude", messages=HELLO)
    assert raised.value.code == "invalid_api_key"


@pytest.mark.parametrize("fault", ["cut", "reset", "bad-crc", "no-stop", "exception throttlingException"])
def test_broken_stream_raises(client, fault):
    stream = client.chat.completions.create(model="claude", messages=simulate(fault), stream=True)
    with pytest.raises(openai.APIError) as raised:
        for _ in stream:
            pass
    assert raised.value.code in {"upstream_truncated", "upstream_checksum", "rate_limit_exceeded"}


@pytest.mark.parametrize(("fault", "calls"), [("throttle", 9), ("access-denied", 1), ("quota", 1)])
def test_sdk_retries_only_retryable_errors(gateway, fault, calls):
    # The SDK makes three attempts, and the gateway makes three for each.
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=2)
    # The simulator keeps the latest requests only, so these are counted by a word of their own.
    word = f"counted-{fault}"
    messages = [{"role": "user", "content": f"{word} [simulate {fault}]"}]
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="claude", messages=messages)
    assert sum(word in json.dumps(call) for call in upstream_calls(gateway)) == calls


def test_client_timeout_raises(gateway):
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="claude", messages=simulate("hang"))


def test_call_is_billed_after_the_client_disconnects(client, gateway):
    messages = simulate("words 100] [simulate pace 10ms")
    stream = client.chat.completions.create(model="claude", messages=messages, stream=True)
    next(iter(stream))
    request_id = stream.response.headers["x-request-id"]
    stream.close()
    line = gateway.log_of(request_id)
    assert (line["ended"], line["reason"], line["status"]) == ("drained", "client_cancel", 200)
    assert line["output_tokens"] == 100, "usage is known although the client disconnected"


def test_access_log_reports_usage(client, gateway):
    completion = client.chat.completions.create(model="task", messages=HELLO)
    line = gateway.log_of(completion._request_id)
    expected = {"status": 200, "reason": "ok", "model": "claude", "key_id": "canary", "input_tokens": 2, "output_tokens": 4, "cost_usd": "0.0000484"}
    assert {name: line[name] for name in expected} == expected
    assert "Hello there" not in json.dumps(line)
