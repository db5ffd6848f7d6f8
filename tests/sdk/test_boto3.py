"""Tests `lintel simulate` with boto3, so that an independent client checks the simulator's wire format."""

import json
import math
import urllib.request

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


def test_converse_replies_with_text_and_usage(simulator):
    reply = client(simulator).converse(**say("Hello", inferenceConfig={"maxTokens": 100, "temperature": 0.5}))
    assert reply["output"]["message"] == {"role": "assistant", "content": [{"text": "You said: Hello"}]}
    assert reply["stopReason"] == "end_turn"
    assert reply["usage"] == {"inputTokens": 1, "outputTokens": 3, "totalTokens": 4}
    assert reply["metrics"]["latencyMs"] >= 0
    assert reply["ResponseMetadata"]["RequestId"]


def test_arn_is_accepted_in_the_path(simulator):
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
    reply = client(simulator).converse(**{**say("Hello"), "modelId": arn})
    assert reply["stopReason"] == "end_turn"


def test_converse_stream_sends_all_events(simulator):
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
def test_simulated_fault_raises_its_error_code(simulator, fault, code, status, operation):
    with pytest.raises(ClientError) as raised:
        getattr(client(simulator), operation)(**say(f"[simulate {fault}]"))
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_exception_in_a_stream_is_raised(simulator):
    stream = client(simulator).converse_stream(**say("one two [simulate exception throttlingException]"))["stream"]
    with pytest.raises(EventStreamError, match="throttlingException"):
        list(stream)


@pytest.mark.parametrize("fault", ["bad-crc", "cut", "reset"])
def test_broken_stream_raises(simulator, fault):
    stream = client(simulator).converse_stream(**say(f"one two three [simulate {fault}]"))["stream"]
    with pytest.raises(Exception):
        list(stream)


def test_tokens_are_counted_by_the_id_of_a_foundation_model(simulator):
    haiku = "anthropic.claude-haiku-4-5-20251001-v1:0"
    converse = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}], "system": [{"text": "Be brief."}]}
    count = client(simulator).count_tokens
    assert count(modelId=haiku, input={"converse": converse})["inputTokens"] > 1
    for other in (f"us.{haiku}", "amazon.nova-lite-v1:0"):
        with pytest.raises(ClientError, match="doesn't support counting tokens"):
            count(modelId=other, input={"converse": converse})


def test_guardrail_checks_return_a_severity_for_each_category(simulator):
    check = client(simulator).invoke_guardrail_checks
    checks = {"contentFilter": {"categories": [{"category": "VIOLENCE"}, {"category": "HATE"}]}}
    message = {"role": "user", "content": [{"text": "some bloodshed"}, {"text": "x" * 1500}]}
    reply = check(messages=[message], checks=checks)
    assert reply["results"]["contentFilter"]["results"] == [
        {"category": "VIOLENCE", "severityScore": 0.8},
        {"category": "HATE", "severityScore": 0.0},
    ]
    assert reply["usage"] == {"contentFilter": {"textUnits": 3}}
    for messages, checks in [
        ([{"role": "user", "content": [{"text": "x"}] * 11}], checks),
        ([message], {}),
        ([message], {"contentFilter": {"categories": [{"category": "SPAM"}]}}),
    ]:
        with pytest.raises(ClientError) as raised:
            check(messages=messages, checks=checks)
        assert raised.value.response["Error"]["Code"] == "ValidationException"


def control_plane(simulator):
    return boto3.client(
        "bedrock", endpoint_url=simulator, region_name="us-east-1", aws_access_key_id="simulator", aws_secret_access_key="simulator"
    )


def test_foundation_models_are_listed_and_filtered(simulator):
    bedrock = control_plane(simulator)
    models = bedrock.list_foundation_models()["modelSummaries"]
    haiku = next(model for model in models if model["modelId"] == "anthropic.claude-3-haiku-20240307-v1:0")
    assert haiku["modelLifecycle"]["status"] == "LEGACY" and haiku["modelLifecycle"]["endOfLifeTime"].year == 2027
    embeddings = bedrock.list_foundation_models(byOutputModality="EMBEDDING")["modelSummaries"]
    assert 0 < len(embeddings) < len(models)
    with pytest.raises(ClientError, match="byProvider"):
        bedrock.list_foundation_models(byProvider="Amazon")


