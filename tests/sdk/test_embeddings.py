"""Tests embeddings with the OpenAI SDK for Python and with LangChain."""

import asyncio
from array import array

import openai
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings

# Titan and Nova take one text per request to Bedrock, and Cohere takes 96.
TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-english-v3"
COHERE_V4 = "us.cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
CHAT = "amazon.nova-lite-v1:0"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)


def float32(vector):
    """JSON has decimal numbers, and Base64 has 32-bit floats: they are equal as 32-bit floats."""
    return array("f", vector)


@pytest.mark.parametrize(("model", "size"), [(TITAN, 1024), (COHERE, 1024), (COHERE_V4, 1536), (NOVA, 3072)])
def test_float_and_the_default_base64_are_the_same_vector(client, model, size):
    floats = client.embeddings.create(model=model, input="Hello there", encoding_format="float")
    raw = client.embeddings.with_raw_response.create(model=model, input="Hello there")
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str), "the SDK requests Base64 by default"
    assert float32(raw.parse().data[0].embedding) == float32(floats.data[0].embedding)
    assert len(floats.data[0].embedding) == size
    assert (floats.object, floats.model, floats.data[0].object, floats.data[0].index) == ("list", model, "embedding", 0)
    assert floats.usage.prompt_tokens == floats.usage.total_tokens == 2
    assert floats.usage.cost > 0
    assert float(raw.headers["x-lintel-cost-usd"]) == floats.usage.cost
    assert raw.headers["x-lintel-route"] == "invoke"


@pytest.mark.parametrize(("model", "size", "requests"), [(TITAN, 256, 300), (COHERE, 1024, 4)])
def test_300_inputs_come_back_in_their_order(client, model, size, requests):
    texts = [f"text {number}" for number in range(300)]
    raw = client.embeddings.with_raw_response.create(model=model, input=texts, dimensions=size)
    reply = raw.parse()
    assert [item.index for item in reply.data] == list(range(300))
    alone = [client.embeddings.create(model=model, input=text, dimensions=size).data[0].embedding for text in texts]
    assert len({tuple(vector) for vector in alone}) == 300
    assert [item.embedding for item in reply.data] == alone
    assert reply.usage.prompt_tokens == 600
    assert raw.headers["x-lintel-attempts"] == str(requests)


def test_list_of_one_equals_the_string(client):
    one, listed = (client.embeddings.create(model=TITAN, input=text).data for text in ("Hi", ["Hi"]))
    assert one == listed


@pytest.mark.parametrize(("model", "size"), [(TITAN, 256), (COHERE_V4, 512), (NOVA, 1024), (COHERE, 1024)])
def test_dimensions_set_the_size_of_the_vectors(client, model, size):
    reply = client.embeddings.create(model=model, input=["one", "two"], dimensions=size)
    assert [len(item.embedding) for item in reply.data] == [size, size]


def test_image_is_embedded_among_texts(client):
    image = f"data:image/png;base64,{PNG}"
    reply = client.embeddings.create(model=NOVA, input=["one", image, "two"])
    alone = [client.embeddings.create(model=NOVA, input=text).data[0].embedding for text in ("one", image, "two")]
    assert [item.embedding for item in reply.data] == alone
    assert reply.usage.images == 1


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["one", " "]}, "input[1]", "invalid_value"),
        ({"input": ["one"] * 2049}, "input", "invalid_value"),
        ({"input": [1, 2, 3]}, "input", "unsupported_parameter"),
        ({"input": "word " * 9000}, "input", "context_length_exceeded"),
        ({"input": ["one", "a" * 2049], "model": COHERE}, "input[1]", "context_length_exceeded"),
        ({"dimensions": 300}, "dimensions", "invalid_value"),
        ({"encoding_format": "int8"}, "encoding_format", "invalid_value"),
        ({"extra_body": {"input_type": "image"}}, "input_type", "invalid_value"),
    ],
)
def test_invalid_request_raises_bad_request_with_the_member(client, change, param, code):
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(**{"model": TITAN, "input": "Hi", **change})
    assert (raised.value.param, raised.value.code) == (param, code)


def test_chat_model_and_throttling_raise_the_sdk_exception_classes(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.embeddings.create(model=CHAT, input="Hi")
    assert (raised.value.param, raised.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(model=TITAN, input=["one", "[simulate throttle]"])
    assert raised.value.code == "rate_limit_exceeded"


def test_async_client_gets_each_input_its_own_vector(gateway):
    async def main():
        async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.wide_key) as client:
            texts = [f"text {number}" for number in range(20)]
            replies = await asyncio.gather(*(client.embeddings.create(model=TITAN, input=text) for text in texts))
            together = await client.embeddings.create(model=TITAN, input=texts)
            return [reply.data[0].embedding for reply in replies], [item.embedding for item in together.data]

    alone, together = asyncio.run(main())
    assert alone == together


def test_access_log_reports_usage(client, gateway):
    raw = client.embeddings.with_raw_response.create(model=TITAN, input=["one two", "three"])
    line = gateway.log_of(raw.headers["x-request-id"])
    expected = {"status": 200, "reason": "ok", "route": "/v1/embeddings", "input_tokens": 3, "cost_usd": "0.00000006"}
    assert {name: line[name] for name in expected} == expected


def langchain(gateway, **settings):
    return OpenAIEmbeddings(
        model=TITAN, base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0, **settings
    )


def test_langchain_embeds_documents_and_queries(gateway):
    embeddings = langchain(gateway, check_embedding_ctx_length=False, dimensions=256)
    texts = ["one", "two", "three"]
    vectors = embeddings.embed_documents(texts)
    assert vectors == [embeddings.embed_query(text) for text in texts]
    assert [len(vector) for vector in vectors] == [256] * 3
    assert vectors == asyncio.run(embeddings.aembed_documents(texts))


def test_langchain_default_of_sending_tokens_is_rejected_with_what_to_do(gateway, monkeypatch):
    # One token per byte, because tiktoken would download the real encoding.
    encoding = {"name": "cl100k_base", "pat_str": ".", "mergeable_ranks": {bytes([n]): n for n in range(256)}, "special_tokens": {}}
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", tiktoken.Encoding(**encoding))
    with pytest.raises(openai.BadRequestError) as raised:
        langchain(gateway).embed_documents(["one"])
    assert (raised.value.param, raised.value.code) == ("input", "unsupported_parameter")
    assert "Send strings" in raised.value.message and "check_embedding_ctx_length=False" in raised.value.message
