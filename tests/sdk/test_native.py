"""Tests the simulator's OpenAI-compatible endpoints with OpenAI's SDK, pointed straight at them, and the same models through
the gateway. An error of the SDK here means that the simulator answers as no real endpoint does."""

import json

import openai
import pytest

OSS, GPT, QWEN = "openai.gpt-oss-120b-1:0", "us.openai.gpt-6-sol", "qwen.qwen3-32b"
HELLO = [{"role": "user", "content": "Hello there"}]
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
LIMIT = {"max_completion_tokens": 50}


@pytest.fixture
def runtime(simulator):
    return openai.OpenAI(base_url=f"{simulator}/openai/v1", api_key="bedrock-api-key", max_retries=0)


@pytest.fixture
def mantle(simulator):
    return openai.OpenAI(base_url=f"{simulator}/mantle/v1", api_key="bedrock-api-key", max_retries=0)


def test_completion_is_returned(runtime, mantle):
    whole = runtime.chat.completions.create(model=OSS, messages=HELLO, **LIMIT)
    assert whole.choices[0].message.content == "You said: Hello there"
    assert whole.choices[0].finish_reason == "stop"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (2, 4)
    other = mantle.chat.completions.create(model=QWEN, messages=HELLO, max_tokens=50)
    assert other.choices[0].message.content == whole.choices[0].message.content


def test_stream_delivers_the_text_and_the_usage(runtime):
    options = {"include_usage": True}
    stream = runtime.chat.completions.create(model=OSS, messages=HELLO, stream=True, stream_options=options, **LIMIT)
    *before, last = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in before)
    assert text == "You said: Hello there"
    assert before[-1].choices[0].finish_reason == "stop"
    assert last.choices == [] and last.usage.completion_tokens == 4


def test_reasoning_is_in_the_text_on_runtime_and_beside_it_on_mantle(runtime, mantle):
    effort = {"reasoning_effort": "low", **LIMIT}
    inside = runtime.chat.completions.create(model=OSS, messages=HELLO, **effort).choices[0].message
    assert inside.content.startswith("<reasoning>") and inside.content.endswith("</reasoning>You said: Hello there")
    beside = mantle.chat.completions.create(model="openai.gpt-oss-120b", messages=HELLO, **effort).choices[0].message
    assert beside.content == "You said: Hello there" and beside.reasoning


def test_calls_are_numbered_anew_in_each_turn(runtime):
    messages = [{"role": "user", "content": "use look"}]
    for _ in range(2):
        message = runtime.chat.completions.create(model=OSS, messages=messages, tools=TOOLS, **LIMIT).choices[0].message
        (call,) = message.tool_calls
        assert call.id == "call_0" and json.loads(call.function.arguments) == {"place": "place"}
        messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "here"}]
        messages += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "use look"}]


@pytest.mark.parametrize(
    ("model", "more", "error"),
    [
        (OSS, {"max_tokens": 5}, openai.BadRequestError),
        (OSS, {"tools": TOOLS, "tool_choice": "required", **LIMIT}, openai.BadRequestError),
        (OSS, {"n": 2, **LIMIT}, openai.BadRequestError),
        (OSS, {"extra_body": {"top_k": 1}, **LIMIT}, openai.BadRequestError),
        (GPT, {"temperature": 0.5, **LIMIT}, openai.BadRequestError),
        (GPT, {"stop": "x", **LIMIT}, openai.BadRequestError),
        (GPT, {"tools": TOOLS, **LIMIT}, openai.BadRequestError),
        ("openai.gpt-6-sol", LIMIT, openai.BadRequestError),
        ("us.xai.grok-4.6", {"presence_penalty": 1, **LIMIT}, openai.InternalServerError),
        ("google.gemma-4-31b", {"max_tokens": 5}, openai.NotFoundError),
    ],
)
def test_runtime_refuses_what_the_models_refuse(runtime, model, more, error):
    with pytest.raises(error):
        runtime.chat.completions.create(model=model, messages=HELLO, **more)


def test_mantle_has_its_own_ids_and_paths(mantle, simulator):
    for model in [OSS, "us.qwen.qwen3-32b"]:
        with pytest.raises(openai.NotFoundError):
            mantle.chat.completions.create(model=model, messages=HELLO, **LIMIT)
    with pytest.raises(openai.BadRequestError):
        mantle.chat.completions.create(model="google.gemma-4-31b", messages=HELLO, max_tokens=5)
    other = openai.OpenAI(base_url=f"{simulator}/mantle/openai/v1", api_key="bedrock-api-key", max_retries=0)
    assert other.chat.completions.create(model="google.gemma-4-31b", messages=HELLO, max_tokens=5).choices


def test_unknown_path_is_a_200_without_an_answer(runtime):
    assert not runtime.completions.create(model=OSS, prompt="Hi").choices


@pytest.mark.parametrize("model", ["oss", "gemma"])
def test_gateway_serves_the_same_models_to_the_same_client(gateway, model):
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    raw = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, temperature=0.5)
    assert raw.headers["x-lintel-route"] == {"oss": "chat", "gemma": "mantle_chat"}[model] + "; reason=configured"
    assert raw.parse().choices[0].message.content == "You said: Hello there"
    with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": "use look"}], tools=TOOLS) as stream:
        for _ in stream:
            pass
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.name == "look" and call.id != "call_0"
