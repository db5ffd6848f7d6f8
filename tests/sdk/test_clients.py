"""Tests tools, structured output, media and reasoning with common clients: the OpenAI SDK, LangChain and the OpenAI
Agents SDK. The simulated model calls the tools that the last message names."""

import asyncio
import base64
import json

import agents
import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

# One family per kind of structured output: native, forced tool, instruction.
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
SONNET = "us.anthropic.claude-sonnet-5-5"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = base64.b64encode(b"%PDF-1.4\n%EOF\n").decode()


class Weather(BaseModel):
    city: str
    degrees: int
    windy: bool


def tool(name, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = [tool("get_weather", city={"type": "string"}), tool("get.time", zone={"type": "string"})]


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)


@pytest.mark.parametrize("model", [CLAUDE, NOVA, LLAMA, SONNET])
def test_parse_returns_a_pydantic_model(client, model):
    completion = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "Weather?"}], response_format=Weather
    )
    message = completion.choices[0].message
    assert message.parsed == Weather(city="city", degrees=1, windy=True)
    assert completion.choices[0].finish_reason == "stop"
    assert not message.tool_calls


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_streamed_parse_returns_a_pydantic_model(client, model):
    messages = [{"role": "user", "content": "Weather?"}]
    with client.chat.completions.stream(model=model, messages=messages, response_format=Weather) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        assert stream.get_final_completion().choices[0].message.parsed.city == "city"
    assert len(deltas) > 1, "the answer comes piece by piece"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, NOVA, LLAMA])
def test_tool_loop_handles_two_parallel_calls(client, model, stream):
    messages = [{"role": "user", "content": "Use get_weather and get_time"}]
    if not stream:
        message = client.chat.completions.create(model=model, messages=messages, tools=TOOLS).choices[0].message
    else:
        with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as events:
            message = events.get_final_completion().choices[0].message
    calls = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get.time"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "city"}, {"zone": "zone"}]
    assert len({call.id for call in calls}) == 2
    messages.append(message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in calls]
    answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "You said: get_weather get.time"


def test_tool_choice_is_honored(client):
    messages = [{"role": "user", "content": "Hi"}]
    named = {"type": "function", "function": {"name": "get.time"}}
    completion = client.chat.completions.create(model=CLAUDE, messages=messages, tools=TOOLS, tool_choice=named)
    assert [call.function.name for call in completion.choices[0].message.tool_calls] == ["get.time"]


def test_image_and_pdf_are_accepted(client):
    content = [
        {"type": "text", "text": "What are these?"},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
    ]
    completion = client.chat.completions.create(model=CLAUDE, messages=[{"role": "user", "content": content}])
    assert completion.choices[0].message.content == "You said: What are these?"


def test_citations_are_returned_as_annotations(client):
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}", "citations": {"enabled": True}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "file", "file": file}]}]
    message = client.chat.completions.create(model=CLAUDE, messages=messages).choices[0].message
    citation = message.annotations[0].url_citation
    assert message.content[citation.start_index : citation.end_index] == "The document says so."


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_content_is_returned(client, stream):
    request = {"model": CLAUDE, "messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "low"}
    if stream:
        chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
        thought = "".join(getattr(c.choices[0].delta, "reasoning_content", "") for c in chunks if c.choices)
        usage = chunks[-1].usage
    else:
        completion = client.chat.completions.create(**request)
        thought, usage = completion.choices[0].message.reasoning_content, completion.usage
    assert thought == "The user said something. I repeat it."
    assert 0 < usage.completion_tokens_details.reasoning_tokens <= usage.completion_tokens
    assert usage.cost > 0


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_dropped_by_the_client_is_restored(client, gateway, stream):
    """The SDK sends tool calls back without the thinking before them, which Claude rejects."""
    messages = [{"role": "user", "content": "Use get_weather"}]
    request = {"model": CLAUDE, "tools": TOOLS, "reasoning_effort": "low"}
    if stream:
        with client.chat.completions.stream(messages=messages, **request) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=messages, **request).choices[0].message
    call = message.tool_calls[0]
    plain = {"id": call.id, "type": "function", "function": call.function.model_dump(include={"name", "arguments"})}
    messages += [{"role": "assistant", "tool_calls": [plain]}, {"role": "tool", "tool_call_id": call.id, "content": "Sun"}]
    raw = client.chat.completions.with_raw_response.create(messages=messages, **request)
    assert "ignored" not in raw.headers.get("x-lintel-warnings", ""), "nothing was given up"
    assert raw.parse().choices[0].message.reasoning_content, "and it goes on thinking"
    # Reasoning is never shared between keys, so the call of another key continues without it.
    other = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)
    raw = other.chat.completions.with_raw_response.create(messages=messages, **{**request, "model": "haiku"})
    assert "reasoning_effort: ignored" in raw.headers["x-lintel-warnings"]


