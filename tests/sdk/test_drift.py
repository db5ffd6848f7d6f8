"""Compares botocore's service model with the members that the gateway and the simulator know. If a new release adds a
member, these tests fail before a customer finds it."""

import json
import pathlib
import urllib.request

import botocore.loaders
import pytest

SHAPES = botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2")["shapes"]
SIMULATOR = pathlib.Path(__file__).parents[2] / "src/simulator"
SIMULATED = json.loads((SIMULATOR / "service-model.json").read_text())["shapes"]
AGENT_SHAPES = botocore.loaders.Loader().load_service_model("bedrock-agent-runtime", "service-2")["shapes"]
AGENT_SIMULATED = json.loads((SIMULATOR / "agent-service-model.json").read_text())["shapes"]

# Members that translation handles. When botocore adds one, handle it first, then add it here.
KNOWN = {
    "ContentBlock": "text image document video audio toolUse toolResult guardContent cachePoint reasoningContent"
    " citationsContent searchResult toolAddition toolRemoval",
    "ToolResultContentBlock": "json text image document video searchResult",
    "SystemContentBlock": "text guardContent cachePoint",
    "ReasoningContentBlock": "reasoningText redactedContent",
    "CitationLocation": "web documentChar documentPage documentChunk searchResultLocation",
    "Tool": "toolSpec systemTool cachePoint",
    "ToolChoice": "auto any tool",
    "ConverseStreamOutput": "messageStart contentBlockStart contentBlockDelta contentBlockStop messageStop metadata"
    " internalServerException modelStreamErrorException validationException throttlingException"
    " serviceUnavailableException",
    "ContentBlockStart": "toolUse toolResult image",
    "ContentBlockDelta": "text toolUse toolResult reasoningContent citation image",
    "ReasoningContentBlockDelta": "text redactedContent signature",
    "ConverseResponse": "output stopReason usage metrics additionalModelResponseFields trace performanceConfig serviceTier",
    "ConverseStreamMetadataEvent": "usage metrics trace performanceConfig serviceTier",
    "TokenUsage": "inputTokens outputTokens totalTokens cacheReadInputTokens cacheWriteInputTokens cacheDetails",
    "CacheDetail": "ttl inputTokens",
    "InvokeModelRequest": "accept body contentType guardrailIdentifier guardrailVersion modelId performanceConfigLatency"
    " requestMetadata serviceTier trace",
    "InvokeModelResponse": "body contentType performanceConfigLatency serviceTier",
    "ApplyGuardrailResponse": "action actionReason assessments guardrailCoverage outputs usage",
    "GuardrailUsage": "topicPolicyUnits contentPolicyUnits contentPolicyImageUnits wordPolicyUnits"
    " sensitiveInformationPolicyUnits sensitiveInformationPolicyFreeUnits contextualGroundingPolicyUnits"
    " automatedReasoningPolicyUnits automatedReasoningPolicies",
    "GuardrailConverseTextBlock": "text qualifiers",
}


@pytest.mark.parametrize("shape", KNOWN)
def test_translation_knows_every_member(shape):
    assert set(SHAPES[shape]["members"]) == set(KNOWN[shape].split())


# The same for Retrieve: members of requests, results and locations.
KNOWN_RESULTS = {
    "RetrieveResponse": "guardrailAction nextToken retrievalResults",
    "KnowledgeBaseRetrievalResult": "content documentId location metadata score",
    "RetrievalResultContent": "audio byteContent row text type video",
    "RetrievalResultLocation": "confluenceLocation customDocumentLocation googleDriveLocation kendraDocumentLocation"
    " oneDriveLocation s3Location salesforceLocation sharePointLocation sqlLocation type webLocation",
    "RetrieveRequest": "guardrailConfiguration knowledgeBaseId nextToken retrievalConfiguration retrievalQuery userContext",
    "RetrievalFilter": "andAll equals greaterThan greaterThanOrEquals in lessThan lessThanOrEquals listContains notEquals"
    " notIn orAll startsWith stringContains",
}


@pytest.mark.parametrize("shape", KNOWN_RESULTS)
def test_retrieval_knows_every_member(shape):
    assert set(AGENT_SHAPES[shape]["members"]) == set(KNOWN_RESULTS[shape].split())


@pytest.mark.parametrize("name", SIMULATED)
def test_simulator_matches_the_service_model(name):
    compare(SIMULATED[name], SHAPES[name], name, "modelId")


@pytest.mark.parametrize("name", AGENT_SIMULATED)
def test_simulator_matches_the_service_model_of_retrieve(name):
    compare(AGENT_SIMULATED[name], AGENT_SHAPES[name], name, "knowledgeBaseId")


def compare(ours, theirs, name, in_path):
    members = {member: shape["shape"] for member, shape in theirs.get("members", {}).items()}
    members.pop(in_path, None) if name.endswith("Request") else None
    assert ours.get("members", {}) == members
    assert set(ours.get("required", [])) == set(theirs.get("required", [])) - {in_path}
    assert ours.get("enum", []) == theirs.get("enum", [])
    assert bool(ours.get("union")) == bool(theirs.get("union"))
    for bound in ("min", "max", "pattern"):
        assert ours.get(bound) == theirs.get(bound), bound


@pytest.mark.parametrize("stop_reason", SHAPES["StopReason"]["enum"])
def test_every_stop_reason_is_known(gateway, stop_reason):
    reply = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }
    headers = {"content-type": "application/json", "authorization": f"Bearer {gateway.key}"}

    def post(url, body):
        return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers))

    post(f"{gateway.simulator_url}/_simulator/replies", {"status": 200, "body": reply})
    request = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}]}
    with post(f"{gateway.base_url}/chat/completions", request) as answer:
        assert "unknown stop reason" not in answer.headers.get("x-lintel-warnings", "")
        assert json.load(answer)["choices"][0]["finish_reason"] in {"stop", "length", "content_filter"}
