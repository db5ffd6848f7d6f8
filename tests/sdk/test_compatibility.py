"""Sends every example in docs/compatibility.md and docs/responses.md, and checks that they cover every member of OpenAI's requests."""

import json
import pathlib
import re
import typing
import urllib.error
import urllib.request

import pytest
from openai.types import completion_create_params, embedding_create_params, image_generate_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

DOCS = pathlib.Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `([^`]+)` \| `(\{.*\})` \| (\w+) \|", re.MULTILINE)
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
RESPONSES = ("/responses", {"model": CLAUDE, "input": "Hi"})
CHAT = ("/chat/completions", {"model": CLAUDE, "messages": [{"role": "user", "content": "Hi"}]})
# Sections of the page that have a path of their own, and the request that an example changes. All others are about chats.
SECTIONS = {
    "Completions": ("/completions", {"model": CLAUDE, "prompt": "Hi"}),
    "Embeddings": ("/embeddings", {"model": TITAN, "input": "Hi"}),
    "Rerank": ("/rerank", {"model": "cohere.rerank-v3-5:0", "query": "Hi", "documents": ["Hi there", "Bye"]}),
    "Images": ("/images/generations", {"model": "stability.stable-image-core-v1:1", "prompt": "A panda"}),
}


def rows():
    for page, default in [("compatibility.md", CHAT), ("responses.md", RESPONSES)]:
        for section in (DOCS / page).read_text().split("\n## "):
            path, request = SECTIONS.get(section.splitlines()[0], default)
            for member, example, outcome in ROW.findall(section):
                yield path, member, {**request, **json.loads(example)}, outcome


ROWS = list(rows())


def send(gateway, path, request):
    headers = {"content-type": "application/json", "authorization": f"Bearer {gateway.wide_key}"}
    body = json.dumps(request).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{gateway.base_url}{path}", body, headers)) as reply:
            reply.read()
            return reply.status, reply.headers.get("x-lintel-warnings", ""), None
    except urllib.error.HTTPError as error:
        return error.code, "", json.load(error)["error"]


@pytest.mark.parametrize(("path", "member", "changed", "outcome"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_example_has_the_documented_outcome(gateway, path, member, changed, outcome):
    status, warnings, error = send(gateway, path, changed)
    reported = [warning for warning in warnings.split("; ") if warning.startswith(member)]
    if outcome == "refused":
        assert status == 400, warnings
        assert member.startswith(error["param"]) or error["param"].startswith(member) or error["param"] in member
        return
    assert status == 200, error
    ignored = [warning for warning in reported if warning.startswith(f"{member}: ignored")]
    match outcome:
        case "used" | "passed" | "mapped":
            assert not reported
        case "ignored":
            assert ignored
        case "emulated":
            assert reported and not ignored
        case _:
            pytest.fail(f"unknown outcome '{outcome}'")


@pytest.mark.parametrize(
    ("path", "official", "more", "at_least"),
    [
        ("/chat/completions", chat_create_params.CompletionCreateParamsBase, {"stream"}, 30),
        ("/responses", response_create_params.ResponseCreateParamsBase, {"stream"}, 25),
        ("/completions", completion_create_params.CompletionCreateParamsBase, {"stream"}, 15),
        ("/embeddings", embedding_create_params.EmbeddingCreateParams, set(), 5),
        ("/images/generations", image_generate_params.ImageGenerateParamsBase, {"stream"}, 10),
    ],
)
def test_every_member_of_the_official_client_is_documented(path, official, more, at_least):
    members = set(typing.get_type_hints(official)) | more
    assert len(members) >= at_least
    documented = {member for row_path, member, _, _ in ROWS if row_path == path}
    assert not members - documented


def test_every_section_of_the_page_has_examples():
    for path, _ in [CHAT, RESPONSES, *SECTIONS.values()]:
        assert sum(row[0] == path for row in ROWS) > 10, path
