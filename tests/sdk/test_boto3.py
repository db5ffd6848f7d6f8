"""boto3 against `lintel simulate`: the simulator's wire format, judged by a client that we did not write."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


def client(simulator, secret="simulator", key="simulator"):
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=simulator,
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def say(text, **more):
    return {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": text}]}], **more}


def test_converse(simulator):
    reply = client(simulator).converse(**say("Hello", inferenceConfig={"maxTokens": 100, "temperature": 0.5}))
    assert reply["output"]["message"] == {"role": "assistant", "content": [{"text": "You said: Hello"}]}
    assert reply["stopReason"] == "end_turn"
    assert reply["usage"] == {"inputTokens": 1, "outputTokens": 3, "totalTokens": 4}
    assert reply["metrics"]["latencyMs"] >= 0
    assert reply["ResponseMetadata"]["RequestId"]


def test_an_arn_in_the_path(simulator):
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
    reply = client(simulator).converse(**{**say("Hello"), "modelId": arn})
    assert reply["stopReason"] == "end_turn"


def test_converse_stream(simulator):
    events = list(client(simulator).converse_stream(**say("Hello"))["stream"])
    kinds = [next(iter(event)) for event in events]
    assert kinds == ["messageStart", *["contentBlockDelta"] * 3, "contentBlockStop", "messageStop", "metadata"]
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text == "You said: Hello"
    assert events[-1]["metadata"]["usage"]["totalTokens"] == 4


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("throttle", "ThrottlingException", 429),
        ("access-denied", "AccessDeniedException", 403),
        ("not-found", "ResourceNotFoundException", 404),
        ("model-timeout", "ModelTimeoutException", 408),
        ("internal", "InternalServerException", 500),
        ("unavailable", "ServiceUnavailableException", 503),
        ("validation", "ValidationException", 400),
        ("not-ready", "ModelNotReadyException", 429),
        ("model-error", "ModelErrorException", 424),
    ],
)
@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_errors(simulator, fault, code, status, operation):
    with pytest.raises(ClientError) as raised:
        getattr(client(simulator), operation)(**say(f"[simulate {fault}]"))
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_an_exception_in_a_stream(simulator):
    stream = client(simulator).converse_stream(**say("one two [simulate exception throttlingException]"))["stream"]
    with pytest.raises(EventStreamError, match="throttlingException"):
        list(stream)


@pytest.mark.parametrize("fault", ["bad-crc", "cut", "reset"])
def test_broken_streams(simulator, fault):
    stream = client(simulator).converse_stream(**say(f"one two three [simulate {fault}]"))["stream"]
    with pytest.raises(Exception):
        list(stream)


def test_a_wrong_secret_is_refused(simulator):
    with pytest.raises(ClientError) as raised:
        client(simulator, secret="wrong").converse(**say("Hello"))
    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_another_key_is_checked_for_its_form(simulator):
    assert client(simulator, secret="anything", key="AKIAEXAMPLE").converse(**say("Hello"))["stopReason"] == "end_turn"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": [{"text": "Hi"}]}]}, "must start with a user message"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}] * 2}, "must alternate"),
        ({"messages": [{"role": "user", "content": [{"text": "  "}]}]}, "is blank"),
        ({"messages": [{"role": "user", "content": []}]}, "is empty"),
        ({"inferenceConfig": {"temperature": 1.5}}, "less than or equal to 1"),
        ({"serviceTier": {"type": "best"}}, "enum value set"),
        (
            {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "x"}]}}]}]},
            "exceeds the number of toolUse blocks",
        ),
    ],
)
def test_validation(simulator, change, message):
    with pytest.raises(ClientError, match=message) as raised:
        client(simulator).converse(**{**say("Hello"), **change})
    assert raised.value.response["Error"]["Code"] == "ValidationException"
