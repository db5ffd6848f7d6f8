"""Tests moderations with the official OpenAI SDK for Python."""

import openai
import pytest


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.base_url, api_key=gateway.wide_key, max_retries=0)


def test_harmful_text_is_flagged(client):
    moderation = client.moderations.create(input="bloodshed and burglary")
    assert moderation.id.startswith("modr-") and moderation.model == "omni-moderation-latest"
    result = moderation.results[0]
    assert result.flagged and result.categories.violence and result.categories.illicit
    assert not result.categories.self_harm and result.category_scores.self_harm == 0
    assert result.category_scores.violence == 0.8
    assert result.category_applied_input_types.violence == ["text"]


def test_each_input_has_a_result(client):
    moderation = client.moderations.create(model="omni-moderation-latest", input=["calm", "lewdness"])
    assert [result.flagged for result in moderation.results] == [False, True]


def test_parts_share_a_result(client):
    moderation = client.moderations.create(input=[{"type": "text", "text": "calm"}, {"type": "text", "text": "bigotry"}])
    assert len(moderation.results) == 1 and moderation.results[0].categories.hate


def test_image_without_a_guardrail_is_rejected(client):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError, match="only text"):
        client.moderations.create(input=[image])


def test_key_without_a_matching_glob_is_denied(gateway):
    narrow = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        narrow.moderations.create(input="calm")
