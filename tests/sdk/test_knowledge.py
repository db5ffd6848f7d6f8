"""Tests answers from Knowledge Bases with the official OpenAI SDK, and the simulator's Retrieve with boto3."""

import re
import urllib.error
import urllib.request

import boto3
import httpx
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import KEY, Process

QUESTION = [{"role": "user", "content": "What does a budget set aside? 😀"}]


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)


def check(content, annotations, passages):
    """Checks citations. Python strings are indexed by code points, like annotations."""
    assert annotations
    for annotation in annotations:
        cited = annotation["url_citation"]
        marker = content[cited["start_index"] : cited["end_index"]]
        number = int(re.fullmatch(r"\[(\d+)\]", marker).group(1))
        assert cited["url"] == passages[number - 1]["source"]
        assert cited["title"]


def test_answer_cites_its_passages(client):
    completion = client.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": "docs"})
    message = completion.choices[0].message
    kb = completion.model_extra["kb"]
    assert kb["used"] and kb["name"] == "docs" and kb["context_chars"] > 0
    assert [passage["index"] for passage in kb["passages"]] == list(range(1, len(kb["passages"]) + 1))
    assert message.annotations[0].url_citation.url.startswith("s3://lintel-docs/")
    check(message.content, [annotation.model_dump() for annotation in message.annotations], kb["passages"])


def test_streamed_answer_cites_its_passages(client):
    kb = {"name": "docs", "max_results": 3, "filter": {"equals": {"key": "kind", "value": "guide"}}}
    content, annotations, end = "", [], None
    with client.chat.completions.create(model="claude", messages=QUESTION, stream=True, extra_body={"kb": kb}) as stream:
        for chunk in stream:
            delta = chunk.choices[0].delta
            content += delta.content or ""
            if found := (delta.model_extra or {}).get("annotations"):
                check(content, found, [{"source": annotation["url_citation"]["url"]} for annotation in found for _ in range(9)])
                annotations += found
            if chunk.choices[0].finish_reason:
                end = chunk.model_extra["kb"]
            else:
                assert "kb" not in (chunk.model_extra or {})
    check(content, annotations, end["passages"])
    assert len(end["passages"]) == 3
    assert {passage["metadata"]["kind"] for passage in end["passages"]} == {"guide"}


def test_streaming_helper_assembles_the_answer(client):
    with client.chat.completions.stream(model="claude", messages=QUESTION, extra_body={"kb": "docs"}) as stream:
        final = stream.get_final_completion()
    assert "[1]" in final.choices[0].message.content


def test_file_search_tool_searches_the_knowledge_base(client):
    tools = [{"type": "file_search", "vector_store_ids": ["docs"], "max_num_results": 2}]
    completion = client.chat.completions.create(model="claude", messages=QUESTION, tools=tools)
    assert len(completion.model_extra["kb"]["passages"]) == 2


def test_errors_raise_the_sdk_exception_classes(gateway, client):
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": "strict"})
    assert refused.value.code == "knowledge_base_not_allowed"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": "nothing"})
    wide = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    with pytest.raises(openai.NotFoundError) as missing:
        wide.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": "strict"})
    assert missing.value.code == "knowledge_base_not_found" and "arn:" not in str(missing.value)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": {"name": "docs", "filter": {"like": 1}}})
    assert wrong.value.param == "kb.filter"


def test_list_contains_only_allowed_knowledge_bases(client):
    listed = client.get("/knowledge_bases", cast_to=object)
    assert [base["id"] for base in listed["data"]] == ["docs"]


