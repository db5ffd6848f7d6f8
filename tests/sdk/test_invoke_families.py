"""Calls the simulated families of InvokeModel with boto3, so that an independent client checks their bodies."""

import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

COMMAND_R = "cohere.command-r-v1:0"
TOOL = {
    "name": "get_weather",
    "description": "The weather",
    "parameter_definitions": {"city": {"type": "str", "description": "A city", "required": True}},
}


def client(simulator):
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=simulator,
        region_name="us-east-1",
        aws_access_key_id="simulator",
        aws_secret_access_key="simulator",
        config=Config(retries={"total_max_attempts": 1}),
    )


def invoke(simulator, model, **body):
    reply = client(simulator).invoke_model(modelId=model, body=json.dumps(body))
    counts = reply["ResponseMetadata"]["HTTPHeaders"]
    assert int(counts["x-amzn-bedrock-output-token-count"]) > 0
    return json.loads(reply["body"].read())


def stream(simulator, model, **body):
    reply = client(simulator).invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    events = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] > 0
    return events


def test_command_r_calls_tools_and_reads_their_results(simulator):
    first = invoke(simulator, COMMAND_R, message="Use get_weather", tools=[TOOL])
    assert first["tool_calls"] == [{"name": "get_weather", "parameters": {"city": "city"}}]
    results = [{"call": first["tool_calls"][0], "outputs": [{"text": "sunny"}]}]
    second = invoke(simulator, COMMAND_R, message="Use get_weather", tools=[TOOL], tool_results=results)
    assert second["text"] == "You said: sunny"
    events = stream(simulator, COMMAND_R, message="Use get_weather", tools=[TOOL])
    calls = next(event for event in events if event["event_type"] == "tool-calls-generation")
    assert calls["tool_calls"] == first["tool_calls"]


def test_command_r_cites_documents(simulator):
    documents = [{"title": "Penguins", "snippet": "Emperor penguins are the tallest."}]
    reply = invoke(simulator, COMMAND_R, message="Which are the tallest?", documents=documents)
    assert reply["citations"][0]["document_ids"] == ["doc_0"]


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Hi", "p": 1},
        {"message": "Hi", "prompt": "Hi"},
        {"message": "Hi", "tools": [{**TOOL, "name": "get-weather"}]},
        {"message": "Hi", "tools": [{**TOOL, "parameter_definitions": {"city": {"type": "string"}}}]},
        {"message": "Hi", "tool_results": [{"call": {"name": "other", "parameters": {}}, "outputs": [{"text": "x"}]}]},
        {"message": "Hi", "chat_history": [{"role": "TOOL", "message": "x"}]},
    ],
)
def test_command_r_rejects_what_its_documentation_does_not_have(simulator, body):
    with pytest.raises(ClientError, match="ValidationException"):
        invoke(simulator, COMMAND_R, **body)


def test_completions_of_old_models(simulator):
    claude = {"prompt": "\n\nHuman: Hello\n\nAssistant:", "max_tokens_to_sample": 50}
    assert invoke(simulator, "anthropic.claude-v2:1", **claude)["completion"] == " You said: Hello"
    events = stream(simulator, "anthropic.claude-instant-v1", **claude)
    assert "".join(event["completion"] for event in events).strip() == "You said: Hello"
    assert events[-1]["stop_reason"] == "stop_sequence"
    llama = {"prompt": "<s>[INST] Hello [/INST]", "max_gen_len": 50}
    assert invoke(simulator, "meta.llama2-13b-chat-v1", **llama)["generation"] == "You said: Hello"
    command = {"prompt": "Hello", "max_tokens": 50}
    assert invoke(simulator, "cohere.command-text-v14", **command)["generations"][0]["finish_reason"] == "COMPLETE"
    assert stream(simulator, "cohere.command-text-v14", stream=True, **command)[-1]["is_finished"]
    jurassic = invoke(simulator, "ai21.j2-mid-v1", prompt="Hello", maxTokens=2)
    assert jurassic["completions"][0]["finishReason"]["reason"] == "length"
    with pytest.raises(ClientError, match="streaming"):
        stream(simulator, "ai21.j2-mid-v1", prompt="Hello")


def test_imported_models_return_log_probabilities(simulator):
    arn = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcabcabcabc"
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50, "logprobs": True, "top_logprobs": 1}
    choice = invoke(simulator, arn, **body)["choices"][0]
    tokens = [entry["token"] for entry in choice["logprobs"]["content"]]
    assert "".join(tokens) == choice["message"]["content"] == "You said: Hello"
