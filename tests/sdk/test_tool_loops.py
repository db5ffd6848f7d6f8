"""Tests tool loops with Pydantic schemas in common frameworks: a model calls a tool, the framework runs it, the model answers."""

import asyncio
import uuid

import agents
import litellm
import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool as langchain_tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from trips import ANSWER, MODELS, LabeledTrip, Trip, Upstream, confirm

# LiteLLM's own types warn when they are loaded.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def langchain(gateway, model, prompt, stream):
    class Booking(BaseModel):
        trip: LabeledTrip

    @langchain_tool(args_schema=Booking)
    def book_trip(trip: LabeledTrip) -> str:
        """Books a trip."""
        return confirm(trip)

    chat = ChatOpenAI(model=model, base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    bound = chat.bind_tools([book_trip])

    def ask(messages):
        if not stream:
            return bound.invoke(messages)
        first, *rest = bound.stream(messages)
        return sum(rest, start=first)

    messages = [HumanMessage(prompt)]
    while (answer := ask(messages)).tool_calls:
        messages += [answer, *(book_trip.invoke(call) for call in answer.tool_calls)]
    return answer.text


def agents_sdk(gateway, model, prompt, stream):
    @agents.function_tool
    def book_trip(trip: Trip) -> str:
        """Books a trip."""
        return confirm(trip)

    async def run():
        client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
        chat = agents.OpenAIChatCompletionsModel(model=model, openai_client=client)
        agent = agents.Agent(name="clerk", instructions="Be brief.", model=chat, tools=[book_trip])
        if not stream:
            return (await agents.Runner.run(agent, prompt)).final_output
        streamed = agents.Runner.run_streamed(agent, prompt)
        async for _ in streamed.stream_events():
            pass
        return streamed.final_output

    agents.set_tracing_disabled(True)
    return asyncio.run(run())


def pydantic_ai(gateway, model, prompt, stream):
    def book_trip(trip: LabeledTrip) -> str:
        """Books a trip."""
        return confirm(trip)

    async def run():
        client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
        agent = Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)), tools=[book_trip])
        if not stream:
            return (await agent.run(prompt)).output
        async with agent.run_stream(prompt) as streamed:
            return await streamed.get_output()

    return asyncio.run(run())


def lite_llm(gateway, model, prompt, stream):
    schema = {"type": "object", "properties": {"trip": {"$ref": "#/$defs/LabeledTrip"}}, "required": ["trip"]}
    definitions = LabeledTrip.model_json_schema()
    schema["$defs"] = {**definitions.pop("$defs"), "LabeledTrip": definitions}
    function = {"name": "book_trip", "description": "Books a trip.", "parameters": schema}
    tools = [{"type": "function", "function": function}]
    access = {"api_base": gateway.base_url, "api_key": gateway.wide_key, "max_retries": 0}

    def ask(messages):
        reply = litellm.completion(model=f"openai/{model}", messages=messages, tools=tools, stream=stream, **access)
        return litellm.stream_chunk_builder(list(reply), messages=messages) if stream else reply

    class Booking(BaseModel):
        trip: LabeledTrip

    messages = [{"role": "user", "content": prompt}]
    while calls := (message := ask(messages).choices[0].message).tool_calls:
        messages.append(message.model_dump(exclude_none=True))
        for call in calls:
            booking = Booking.model_validate_json(call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": confirm(booking.trip)})
    return message.content


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("framework", [langchain, agents_sdk, pydantic_ai, lite_llm])
def test_tool_loop_completes(gateway, framework, model, stream):
    word = uuid.uuid4().hex
    answer = framework(gateway, MODELS[model], f"Use book_trip for {word}", stream)
    assert answer == ANSWER
    Upstream(gateway.simulator_url).assert_tool_loop(word, MODELS[model], stream=stream)
