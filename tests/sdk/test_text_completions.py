"""Tests `/v1/completions`, the API before there were chats, with the OpenAI SDK for Python and with LangChain."""

import openai
import pytest
from langchain_openai import OpenAI as LangChainOpenAI

MODEL = "claude"
PROMPTS = ["One", "Two", "Three"]


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)


def texts_of(chunks):
    texts = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] = texts.get(choice.index, "") + choice.text
    return [texts[index] for index in sorted(texts)]


def test_prompt_is_completed(client):
    completion = client.completions.create(model=MODEL, prompt="Hello there", max_tokens=50, temperature=0.5)
    choice = completion.choices[0]
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == ("You said: Hello there", 0, "stop", None)
    assert (completion.object, completion.model) == ("text_completion", MODEL)
    assert completion.id.startswith("cmpl-")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens, completion.usage.total_tokens) == (2, 4, 6)
    assert completion.usage.cost > 0
    assert completion._request_id.startswith("req_")


def test_each_prompt_of_a_list_is_completed(client):
    completion = client.completions.create(model=MODEL, prompt=PROMPTS)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert [choice.text for choice in completion.choices] == [f"You said: {prompt}" for prompt in PROMPTS]
    alone = [client.completions.create(model=MODEL, prompt=prompt).usage for prompt in PROMPTS]
    assert completion.usage.total_tokens == sum(usage.total_tokens for usage in alone)
    assert completion.usage.cost == pytest.approx(sum(usage.cost for usage in alone))


def test_n_completes_each_prompt_that_often(client):
    choices = client.completions.create(model=MODEL, prompt=["One", "Two"], n=2).choices
    assert [choice.text for choice in choices] == ["You said: One"] * 2 + ["You said: Two"] * 2
    assert [choice.index for choice in choices] == [0, 1, 2, 3]


def test_prompt_is_completed_in_a_stream(client):
    chunks = list(client.completions.create(model=MODEL, prompt="Hello there", stream=True))
    assert len(chunks) > 2, "the text comes piece by piece"
    assert texts_of(chunks) == ["You said: Hello there"]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_of_a_list_ends_with_the_usage_of_all(client):
    options = {"include_usage": True}
    *before, last = client.completions.create(model=MODEL, prompt=PROMPTS, stream=True, stream_options=options)
    assert texts_of(before) == [f"You said: {prompt}" for prompt in PROMPTS]
    assert last.choices == []
    assert last.usage == client.completions.create(model=MODEL, prompt=PROMPTS).usage


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": ["One", ""]}, "prompt[1]", "invalid_value"),
        ({"prompt": [1, 2]}, "prompt", "unsupported_parameter"),
        ({"prompt": "[simulate too-long]"}, "prompt", "context_length_exceeded"),
        ({"temperature": 9}, "temperature", "invalid_value"),
        ({"echo": True}, "echo", "unsupported_parameter"),
        ({"n": 17}, "n", "invalid_value"),
    ],
)
def test_invalid_request_raises_bad_request_with_the_member(client, change, param, code, stream):
    with pytest.raises(openai.BadRequestError) as raised:
        client.completions.create(**{"model": MODEL, "prompt": "Hi", "stream": stream, **change})
    assert (raised.value.param, raised.value.code) == (param, code)


@pytest.mark.parametrize("fault", ["cut", "no-stop"])
def test_broken_stream_raises(client, fault):
    stream = client.completions.create(model=MODEL, prompt=f"one two three four [simulate {fault}]", stream=True)
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert raised.value.code == "upstream_truncated"


def test_langchain_completes_prompts(gateway):
    model = LangChainOpenAI(model=MODEL, base_url=gateway.base_url, api_key=gateway.key, max_retries=0)
    assert model.invoke("Hello there") == "You said: Hello there"
    assert model.batch(["One", "Two"]) == ["You said: One", "You said: Two"]
    assert "".join(model.stream("Hello there")) == "You said: Hello there"
