"""Tests the official Python clients with the Responses API."""

import asyncio

import agents
import openai
import pytest
from pydantic import BaseModel


class Place(BaseModel):
    city: str
    country: str


LOOK = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "additionalProperties": False},
    "strict": True,
}


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)


def test_create_returns_text_and_usage(client):
    response = client.responses.create(model="claude", input="Hello there", instructions="Be brief.")
    assert response.output_text == "You said: Hello there"
    assert response.status == "completed"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.model == "claude"


def test_stream_helper_assembles_what_create_returns(client):
    with client.responses.stream(model="claude", input="one two three") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == "You said: one two three"
    events = list(client.responses.create(model="claude", input="one two three", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == final.output_text


def test_parse_returns_an_object(client):
    response = client.responses.parse(model="claude", input="Where?", text_format=Place)
    assert isinstance(response.output_parsed, Place)


def test_tool_loop_sends_items_back(client):
    items = [{"role": "user", "content": "Please look"}]
    reasoning = {"effort": "low", "summary": "auto"}
    first = client.responses.create(model="haiku", input=items, tools=[LOOK], reasoning=reasoning, store=False)
    [call] = [item for item in first.output if item.type == "function_call"]
    [thought] = [item for item in first.output if item.type == "reasoning"]
    assert thought.encrypted_content.startswith("lt1.")
    items += [item.model_dump() for item in first.output]
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "a garden"}]
    second = client.responses.create(model="haiku", input=items, tools=[LOOK], reasoning=reasoning, store=False)
    assert "a garden" in second.output_text


def test_broken_stream_raises(client):
    with pytest.raises(openai.APIError) as raised:
        for _ in client.responses.create(model="claude", input="one two three [simulate cut]", stream=True):
            pass
    assert raised.value.message


def test_errors_have_their_classes(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model="claude", input="Hi", previous_response_id="resp_1")
    assert raised.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="claude", input="Hi", background=True)


@pytest.mark.parametrize("stream", [False, True])
def test_agents_sdk_runs_tools_in_its_default_mode(gateway, stream):
    looked = []

    @agents.function_tool
    def look(at: str) -> str:
        """Looks."""
        looked.append(at)
        return "a garden"

    async def run():
        client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)
        model = agents.OpenAIResponsesModel(model="claude", openai_client=client)
        agent = agents.Agent(name="clerk", instructions="Be brief.", model=model, tools=[look])
        if not stream:
            return (await agents.Runner.run(agent, "Please look")).final_output
        streamed = agents.Runner.run_streamed(agent, "Please look")
        async for _ in streamed.stream_events():
            pass
        return streamed.final_output

    agents.set_tracing_disabled(True)
    assert "a garden" in asyncio.run(run())
    assert len(looked) == 1


def test_response_is_retrieved_listed_continued_and_deleted(client):
    first = client.responses.create(model="claude", input="Hello there")
    assert first.store is True
    assert client.responses.retrieve(first.id) == first
    second = client.responses.create(model="claude", input="And now?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    items = list(client.responses.input_items.list(second.id, limit=1))
    assert [item.content[0].text for item in items] == ["And now?"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(second.id)
    with client.responses.stream(model="claude", input="Go on", previous_response_id=second.id) as stream:
        third = stream.get_final_response()
    assert client.responses.retrieve(third.id).output_text == third.output_text
    assert third.usage.input_tokens > second.usage.input_tokens


def test_tool_loop_sends_only_what_is_new(client):
    more = {"tools": [LOOK], "reasoning": {"effort": "low"}}
    first = client.responses.create(model="haiku", input="Please look", **more)
    [call] = [item for item in first.output if item.type == "function_call"]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "a garden"}
    second = client.responses.create(model="haiku", input=[output], previous_response_id=first.id, **more)
    assert "a garden" in second.output_text


def test_response_that_is_not_stored_is_not_found(client):
    response = client.responses.create(model="claude", input="Hello", store=False)
    assert response.store is False
    with pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model="claude", input="Hi", previous_response_id=response.id)
    assert raised.value.code == "previous_response_not_found"


@pytest.mark.parametrize("automatic", [False, True])
def test_agents_sdk_continues_by_the_previous_response(gateway, automatic):
    looked = []

    @agents.function_tool
    def look(at: str) -> str:
        """Looks."""
        looked.append(at)
        return "a garden"

    async def run():
        client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)
        model = agents.OpenAIResponsesModel(model="claude", openai_client=client)
        agent = agents.Agent(name="clerk", instructions="Be brief.", model=model, tools=[look])
        first = await agents.Runner.run(agent, "Please look", auto_previous_response_id=automatic)
        previous = first.last_response_id
        assert previous.startswith("resp_")
        second = await agents.Runner.run(agent, "And now?", previous_response_id=previous)
        items = await client.responses.input_items.list(second.last_response_id)
        return first.final_output, [item.content[0].text for item in items.data]

    agents.set_tracing_disabled(True)
    answer, texts = asyncio.run(run())
    assert "a garden" in answer
    assert texts == ["And now?"]
    assert len(looked) == 1
