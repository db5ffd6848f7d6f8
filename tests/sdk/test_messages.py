"""Tests the simulator's Messages endpoints with Anthropic's SDK, pointed straight at them, and the same models through the
gateway. An error of the SDK here means that the simulator answers as no real endpoint does."""

import anthropic
import openai
import pytest

OPUS, MYTHOS = "us.anthropic.claude-opus-4-8", "anthropic.claude-mythos-5"
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOLS = [{"name": "look", "description": "Looks around.", "input_schema": SCHEMA}]


@pytest.fixture
def runtime(simulator):
    return anthropic.Anthropic(base_url=f"{simulator}/anthropic", auth_token="bedrock-api-key", max_retries=0)


@pytest.fixture
def mantle(simulator):
    return anthropic.Anthropic(base_url=f"{simulator}/mantle/anthropic", auth_token="bedrock-api-key", max_retries=0)


def say(text, **more):
    return {"max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}


def test_message_is_returned(runtime, mantle):
    for client, model in [(runtime, OPUS), (mantle, MYTHOS)]:
        message = client.messages.create(model=model, **say("Hello there"))
        assert message.content[0].text == "You said: Hello there"
        assert message.stop_reason == "end_turn" and message.model == model
        assert (message.usage.input_tokens, message.usage.output_tokens) == (2, 4)


def test_stream_delivers_the_text_and_the_usage(runtime, mantle):
    for client, model in [(runtime, OPUS), (mantle, MYTHOS)]:
        with client.messages.stream(model=model, **say("Hello there")) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
        assert text == message.content[0].text == "You said: Hello there"
        assert message.usage.output_tokens == 4


def test_tools_are_called_and_their_results_read(runtime):
    messages = [{"role": "user", "content": "use look"}]
    with runtime.messages.stream(model=OPUS, max_tokens=50, messages=messages, tools=TOOLS) as stream:
        message = stream.get_final_message()
    call = message.content[-1]
    assert message.stop_reason == "tool_use" and call.input == {"place": "place"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "a garden"}
    messages += [{"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]}]
    messages += [{"role": "user", "content": [result]}]
    message = runtime.messages.create(model=OPUS, max_tokens=50, messages=messages, tools=TOOLS)
    assert message.content[0].text == "You said: a garden"


@pytest.mark.parametrize(
    ("host", "model", "more", "error"),
    [
        ("runtime", MYTHOS, {}, anthropic.NotFoundError),
        ("runtime", "anthropic.claude-opus-4-8", {}, anthropic.BadRequestError),
        ("mantle", OPUS, {}, anthropic.NotFoundError),
        ("runtime", OPUS, {"extra_body": {"anthropic_version": "bedrock-2023-05-31"}}, anthropic.BadRequestError),
        ("runtime", OPUS, {"extra_headers": {"anthropic-beta": "made-up"}}, anthropic.BadRequestError),
        ("runtime", OPUS, {"extra_body": {"made_up": 1}}, anthropic.BadRequestError),
    ],
)
def test_hosts_refuse_what_they_do_not_know(runtime, mantle, host, model, more, error):
    client = {"runtime": runtime, "mantle": mantle}[host]
    with pytest.raises(error):
        client.messages.create(model=model, **say("Hello"), **more)


def test_failures_are_the_exceptions_of_the_sdk(runtime):
    with pytest.raises(anthropic.RateLimitError):
        runtime.messages.create(model=OPUS, **say("[simulate throttle]"))
    with pytest.raises(anthropic.APIStatusError):
        with runtime.messages.stream(model=OPUS, **say("[simulate words 30] [simulate exception overloaded_error]")) as stream:
            stream.get_final_message()


def test_gateway_serves_a_model_that_only_mantle_has(gateway):
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    raw = client.chat.completions.with_raw_response.create(model=MYTHOS, messages=[{"role": "user", "content": "Hello"}])
    assert raw.headers["x-lintel-route"] == "mantle_messages; reason=only_route"
    assert raw.parse().choices[0].message.content == "You said: Hello"