def test_access_log_describes_the_search(gateway, client):
    raw = client.chat.completions.with_raw_response.create(model="claude", messages=QUESTION, extra_body={"kb": "docs"})
    line = gateway.log_of(raw.headers["x-request-id"])
    assert (line["kb"], line["kb_used"], line["kb_results"], line["kb_passages"]) == ("docs", True, 5, 5)
    assert line["kb_ms"] > 0 and line["kb_context_chars"] > 0
    assert "budget set aside" not in str(line), "the log contains no text of a question or a passage"
    wide = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)
    with pytest.raises(openai.NotFoundError) as missing:
        wide.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": ["docs", "strict"]})
    line = gateway.log_of(missing.value.response.headers["x-request-id"])
    assert (line["kb"], line["kb_used"], line["kb_reason"]) == ("docs,strict", False, "knowledge_base_not_found")
    assert "'strict'" in line["error"] and "Retrieve of 'strict'" in line["error_detail"]
    both = {"kb": {"name": ["docs", "strict"], "on_error": "answer_without", "min_score": 0.5}}
    wide.chat.completions.create(model="claude", messages=QUESTION, extra_body=both)
    each = gateway.process.wait_for(r'"kb_searches":"([^"]+)"').group(1)
    pattern = r"docs: results 5, dropped \d, context_chars \d+, \d+ ms; strict: knowledge_base_not_found, \d+ ms"
    assert re.fullmatch(pattern, each), each
    listed = client.get("/knowledge_bases", cast_to=httpx.Response)
    assert gateway.log_of(listed.headers["x-request-id"])["route"] == "/v1/knowledge_bases"


def test_bedrock_api_key_works_for_chat_only(simulator, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[server]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n[store]\nurl = "memory:"\n'
        f'[aws]\nregion = "us-east-1"\nendpoint_url = "{simulator}"\n'
        '[models.claude]\ntarget = "us.anthropic.claude-sonnet-5-5"\n[knowledge_bases.docs]\nid = "LINTELDOCS"\n'
        '[keys.one]\nsecret_env = "CANARY_KEY"\nknowledge_bases = ["*"]\n'
    )
    nothing = str(tmp_path / "none")
    environment = {
        "CANARY_KEY": KEY,
        "AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-of-a-test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_CONFIG_FILE": nothing,
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "RUST_LOG": "info",
    }
    process = Process.start(["serve", "--config", str(config)], environment)
    data = process.wait_for(r'"message":"serving".*"data":"([^"]+)"').group(1)
    process.wait_for(r"a Bedrock API key \(AWS_BEARER_TOKEN_BEDROCK\) does not work for Knowledge Bases")
    client = openai.OpenAI(base_url=f"http://{data}/v1", api_key=KEY, max_retries=0)
    assert client.chat.completions.create(model="claude", messages=QUESTION).choices[0].message.content
    strict = {"kb": {"name": "docs", "on_error": "fail"}}
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="claude", messages=QUESTION, extra_body=strict)
    assert (refused.value.status_code, refused.value.code) == (503, "credentials_unavailable")
    process.wait_for("a Bedrock API key does not work")
    alone = client.chat.completions.create(model="claude", messages=QUESTION, extra_body={"kb": "docs"})
    assert alone.model_extra["kb"]["reason"] == "credentials_unavailable"
    assert process.stop() == 0


