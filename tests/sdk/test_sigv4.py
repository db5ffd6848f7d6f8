"""Tests the gateway with boto3 that signs its requests, with the key pair of a key of the gateway."""

import json
import os
import subprocess

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import CONFIG, KEY, WIDE_KEY, Gateway, Process

ADMIN_TOKEN = "an-admin-token-for-key-pairs-0123456789"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-5-5"


@pytest.fixture(scope="module")
def signing(simulator, tmp_path_factory):
    """A gateway that accepts signatures, and a function that runs a command of `lintel keys` against it."""
    config = tmp_path_factory.mktemp("lintel") / "config.toml"
    text = CONFIG.replace("[server]", '[server]\nsigv4_key_env = ["SIGV4_KEY"]')
    config.write_text(text.replace("[admin]", '[admin]\ntoken_env = "ADMIN_TOKEN"'))
    environment = {
        "CANARY_KEY": KEY,
        "WIDE_KEY": WIDE_KEY,
        "SIGV4_KEY": "c41b2f9d7e0a8356c41b2f9d7e0a8356-boto3",
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": simulator,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
        "RUST_LOG": "trace",
    }
    process = Process.start(["serve", "--config", str(config)], environment)
    match = process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"')
    gateway = Gateway(process, f"http://{match.group(1)}", f"http://{match.group(2)}", simulator)

    def keys(*arguments):
        command = [os.environ["LINTEL"], "keys", *arguments, "--config", str(config), "--json"]
        environment = {**os.environ, "ADMIN_TOKEN": ADMIN_TOKEN, "LINTEL__ADMIN__LISTEN": match.group(2)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    pairs = []

    def pair(key):
        pairs.append(keys("aws", key))
        return pairs[-1]["access_key_id"], pairs[-1]["secret_access_key"]

    yield gateway, keys, pair
    assert process.stop() == 0
    while not process.lines.empty():
        process.seen.append(process.lines.get())
    secrets = [pair["secret_access_key"] for pair in pairs]
    assert not [line for line in process.seen if any(secret in line for secret in secrets)]


def client(gateway, pair, monkeypatch):
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=gateway.base_url,
        region_name="eu-west-1",
        aws_access_key_id=pair[0],
        aws_secret_access_key=pair[1],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def bedrock(signing, monkeypatch):
    gateway, _, pair = signing
    return client(gateway, pair("wide"), monkeypatch)


def say(model):
    return {"modelId": model, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


def claude():
    content = [{"type": "text", "text": "Hello"}]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}
    return json.dumps({**body, "messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize("model", ["claude", "amazon.nova-lite-v1:0", PROFILE])
def test_converse(bedrock, model):
    reply = bedrock.converse(**say(model))
    assert reply["output"]["message"]["content"] == [{"text": "You said: Hello"}]


def test_converse_stream(bedrock):
    events = list(bedrock.converse_stream(**say("claude"))["stream"])
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text == "You said: Hello"


@pytest.mark.parametrize("model", ["claude", PROFILE])
def test_invoke_model(bedrock, model):
    reply = bedrock.invoke_model(modelId=model, body=claude())
    assert json.loads(reply["body"].read())["content"][0]["text"] == "You said: Hello"


def test_invoke_model_with_response_stream(bedrock):
    reply = bedrock.invoke_model_with_response_stream(modelId="claude", body=claude())
    events = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 3


def code_of(bedrock, model="claude"):
    with pytest.raises(ClientError) as caught:
        bedrock.converse(**say(model))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return caught.value.response["Error"]["Code"]


def test_wrong_secrets_and_unknown_keys_are_rejected(signing, monkeypatch):
    gateway, _, pair = signing
    access_key_id, secret = pair("wide")
    wrong = client(gateway, (access_key_id, secret[:-1]), monkeypatch)
    assert code_of(wrong) == "InvalidSignatureException"
    unknown = client(gateway, ("AKIAIOSFODNN7EXAMPLE", secret), monkeypatch)
    assert code_of(unknown) == "UnrecognizedClientException"
    # This key may not use the model.
    narrow = client(gateway, pair("canary"), monkeypatch)
    assert code_of(narrow, "oss") == "AccessDeniedException"


def test_virtual_key_signs_until_it_is_revoked(signing, monkeypatch):
    gateway, keys, pair = signing
    key = keys("create", "--name", "boto3", "--models", "claude")["key"]["id"]
    bedrock = client(gateway, pair(key), monkeypatch)
    assert bedrock.converse(**say("claude"))["stopReason"] == "end_turn"
    keys("revoke", key)
    assert code_of(bedrock) == "UnrecognizedClientException"
