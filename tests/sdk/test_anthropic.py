"""Runs Anthropic's official Python SDK against the gateway, and sends every example in docs/messages.md."""

import json
import pathlib
import re
import typing
import urllib.error
import urllib.request

import anthropic
import pytest
from anthropic.types import message_create_params

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "messages.md"
ROW = re.compile(r"^\| `([^`]+)` \| `(\{.*\})` \| (\w+) \|", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())

TOOL = {
    "name": "look_up",
    "description": "Looks up a word",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}


@pytest.fixture(scope="module")
def client(gateway):
    root = gateway.base_url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=root, api_key=gateway.wide_key, max_retries=0)


MODELS = ["claude", "haiku", "amazon.nova-lite-v1:0", "openai.gpt-oss-120b-1:0"]


@pytest.mark.parametrize("model", MODELS)
def test_message_is_created(client, model):
    message = client.messages.create(
        model=model, max_tokens=100, system="Be brief.", messages=[{"role": "user", "content": "Hello"}]
    )
    assert message.id.startswith("msg_") and message.type == "message"
    assert message.content[-1].text == "You said: Hello"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    assert message._request_id.removeprefix("req_") == message.id.removeprefix("msg_")


@pytest.mark.parametrize("model", MODELS)
def test_stream_helper_accumulates_the_message(client, model):
    request = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello there"}]}
    with client.messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[-1].text == "You said: Hello there"
    assert final.stop_reason == "end_turn"
    whole = client.messages.create(**request)
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_tool_loop_keeps_thinking_and_calls(client, model, stream):
    messages = [{"role": "user", "content": "Use look_up now"}]
    request = {"model": model, "max_tokens": 4000, "tools": [TOOL], "thinking": {"type": "adaptive"}}

    def ask():
        if not stream:
            return client.messages.create(messages=messages, **request)
        with client.messages.stream(messages=messages, **request) as events:
            return events.get_final_message()

    answer = ask()
    assert answer.stop_reason == "tool_use"
    call = answer.content[-1]
    assert call.name == "look_up" and set(call.input) == {"word"}
    messages.append({"role": "assistant", "content": answer.content})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "a definition"}
    messages.append({"role": "user", "content": [result]})
    answer = ask()
    assert answer.stop_reason == "end_turn"
    assert "a definition" in answer.content[-1].text


def test_tool_runner_runs_the_tools(client):
    @anthropic.beta_tool
    def look_up(word: str) -> str:
        """Looks up a word.

        Args:
            word: The word.
        """
        return "a definition"

    runner = client.beta.messages.tool_runner(
        model="claude", max_tokens=1000, tools=[look_up], messages=[{"role": "user", "content": "Use look_up now"}]
    )
    final = runner.until_done()
    assert final.stop_reason == "end_turn"
    assert "a definition" in final.content[-1].text


def test_tokens_are_counted(client):
    counted = client.messages.count_tokens(
        model="haiku", messages=[{"role": "user", "content": "one two three"}], tools=[TOOL]
    )
    message = client.messages.create(
        model="haiku", max_tokens=50, messages=[{"role": "user", "content": "one two three"}], tools=[TOOL]
    )
    assert counted.input_tokens == message.usage.input_tokens


def test_models_are_listed(client):
    models = client.models.list()
    ids = [model.id for model in models]
    assert "claude" in ids
    assert client.models.retrieve("claude").max_tokens == 128000


def test_errors_are_those_of_the_sdk(client, gateway):
    def fails(error, **more):
        request = {"model": "claude", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}], **more}
        with pytest.raises(error) as raised:
            client.messages.create(**request)
        return raised.value

    assert fails(anthropic.NotFoundError, model="nobody-has-it").type == "not_found_error"
    assert fails(anthropic.BadRequestError, max_tokens=0).type == "invalid_request_error"
    say = lambda text: [{"role": "user", "content": text}]
    assert fails(anthropic.RateLimitError, messages=say("[simulate throttle]")).type == "rate_limit_error"
    assert fails(anthropic.InternalServerError, messages=say("[simulate internal]")).type == "api_error"
    root = gateway.base_url.removesuffix("/v1")
    stranger = anthropic.Anthropic(base_url=root, api_key="sk-wrong")
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model="claude", max_tokens=5, messages=say("Hi"))


def test_broken_stream_raises(client):
    request = {"model": "claude", "max_tokens": 100}
    for fault in ["cut", "no-stop", "exception throttlingException"]:
        messages = [{"role": "user", "content": f"a b c d e f g h [simulate {fault}]"}]
        with pytest.raises(anthropic.APIError):
            with client.messages.stream(messages=messages, **request) as stream:
                stream.get_final_message()


@pytest.mark.parametrize("member, example, outcome", ROWS)
def test_documented_example_has_its_outcome(gateway, member, example, outcome):
    request = {"model": "haiku", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **json.loads(example)}
    headers = {"content-type": "application/json", "x-api-key": gateway.wide_key}
    body = json.dumps(request).encode()
    try:
        reply = urllib.request.urlopen(urllib.request.Request(f"{gateway.base_url}/messages", body, headers))
        warnings = reply.headers.get("x-lintel-warnings") or ""
        reply.close()
        assert outcome != "refused"
        if outcome == "ignored":
            assert f"{member}: ignored" in warnings
        else:
            assert f"{member}: ignored" not in warnings
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        assert outcome == "refused" and error.code == 400 and member in text, text


def test_page_covers_every_member_of_the_request():
    members = typing.get_type_hints(message_create_params.MessageCreateParamsBase)
    documented = PAGE.read_text()
    missing = [member for member in members if f"`{member}`" not in documented]
    assert not missing