def agent(simulator, secret="simulator"):
    return boto3.client(
        "bedrock-agent-runtime",
        endpoint_url=simulator,
        region_name="eu-west-1",
        aws_access_key_id="simulator",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def ask(text, knowledge_base="LINTELDOCS", **configuration):
    request = {"knowledgeBaseId": knowledge_base, "retrievalQuery": {"text": text}}
    if configuration:
        request["retrievalConfiguration"] = {"vectorSearchConfiguration": configuration}
    return request


def test_boto3_retrieve_returns_ranked_results(simulator):
    reply = agent(simulator).retrieve(**ask("What does a budget set aside?"))
    results = reply["retrievalResults"]
    assert len(results) == 5, "the service's own default"
    assert results == sorted(results, key=lambda result: -result["score"])
    assert results[0]["content"]["type"] == "TEXT" and "budget" in results[0]["content"]["text"].lower()
    assert results[0]["location"]["s3Location"]["uri"] == results[0]["metadata"]["x-amz-bedrock-kb-source-uri"]


def test_boto3_paginates_without_duplicates(simulator):
    pages = agent(simulator).get_paginator("retrieve").paginate(**ask("key budget model", numberOfResults=14))
    texts = [result["content"]["text"] for page in pages for result in page["retrievalResults"]]
    assert len(texts) == len(set(texts)) == 14


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"equals": {"key": "file", "value": "README.md"}}, lambda meta: meta["file"] == "README.md"),
        ({"notEquals": {"key": "file", "value": "README.md"}}, lambda meta: meta["file"] != "README.md"),
        ({"in": {"key": "kind", "value": ["guide", "design"]}}, lambda meta: meta["kind"] in {"guide", "design"}),
        ({"notIn": {"key": "kind", "value": ["guide"]}}, lambda meta: meta["kind"] != "guide"),
        ({"greaterThan": {"key": "part", "value": 1}}, lambda meta: meta["part"] > 1),
        ({"lessThanOrEquals": {"key": "part", "value": 1}}, lambda meta: meta["part"] <= 1),
        ({"startsWith": {"key": "file", "value": "docs/"}}, lambda meta: meta["file"].startswith("docs/")),
        ({"stringContains": {"key": "file", "value": "govern"}}, lambda meta: "govern" in meta["file"]),
        ({"listContains": {"key": "tags", "value": "design"}}, lambda meta: "design" in meta["tags"]),
        ({"greaterThan": {"key": "missing", "value": 1}}, None),
    ],
)
def test_boto3_filter_restricts_results(simulator, condition, holds):
    both = {"andAll": [condition, {"orAll": [condition, {"equals": {"key": "file", "value": "nothing"}}]}]}
    results = agent(simulator).retrieve(**ask("budget key model", numberOfResults=100, filter=both))["retrievalResults"]
    assert bool(results) == (holds is not None)
    assert all(holds(result["metadata"]) for result in results)


@pytest.mark.parametrize(
    ("request_", "code", "status"),
    [
        (ask("[simulate kb throttle]"), "ThrottlingException", 429),
        (ask("[simulate kb dependency-failed]"), "DependencyFailedException", 424),
        (ask("[simulate kb bad-gateway]"), "BadGatewayException", 502),
        (ask("[simulate kb conflict]"), "ConflictException", 409),
        (ask("[simulate kb internal]"), "InternalServerException", 500),
        (ask("[simulate kb access-denied]"), "AccessDeniedException", 403),
        (ask("[simulate kb quota]"), "ServiceQuotaExceededException", 400),
        (ask("[simulate kb nonsense]"), "ValidationException", 400),
        (ask("budget", "MISSING000"), "ResourceNotFoundException", 404),
        (ask("budget", "NOHYBRID00", overrideSearchType="HYBRID"), "ValidationException", 400),
        (ask("budget", "MANAGED000", numberOfResults=3), "ValidationException", 400),
    ],
)
def test_boto3_fault_raises_its_error_code(simulator, request_, code, status):
    with pytest.raises(ClientError) as refused:
        agent(simulator).retrieve(**request_)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_boto3_wrong_signature_is_rejected(simulator):
    with pytest.raises(ClientError) as refused:
        agent(simulator, secret="wrong").retrieve(**ask("budget"))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_boto3_managed_search_and_reranking_limit_results(simulator):
    request = ask("budget", "MANAGED000")
    request["retrievalConfiguration"] = {"managedSearchConfiguration": {"numberOfResults": 2, "rerankingModelType": "MANAGED"}}
    assert len(agent(simulator).retrieve(**request)["retrievalResults"]) == 2
    arn = "arn:aws:bedrock:eu-west-1::foundation-model/cohere.rerank-v3-5:0"
    reranking = {
        "type": "BEDROCK_RERANKING_MODEL",
        "bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": arn}, "numberOfRerankedResults": 3},
    }
    results = agent(simulator).retrieve(**ask("budget key", numberOfResults=20, rerankingConfiguration=reranking))
    assert len(results["retrievalResults"]) == 3


def test_unknown_service_paths_are_rejected(simulator):
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(f"{simulator}/knowledgebases/LINTELDOCS/other", b"{}"))