def test_inference_profiles_are_listed_page_by_page(simulator):
    bedrock = control_plane(simulator)
    pages = list(bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED", maxResults=2))
    assert len(pages) > 1 and all(len(page["inferenceProfileSummaries"]) <= 2 for page in pages)
    ids = [profile["inferenceProfileId"] for page in pages for profile in page["inferenceProfileSummaries"]]
    assert "us.anthropic.claude-sonnet-5-5" in ids and len(set(ids)) == len(ids)
    assert bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"] == []
    with pytest.raises(ClientError, match="nextToken"):
        bedrock.list_inference_profiles(nextToken="invented")


def test_resources_of_an_account_are_listed(simulator):
    bedrock = control_plane(simulator)
    assert bedrock.list_provisioned_model_throughputs(statusEquals="InService")["provisionedModelSummaries"] == []
    assert bedrock.list_imported_models(maxResults=10)["modelSummaries"] == []
    assert bedrock.list_custom_model_deployments(statusEquals="Active")["modelDeploymentSummaries"] == []


def test_wrong_secret_is_rejected(simulator):
    with pytest.raises(ClientError) as raised:
        client(simulator, secret="wrong").converse(**say("Hello"))
    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_unknown_access_key_needs_only_a_well_formed_signature(simulator):
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
def test_invalid_request_raises_validation_exception(simulator, change, message):
    with pytest.raises(ClientError, match=message) as raised:
        client(simulator).converse(**{**say("Hello"), **change})
    assert raised.value.response["Error"]["Code"] == "ValidationException"


TITAN_V1 = "amazon.titan-embed-text-v1"
TITAN_V2 = "amazon.titan-embed-text-v2:0"
TITAN_IMAGE = "amazon.titan-embed-image-v1"
COHERE_V3 = "cohere.embed-multilingual-v3"
COHERE_V4 = "cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
# One pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG_URI = f"data:image/png;base64,{PNG}"


def invoke(simulator, model, body, **more):
    reply = client(simulator).invoke_model(modelId=model, body=json.dumps(body), **more)
    assert reply["contentType"] == "application/json"
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    is_chat = model in CHAT_BODIES
    assert (headers["x-amzn-bedrock-output-token-count"] != "0") == is_chat
    return json.loads(reply["body"].read()), int(headers["x-amzn-bedrock-input-token-count"])


def nova(purpose="GENERIC_INDEX", **params):
    params = {"embeddingPurpose": purpose, **params}
    return {"schemaVersion": "nova-multimodal-embed-v1", "taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


def nova_text(value, truncation="END"):
    return {"value": value, "truncationMode": truncation}


def length(vector):
    return math.sqrt(sum(number * number for number in vector))


@pytest.mark.parametrize("model", [TITAN_V1, "amazon.titan-embed-g1-text-02"])
def test_titan_text_v1(simulator, model):
    reply, tokens = invoke(simulator, model, {"inputText": "one two"})
    assert set(reply) == {"embedding", "inputTextTokenCount"}
    assert len(reply["embedding"]) == 1536
    assert reply["inputTextTokenCount"] == tokens == 2


@pytest.mark.parametrize("dimensions", [256, 512, 1024])
def test_titan_text_v2(simulator, dimensions):
    body = {"inputText": "one two", "dimensions": dimensions, "normalize": True}
    reply, tokens = invoke(simulator, TITAN_V2, body, contentType="application/json", accept="application/json")
    assert set(reply) == {"embedding", "embeddingsByType", "inputTextTokenCount"}
    assert reply["embeddingsByType"] == {"float": reply["embedding"]}
    assert len(reply["embedding"]) == dimensions
    assert length(reply["embedding"]) == pytest.approx(1)
    assert reply["inputTextTokenCount"] == tokens == 2
    assert invoke(simulator, TITAN_V2, body)[0] == reply, "the same text has the same vector"
    assert invoke(simulator, TITAN_V2, {**body, "inputText": "two one"})[0] != reply


def test_titan_text_v2_in_binary(simulator):
    reply, _ = invoke(simulator, TITAN_V2, {"inputText": "one", "embeddingTypes": ["binary"]})
    assert set(reply["embeddingsByType"]) == {"binary"}
    assert set(reply["embeddingsByType"]["binary"]) == {0, 1}


@pytest.mark.parametrize("inputs", [{"inputText": "one"}, {"inputImage": PNG}, {"inputText": "one", "inputImage": PNG}])
def test_titan_multimodal(simulator, inputs):
    reply, tokens = invoke(simulator, TITAN_IMAGE, {**inputs, "embeddingConfig": {"outputEmbeddingLength": 384}})
    assert reply["message"] is None
    assert len(reply["embedding"]) == 384
    assert length(reply["embedding"]) == pytest.approx(1)
    assert reply["inputTextTokenCount"] == tokens == len(inputs.keys() & {"inputText"})
    assert len(invoke(simulator, TITAN_IMAGE, inputs)[0]["embedding"]) == 1024


@pytest.mark.parametrize("model", ["cohere.embed-english-v3", COHERE_V3])
@pytest.mark.parametrize("input_type", ["search_document", "search_query", "classification", "clustering"])
def test_cohere_v3(simulator, model, input_type):
    texts = [f"text {number}" for number in range(96)]
    reply, tokens = invoke(simulator, model, {"texts": texts, "input_type": input_type, "truncate": "START"})
    assert set(reply) == {"id", "response_type", "texts", "embeddings"}
    assert reply["response_type"] == "embeddings_floats"
    assert reply["texts"] == texts
    assert tokens == 192
    assert [len(vector) for vector in reply["embeddings"]] == [1024] * 96
    alone, _ = invoke(simulator, model, {"texts": texts[5:6], "input_type": input_type})
    assert alone["embeddings"] == reply["embeddings"][5:6], "the order is kept"


def test_cohere_v3_image(simulator):
    reply, _ = invoke(simulator, COHERE_V3, {"images": [PNG_URI], "input_type": "image"})
    assert len(reply["embeddings"][0]) == 1024
    assert "texts" not in reply


@pytest.mark.parametrize("model", [COHERE_V3, COHERE_V4])
def test_cohere_embedding_types(simulator, model):
    types = {"float": (1, 1), "int8": (1, 127), "uint8": (1, 255), "binary": (8, 128), "ubinary": (8, 255)}
    body = {"texts": ["one", "two"], "input_type": "search_query", "embedding_types": list(types)}
    reply, _ = invoke(simulator, model, body)
    assert reply["response_type"] == "embeddings_by_type"
    dimension = len(reply["embeddings"]["float"][0])
    for name, (pack, most) in types.items():
        assert [len(vector) for vector in reply["embeddings"][name]] == [dimension // pack] * 2
        assert all(abs(number) <= most for number in reply["embeddings"][name][0])


@pytest.mark.parametrize("dimension", [256, 512, 1024, 1536])
@pytest.mark.parametrize("model", [COHERE_V4, f"global.{COHERE_V4}"])
def test_cohere_v4(simulator, model, dimension):
    body = {"texts": ["one two three"], "input_type": "search_document", "output_dimension": dimension}
    reply, tokens = invoke(simulator, model, {**body, "truncate": "RIGHT", "max_tokens": 2})
    assert len(reply["embeddings"][0]) == dimension
    assert tokens == 2, "truncated to max_tokens"


def test_cohere_v4_images(simulator):
    reply, tokens = invoke(simulator, COHERE_V4, {"images": [PNG_URI] * 96, "input_type": "search_document"})
    assert [len(vector) for vector in reply["embeddings"]] == [1536] * 96
    assert tokens == 96 * 16


def test_cohere_v4_inputs(simulator):
    inputs = [{"content": [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": PNG_URI}}]}]
    reply, tokens = invoke(simulator, COHERE_V4, {"inputs": inputs, "input_type": "search_document"})
    assert reply["inputs"] == inputs
    assert len(reply["embeddings"]) == 1
    assert tokens == 17


@pytest.mark.parametrize("dimension", [256, 384, 1024, 3072])
def test_nova_text(simulator, dimension):
    body = nova("TEXT_RETRIEVAL", embeddingDimension=dimension, text=nova_text("one two"))
    reply, tokens = invoke(simulator, NOVA, body)
    (embedding,) = reply["embeddings"]
    assert set(embedding) == {"embeddingType", "embedding"}
    assert embedding["embeddingType"] == "TEXT"
    assert len(embedding["embedding"]) == dimension
    assert length(embedding["embedding"]) == pytest.approx(1)
    assert tokens == 2


@pytest.mark.parametrize("truncation", ["START", "END"])
def test_nova_truncates(simulator, truncation):
    reply, tokens = invoke(simulator, NOVA, nova(text=nova_text(" " * 8192, truncation)))
    assert reply["embeddings"][0]["truncatedCharLength"] == tokens == 8172


def test_nova_image(simulator):
    image = {"format": "png", "detailLevel": "DOCUMENT_IMAGE", "source": {"bytes": PNG}}
    reply, _ = invoke(simulator, NOVA, nova("IMAGE_RETRIEVAL", image=image))
    assert reply["embeddings"][0]["embeddingType"] == "IMAGE"
    assert len(reply["embeddings"][0]["embedding"]) == 3072


def cohere(texts, **more):
    return {"texts": texts, "input_type": "search_document", **more}


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (TITAN_V1, {}, r"required key \[inputText\] not found"),
        (TITAN_V1, {"inputText": ""}, "expected minLength: 1, actual: 0"),
        (TITAN_V1, {"inputText": ["one", "two"]}, "expected type: String, found: JSONArray"),
        (TITAN_V1, {"inputText": "one", "dimensions": 1536}, r"extraneous key \[dimensions\] is not permitted"),
        (TITAN_V1, {"inputText": "a " * 8200}, "Too many input tokens. Max input tokens: 8192"),
        (TITAN_V2, {"inputText": "one", "dimensions": 1536}, "1536 is not a valid enum value"),
        (TITAN_V2, {"inputText": "one", "dimensions": "256"}, "expected type: Integer, found: String"),
        (TITAN_V2, {"inputText": "one", "embeddingTypes": ["base64"]}, "base64 is not a valid enum value"),
        (TITAN_V2, {"inputText": "a" * 50001}, "expected maxLength: 50000, actual: 50001"),
        (TITAN_IMAGE, {}, r"required key \[inputImage\] not found"),
        (TITAN_IMAGE, {"inputText": "a " * 130}, "Max input tokens: 128"),
        (TITAN_IMAGE, {"inputImage": PNG_URI}, "not valid base64"),
        (TITAN_IMAGE, {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 512}}, "512 is not a valid enum value"),
        (COHERE_V3, {"texts": ["one"]}, r"required key \[input_type\] not found"),
        (COHERE_V3, {"input_type": "clustering"}, r"required key \[texts\] not found"),
        (COHERE_V3, cohere([]), "expected minimum item count: 1, found: 0"),
        (COHERE_V3, cohere(["a"] * 97), "expected maximum item count: 96, found: 97"),
        (COHERE_V3, cohere(["a", ""]), "#/texts/1: expected minLength: 1, actual: 0"),
        (COHERE_V3, cohere(["a" * 2049]), "#/texts/0: expected maxLength: 2048, actual: 2049"),
        (COHERE_V3, cohere(["a " * 520]), "Input is too long for requested model"),
        (COHERE_V3, cohere(["a"], truncate="RIGHT"), "RIGHT is not a valid enum value"),
        (COHERE_V3, cohere(["a"], output_dimension=1024), r"extraneous key \[output_dimension\] is not permitted"),
        (COHERE_V3, cohere(["a"], images=[PNG_URI]), "2 subschemas matched instead of one"),
        (COHERE_V3, {"images": [PNG_URI] * 2, "input_type": "image"}, "expected maximum item count: 1, found: 2"),
        (COHERE_V3, {"images": [PNG_URI], "input_type": "clustering"}, "images only"),
        (COHERE_V4, cohere(["a"], output_dimension=384), "384 is not a valid enum value"),
        (COHERE_V4, cohere(["a"], truncate="END"), "END is not a valid enum value"),
        (COHERE_V4, cohere(["a"], max_tokens=128001), "128001 is not less or equal to 128000"),
        (COHERE_V4, cohere(["one two"], max_tokens=1), "Input is too long"),
        (COHERE_V4, {"images": [PNG], "input_type": "clustering"}, "does not match pattern"),
        (NOVA, {"inputText": "one"}, r"required key \[taskType\] not found"),
        (NOVA, nova(), r"required key \[text\] not found"),
        (NOVA, nova(text=nova_text("")), "expected minLength: 1, actual: 0"),
        (NOVA, nova(text=nova_text("a" * 8193)), "expected maxLength: 8192, actual: 8193"),
        (NOVA, nova(text=nova_text(" " * 8192, "NONE")), "Input is too long"),
        (NOVA, nova("SEARCH", text=nova_text("one")), "SEARCH is not a valid enum value"),
        (NOVA, nova(text=nova_text("one"), embeddingDimension=512), "512 is not a valid enum value"),
        (NOVA, nova(image={"format": "png", "source": {"bytes": PNG_URI}}), "not valid base64"),
        (MODEL, {"messages": []}, "required key"),
        ("somebody.new-v1:0", {"messages": []}, "serves InvokeModel for chats and for the embedding models"),
    ],
)
def test_invoke_validation(simulator, model, body, message):
    with pytest.raises(ClientError, match=message) as raised:
        invoke(simulator, model, body)
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (TITAN_V2, {"inputText": "[simulate throttle]"}),
        (COHERE_V4, cohere(["one", "two [simulate throttle]", "three"])),
        (NOVA, nova(text=nova_text("[simulate throttle]"))),
    ],
)
def test_a_text_asks_for_a_fault(simulator, model, body):
    with pytest.raises(ClientError) as raised:
        invoke(simulator, model, body)
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"


def test_headers_of_an_invocation(simulator):
    body = json.dumps({"inputText": "one"})
    metadata = json.dumps({"team": "search"})
    call = {"modelId": TITAN_V2, "body": body, "requestMetadata": metadata}
    reply = client(simulator).invoke_model(**call, serviceTier="flex")
    assert reply["serviceTier"] == "flex"
    with urllib.request.urlopen(f"{simulator}/_simulator/invocations") as lines:
        line = json.loads(lines.read().splitlines()[-1])
    assert (line["operation"], line["modelId"]) == ("InvokeModel", TITAN_V2)
    assert line["requestMetadata"] == {"team": "search"}
    assert line["input"]["inputTokenCount"] == 1
    with pytest.raises(ClientError, match="enum value set"):
        client(simulator).invoke_model(**call, serviceTier="best")
    with pytest.raises(ClientError, match="metadata"):
        client(simulator).invoke_model(**{**call, "requestMetadata": "team=search"})


def test_a_reply_breaks(simulator):
    with pytest.raises(Exception):
        invoke(simulator, TITAN_V2, {"inputText": "[simulate reset]"})


CHAT_BODIES = {
    "us.anthropic.claude-sonnet-4-6": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    },
    "amazon.nova-lite-v1:0": {
        "schemaVersion": "messages-v1",
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 100},
    },
    "meta.llama3-1-8b-instruct-v1:0": {
        "prompt": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "max_gen_len": 100,
    },
    "mistral.mistral-7b-instruct-v0:2": {"prompt": "<s>[INST] Hello [/INST]", "max_tokens": 100},
    "us.deepseek.r1-v1:0": {
        "prompt": "<｜begin▁of▁sentence｜><｜User｜>Hello<｜Assistant｜><think>\n",
        "max_tokens": 100,
    },
    "mistral.mistral-large-2407-v1:0": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100},
    "openai.gpt-oss-120b-1:0": {"messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 100},
}


