"""Tests reranking with plain HTTP, and the simulator's Rerank with boto3."""

import json
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

COHERE = "cohere.rerank-v3-5:0"
DOCUMENTS = ["Berlin is in Germany", "Paris is the capital of France", "The capital gains tax"]


def client(simulator):
    return boto3.client(
        "bedrock-agent-runtime",
        endpoint_url=simulator,
        region_name="eu-central-1",
        aws_access_key_id="simulator",
        aws_secret_access_key="simulator",
        config=Config(retries={"total_max_attempts": 1}),
    )


def request(documents, region="eu-central-1", model=COHERE, **more):
    sources = [{"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}} for text in documents]
    arn = f"arn:aws:bedrock:{region}::foundation-model/{model}"
    configuration = {"modelConfiguration": {"modelArn": arn}, **more}
    return {
        "queries": [{"type": "TEXT", "textQuery": {"text": "capital of France"}}],
        "sources": sources,
        "rerankingConfiguration": {"type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": configuration},
    }


def test_boto3_reranks_with_the_simulator(simulator):
    reply = client(simulator).rerank(**request(DOCUMENTS))
    assert [result["index"] for result in reply["results"]] == [1, 2, 0]
    assert reply["results"][0]["relevanceScore"] == 1.0
    assert "nextToken" not in reply
    assert len(client(simulator).rerank(**request(DOCUMENTS, numberOfResults=2))["results"]) == 2


def test_boto3_pages_through_the_results(simulator):
    pages = list(client(simulator).get_paginator("rerank").paginate(**request(["text"] * 700)))
    assert [len(page["results"]) for page in pages] == [500, 200]
    assert sorted(result["index"] for page in pages for result in page["results"]) == list(range(700))


@pytest.mark.parametrize(
    "more", [{"region": "us-east-1"}, {"model": "amazon.nova-lite-v1:0"}, {"numberOfResults": 1001}, {"documents": [""]}]
)
def test_simulator_rejects(simulator, more):
    with pytest.raises((ClientError, ParamValidationError)) as rejected:
        client(simulator).rerank(**request(**{"documents": DOCUMENTS, **more}))
    if isinstance(rejected.value, ClientError):
        assert rejected.value.response["Error"]["Code"] == "ValidationException"


def test_gateway_reranks(gateway):
    body = {"model": COHERE, "query": "capital of France", "documents": DOCUMENTS, "top_n": 2, "return_documents": True}
    headers = {"content-type": "application/json", "authorization": f"Bearer {gateway.wide_key}"}
    call = urllib.request.Request(f"{gateway.base_url}/rerank", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(call) as reply:
        assert reply.headers["x-lintel-route"] == "rerank"
        reply = json.load(reply)
    assert [result["document"]["text"] for result in reply["results"]] == [DOCUMENTS[1], DOCUMENTS[2]]
    assert reply["meta"]["billed_units"]["search_units"] == 1
