"""Tests structured output with the schemas of `trips.py`: Instructor, pydantic-ai, LangChain and LiteLLM, in each of their modes."""

import asyncio

import instructor
import litellm
import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from trips import MODELS, Passenger, Trip

# LiteLLM's own types warn when they are loaded.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
PROMPT = "A trip, please."


def prompted(output):
    """JSON mode with the schema in the instructions, in the words that the simulated model knows."""
    return PromptedOutput(output, template="Answer by this JSON schema: {schema}")


def is_trip(trip):
    return isinstance(trip, Trip) and trip.leg.number == "number" and trip.passengers[0].name == "name"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_instructor_returns_an_object(gateway, mode, model):
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    patched = instructor.from_openai(client, mode=instructor.Mode[mode], model=MODELS[model])
    request = {"messages": [{"role": "user", "content": PROMPT}], "max_retries": 0}
    assert is_trip(patched.chat.completions.create(response_model=Trip, **request))
    [streamed] = patched.chat.completions.create_iterable(response_model=Trip, **request)
    assert is_trip(streamed)
    *_, passenger = patched.chat.completions.create_partial(response_model=Passenger, **request)
    assert passenger.name == "name"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", [ToolOutput, NativeOutput, prompted])
def test_pydantic_ai_returns_an_object(gateway, mode, model, stream):
    async def run():
        client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
        agent = Agent(OpenAIChatModel(MODELS[model], provider=OpenAIProvider(openai_client=client)), output_type=mode(Trip))
        if not stream:
            return (await agent.run(PROMPT)).output
        async with agent.run_stream(PROMPT) as streamed:
            return await streamed.get_output()

    assert is_trip(asyncio.run(run()))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_returns_an_object(gateway, method, model):
    chat = ChatOpenAI(model=MODELS[model], base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    structured = chat.with_structured_output(Trip, method=method)
    assert is_trip(structured.invoke(PROMPT))
    assert is_trip(list(structured.stream(PROMPT))[-1])


@pytest.mark.parametrize("model", MODELS)
def test_litellm_returns_an_object(gateway, model):
    access = {"api_base": gateway.base_url, "api_key": gateway.wide_key, "max_retries": 0}
    messages = [{"role": "user", "content": PROMPT}]
    reply = litellm.completion(model=f"openai/{MODELS[model]}", messages=messages, response_format=Trip, **access)
    assert is_trip(Trip.model_validate_json(reply.choices[0].message.content))
