"""Tests images with the OpenAI SDK for Python, and the simulator's image models with boto3."""

import base64
import io
import json
import struct
import zlib

import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

CORE = "stability.stable-image-core-v1:1"
INPAINT = "us.stability.stable-image-inpaint-v1:0"
STYLE = "us.stability.stable-style-transfer-v1:0"


def png(color_type=2, pixel=b"\xff\x00\x00"):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, color_type, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" + pixel)) + chunk(b"IEND", b"")


def pixels(image):
    """The bytes of the only line of a PNG, with every checksum checked."""
    data = base64.b64decode(image)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, lines = 8, b""
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(body),)
        lines += body[4:] if body.startswith(b"IDAT") else b""
        at += 12 + length
    return zlib.decompress(lines)


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)


def test_images_are_generated(client):
    raw = client.images.with_raw_response.generate(model=CORE, prompt="A panda", n=2, size="1536x1024", extra_body={"seed": 3})
    reply = raw.parse()
    assert len({pixels(image.b64_json) for image in reply.data}) == 2
    assert all(len(pixels(image.b64_json)) == 4 for image in reply.data)
    assert (reply.output_format, reply.usage.total_tokens, reply.usage.images) == ("png", 0, 2)
    assert reply.usage.cost == 0.08 and reply.created > 0
    assert "as 3:2" in raw.headers["x-lintel-warnings"]
    assert raw.headers["x-lintel-attempts"] == "2"


def test_images_are_edited(client):
    files = {"image": ("a.png", io.BytesIO(png()), "image/png"), "mask": png()}
    reply = client.images.edit(model=INPAINT, prompt="A hat", n=2, extra_body={"grow_mask": 5}, **files)
    assert len(reply.data) == 2 and pixels(reply.data[0].b64_json)
    reply = client.images.edit(model=STYLE, prompt="Oil", image=[png(), png(6, b"\xff\x00\x00\x00")])
    assert len(reply.data) == 1


def test_errors_are_those_of_the_sdk(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model=CORE, prompt="contraband")
    assert refused.value.code == "content_policy_violation"
    with pytest.raises(openai.BadRequestError) as with_alpha:
        client.images.edit(model=INPAINT, prompt="A hat", image=png(), mask=png(6, b"\xff\x00\x00\x00"))
    assert with_alpha.value.param == "mask"
    with pytest.raises(openai.BadRequestError) as url:
        client.images.generate(model=CORE, prompt="A panda", response_format="url")
    assert url.value.param == "response_format"
    with pytest.raises(openai.NotFoundError):
        client.images.edit(model=CORE, prompt="A hat", image=png())


def test_simulator_checks_bodies_and_ids(simulator):
    runtime = boto3.client(
        "bedrock-runtime",
        endpoint_url=simulator,
        region_name="us-west-2",
        aws_access_key_id="simulator",
        aws_secret_access_key="simulator",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def invoke(model, **body):
        return json.load(runtime.invoke_model(modelId=model, body=json.dumps(body))["body"])

    reply = invoke(CORE, prompt="A panda", aspect_ratio="16:9", seed=1)
    assert (reply["seeds"], reply["finish_reasons"]) == ([1], [None])
    assert reply == invoke(CORE, prompt="A panda", aspect_ratio="16:9", seed=1)
    assert pixels(reply["images"][0])
    assert invoke(CORE, prompt="contraband") == {"finish_reasons": ["Filter reason: prompt"]}
    for model, body in [
        (CORE, {"prompt": "A panda", "size": "1024x1024"}),
        (CORE, {"prompt": "A panda", "aspect_ratio": "7:5"}),
        (INPAINT, {"prompt": "A hat"}),
        (INPAINT, {"prompt": "A hat", "image": "?"}),
        (INPAINT.removeprefix("us."), {"prompt": "A hat", "image": base64.b64encode(png()).decode()}),
    ]:
        with pytest.raises(ClientError) as rejected:
            invoke(model, **body)
        assert rejected.value.response["Error"]["Code"] == "ValidationException", body