def test_n_returns_that_many_choices(client):
    messages = [{"role": "user", "content": "Hi"}]
    one = client.chat.completions.create(model=NOVA, messages=messages)
    three = client.chat.completions.create(model=NOVA, messages=messages, n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    assert three.usage.cost == pytest.approx(3 * one.usage.cost)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=NOVA, messages=messages, n=3, stream=True, stream_options=options))
    texts = ["", "", ""]
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.delta.content or ""
    assert texts == ["You said: Hi"] * 3
    assert chunks[-1].usage == three.usage


def test_prompt_cache_is_written_then_read(client):
    mark = {"type": "ephemeral"}
    content = [{"type": "text", "text": " ".join(["word"] * 5000), "cache_control": mark}, {"type": "text", "text": "Hi"}]
    messages = [{"role": "user", "content": content}]
    first, second = (client.chat.completions.create(model=CLAUDE, messages=messages).usage for _ in range(2))
    assert first.prompt_tokens_details.cache_write_tokens == 5000
    assert second.prompt_tokens_details.cached_tokens == 5000
    assert first.prompt_tokens == second.prompt_tokens
    assert second.cost < first.cost


def test_guardrail_intervention_ends_with_content_filter(client):
    guardrail = {"identifier": "abc123", "version": "1", "trace": "enabled"}
    completion = client.chat.completions.create(
        model=CLAUDE, messages=[{"role": "user", "content": "[simulate guardrail]"}], extra_body={"bedrock": {"guardrail": guardrail}}
    )
    assert completion.choices[0].finish_reason == "content_filter"
    assert completion.bedrock_guardrail["inputAssessment"]


@pytest.fixture
def chat(gateway):
    return ChatOpenAI(model=CLAUDE, base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0, stream_usage=True)


def test_langchain_calls_tools(chat):
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sun in {city}"

    bound = chat.bind_tools([get_weather])
    messages = [HumanMessage("Use get_weather")]
    answer = bound.invoke(messages)
    assert answer.tool_calls[0]["args"] == {"city": "city"}
    messages += [answer, ToolMessage(get_weather("Rome"), tool_call_id=answer.tool_calls[0]["id"])]
    assert bound.invoke(messages).content == "You said: sun in Rome"


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_returns_structured_output(chat, method):
    assert chat.with_structured_output(Weather, method=method).invoke("Weather?").city == "city"


def test_langchain_streams(chat):
    chunks = list(chat.stream("Hello there"))
    assert "".join(chunk.text for chunk in chunks) == "You said: Hello there"
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 4


def test_agents_sdk_completes_a_tool_call(gateway):
    """Uses chat-completions mode: an agent calls a tool, gets its result, and answers."""

    @agents.function_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sun in {city}"

    client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    agents.set_tracing_disabled(True)
    model = agents.OpenAIChatCompletionsModel(model=CLAUDE, openai_client=client)
    agent = agents.Agent(name="weather", instructions="Be brief.", model=model, tools=[get_weather])

    async def whole_and_streamed():
        whole = await agents.Runner.run(agent, "Use get_weather")
        streamed = agents.Runner.run_streamed(agent, "Use get_weather")
        async for _ in streamed.stream_events():
            pass
        return whole.final_output, streamed.final_output

    assert asyncio.run(whole_and_streamed()) == ("You said: sun in city",) * 2
