"""Tests the simulator's Responses with OpenAI's SDK, pointed straight at it, and the same models through the gateway's chats. An
error of the SDK here means that the simulator answers as no real endpoint does."""

import json

import openai
import pytest
from pydantic import BaseModel

GPT, DAYBREAK, GEMMA, OSS = (
    "us.openai.gpt-6-sol",
    "openai.gpt-daybreak-blue-5.6-sol",
    "google.gemma-4-31b",
    "openai.gpt-oss-120b",
)
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOLS = [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}]
LIMIT = {"max_output_tokens": 50, "store": False}
REASONING = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}


def client(url):
    return openai.OpenAI(base_url=url, api_key="bedrock-api-key", max_retries=0)


@pytest.fixture
def runtime(simulator):
    return client(f"{simulator}/openai/v1")


@pytest.fixture
def mantle(simulator):
    return client(f"{simulator}/mantle/openai/v1")


def test_response_is_returned_by_both_hosts(runtime, mantle, simulator):
    open_weight = client(f"{simulator}/mantle/v1")
    for host, model in [(runtime, GPT), (mantle, DAYBREAK), (mantle, GEMMA), (open_weight, OSS)]:
        response = host.responses.create(model=model, input="Hello there", **LIMIT)
        assert response.output_text == "You said: Hello there"
        assert response.status == "completed" and response.error is None
        assert (response.usage.input_tokens, response.usage.output_tokens) == (2, 4)


def test_stream_has_the_official_events_in_order(runtime):
    with runtime.responses.stream(model=GPT, input="use look", tools=TOOLS, **REASONING, **LIMIT) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
    for kind in [
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]:
        assert kind in types
    reasoning, call = final.output
    assert reasoning.encrypted_content and len(reasoning.summary) == 2
    assert call.type == "function_call" and json.loads(call.arguments) == {"place": "place"}


def test_streamed_text_is_the_whole_text(mantle):
    whole = mantle.responses.create(model=GEMMA, input="one two three", **LIMIT)
    text = ""
    for event in mantle.responses.create(model=GEMMA, input="one two three", stream=True, **LIMIT):
        text += event.delta if event.type == "response.output_text.delta" else ""
    assert text == whole.output_text == "You said: one two three"


def test_tool_loop_replays_the_output(runtime):
    items = [{"role": "user", "content": "use look"}]
    first = runtime.responses.create(model=GPT, input=items, tools=TOOLS, **REASONING, **LIMIT)
    reasoning, call = first.output
    items.append(reasoning.model_dump(exclude_none=True))
    items.append({"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments})
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        runtime.responses.create(model=GPT, input=items, tools=TOOLS, **REASONING, **LIMIT)
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "here"})
    second = runtime.responses.create(model=GPT, input=items, tools=TOOLS, **REASONING, **LIMIT)
    assert second.output_text == "You said: here"
    items[1]["encrypted_content"] = "forged"
    with pytest.raises(openai.BadRequestError, match="could not be verified"):
        runtime.responses.create(model=GPT, input=items, tools=TOOLS, **REASONING, **LIMIT)


def test_text_is_parsed_by_its_schema(runtime):
    class Place(BaseModel):
        place: str

    response = runtime.responses.parse(model=GPT, input="Where?", text_format=Place, **LIMIT)
    assert response.output_parsed == Place(place="place")


def test_limit_ends_the_response(runtime):
    with runtime.responses.stream(model=GPT, input="[simulate words 60]", **LIMIT) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.usage.output_tokens == 50


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"max_output_tokens": 15, "store": False}, openai.BadRequestError),
        ({"max_output_tokens": 50}, openai.BadRequestError),
        ({"temperature": 0.5, **LIMIT}, openai.BadRequestError),
        ({"reasoning": {"effort": "minimal"}, **LIMIT}, openai.BadRequestError),
        ({"reasoning": {"summary": "detailed"}, **LIMIT}, openai.BadRequestError),
        ({"background": True, **LIMIT}, openai.BadRequestError),
        ({"tools": [{"type": "web_search"}], **LIMIT}, openai.BadRequestError),
        ({"extra_headers": {"x-amzn-bedrock-guardrailidentifier": "abc"}, **LIMIT}, openai.BadRequestError),
    ],
)
def test_simulator_refuses_what_the_service_refuses(runtime, more, error):
    with pytest.raises(error):
        runtime.responses.create(model=GPT, input="Hi", **more)


def test_models_are_served_only_where_they_are(runtime, mantle):
    with pytest.raises(openai.NotFoundError):
        runtime.responses.create(model=DAYBREAK, input="Hi", **LIMIT)
    with pytest.raises(openai.BadRequestError, match="does not support"):
        mantle.chat.completions.create(model=DAYBREAK, messages=[{"role": "user", "content": "Hi"}], max_completion_tokens=50)
    with pytest.raises(openai.NotFoundError):
        mantle.responses.create(model=GPT, input="Hi", **LIMIT)


def test_gateway_serves_them_as_chats(gateway):
    chats = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0).chat.completions
    messages = [{"role": "user", "content": "use look"}]
    tools = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
    raw = chats.with_raw_response.create(model=DAYBREAK, messages=messages, tools=tools)
    assert raw.headers["x-lintel-route"] == "mantle_responses; reason=only_route"
    (call,) = raw.parse().choices[0].message.tool_calls
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "here"},
    ]
    with chats.stream(model=DAYBREAK, messages=messages, tools=tools) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == "You said: here"
