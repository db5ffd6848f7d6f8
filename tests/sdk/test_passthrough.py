"""Tests the gateway with boto3, whose endpoint it is: requests and replies pass through under the gateway's rules. boto3 sends
API keys over TLS only."""

import json
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}


@pytest.fixture
def make(secure, certificate, monkeypatch):
    """Returns a function that makes a client with a key of the gateway."""

    def client(key):
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", key)
        return boto3.client(
            "bedrock-runtime",
            endpoint_url=secure.base_url.removesuffix("/v1"),
            region_name="eu-west-1",
            verify=str(certificate[0]),
            config=Config(retries={"total_max_attempts": 1}),
        )

    return client


@pytest.fixture
def client(make, secure):
    return make(secure.wide_key)


def say(model, text, **more):
    return {"modelId": model, "messages": [{"role": "user", "content": [{"text": text}]}], **more}


def claude(text):
    return json.dumps({**CLAUDE, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]})


@pytest.mark.parametrize("model", ["claude", "amazon.nova-lite-v1:0", "us.anthropic.claude-sonnet-5-5"])
def test_converse(client, model):
    reply = client.converse(**say(model, "Hello"))
    assert reply["output"]["message"] == {"role": "assistant", "content": [{"text": "You said: Hello"}]}
    assert reply["usage"]["outputTokens"] == 3
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-lintel-route"].startswith("converse; reason=passthrough")
    assert reply["ResponseMetadata"]["RequestId"]


def test_converse_with_tools_and_images(client):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": schema}}}]}
    reply = client.converse(**say("claude", "use get_weather", toolConfig=tools))
    call = reply["output"]["message"]["content"][-1]["toolUse"]
    assert call["name"] == "get_weather" and reply["stopReason"] == "tool_use"
    result = {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "sunny"}]}}
    messages = [
        {"role": "user", "content": [{"text": "use get_weather"}]},
        reply["output"]["message"],
        {"role": "user", "content": [result, {"image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n"}}}]},
    ]
    reply = client.converse(modelId="claude", messages=messages, toolConfig=tools, inferenceConfig={"maxTokens": 20})
    assert reply["stopReason"] == "end_turn"


def test_converse_stream(client):
    events = list(client.converse_stream(**say("claude", "Hello"))["stream"])
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text == "You said: Hello"
    assert "messageStop" in events[-2] and events[-1]["metadata"]["usage"]["outputTokens"] == 3


def test_broken_stream_raises(client):
    stream = client.converse_stream(**say("claude", "[simulate words 40] [simulate cut]"))["stream"]
    with pytest.raises(EventStreamError, match="internalServerException"):
        list(stream)


def test_invoke_model(client):
    reply = client.invoke_model(modelId="claude", body=claude("Hello"))
    assert json.loads(reply["body"].read())["content"][0]["text"] == "You said: Hello"
    body = json.dumps({"inputText": "Hello"})
    reply = client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=body)
    assert len(json.loads(reply["body"].read())["embedding"]) == 1024


def test_invoke_model_with_response_stream(client):
    reply = client.invoke_model_with_response_stream(modelId="claude", body=claude("Hello"))
    events = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    text = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    assert text == "You said: Hello"
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 3


@pytest.mark.parametrize(
    ("model", "text", "code", "status"),
    [
        ("nothing", "Hi", "ResourceNotFoundException", 404),
        ("claude", "[simulate throttle]", "ThrottlingException", 429),
        # Not a 500, which SDKs would repeat.
        ("claude", "[simulate access-denied]", "AccessDeniedException", 403),
        ("claude", "[simulate model-error]", "ModelErrorException", 424),
        ("claude", "[simulate validation]", "ValidationException", 400),
    ],
)
def test_errors_are_those_of_the_service_model(client, model, text, code, status):
    with pytest.raises(ClientError) as caught:
        client.converse(**say(model, text))
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert "arn:aws" not in response["Error"]["Message"]


def test_keys_are_checked(make, secure):
    with pytest.raises(ClientError) as caught:
        make("sk-wrong").converse(**say("claude", "Hi"))
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
    # This key may not use the model.
    with pytest.raises(ClientError) as caught:
        make(secure.key).converse(**say("oss", "Hi"))
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_calls_are_in_the_metrics(client, secure):
    client.converse(**say("claude", "Hello"))
    metrics = urllib.request.urlopen(f"{secure.admin_url}/metrics").read().decode()
    assert '/model/{id}/converse"' in metrics