@pytest.mark.parametrize("model", CHAT_BODIES)
def test_invoke_model_answers_chats_in_the_form_of_the_family(simulator, model):
    reply, tokens = invoke(simulator, model, CHAT_BODIES[model])
    assert "You said: Hello" in json.dumps(reply)
    assert tokens == 1


@pytest.mark.parametrize("model", CHAT_BODIES)
def test_invoke_model_with_response_stream_ends_with_metrics(simulator, model):
    body = json.dumps(CHAT_BODIES[model])
    reply = client(simulator).invoke_model_with_response_stream(modelId=model, body=body)
    events = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == 1
    assert metrics["outputTokenCount"] >= 3
    assert not any("amazon-bedrock-invocationMetrics" in event for event in events[:-1])


@pytest.mark.parametrize("model", CHAT_BODIES)
def test_invoke_model_rejects_unknown_members_of_chats(simulator, model):
    with pytest.raises(ClientError) as error:
        invoke(simulator, model, {**CHAT_BODIES[model], "unknown_member": 1})
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_invoke_model_rejects_a_broken_template(simulator):
    body = {"prompt": "Human: Hello", "max_gen_len": 10}
    with pytest.raises(ClientError) as error:
        invoke(simulator, "meta.llama3-1-8b-instruct-v1:0", body)
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_exception_in_a_stream_of_invoke_model_is_raised(simulator):
    model = "mistral.mistral-7b-instruct-v0:2"
    text = "[simulate words 40] [simulate exception throttlingException]"
    body = json.dumps({"prompt": f"<s>[INST] {text} [/INST]", "max_tokens": 100})
    reply = client(simulator).invoke_model_with_response_stream(modelId=model, body=body)
    with pytest.raises(EventStreamError):
        list(reply["body"])
