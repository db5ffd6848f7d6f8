"""Sends every example in docs/compatibility.md, and checks that the page covers every member of OpenAI's request."""

import json
import pathlib
import re
import typing
import urllib.error
import urllib.request

import pytest
from openai.types.chat import completion_create_params

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "compatibility.md"
ROW = re.compile(r"^\| `([^`]+)` \| `(\{.*\})` \| (\w+) \|", re.MULTILINE)
ROWS = [(member, json.loads(example), outcome) for member, example, outcome in ROW.findall(PAGE.read_text())]
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def send(gateway, request):
    headers = {"content-type": "application/json", "authorization": f"Bearer {gateway.wide_key}"}
    body = json.dumps(request).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{gateway.base_url}/chat/completions", body, headers)) as reply:
            reply.read()
            return reply.status, reply.headers.get("x-lintel-warnings", ""), None
    except urllib.error.HTTPError as error:
        return error.code, "", json.load(error)["error"]


@pytest.mark.parametrize(("member", "example", "outcome"), ROWS, ids=[row[0] for row in ROWS])
def test_example_has_the_documented_outcome(gateway, member, example, outcome):
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **example}
    status, warnings, error = send(gateway, request)
    reported = [warning for warning in warnings.split("; ") if warning.startswith(member)]
    if outcome == "refused":
        assert status == 400, warnings
        # The error for `top_logprobs` names `logprobs`.
        assert member.startswith(error["param"]) or error["param"].startswith(member) or error["param"] in member
        return
    assert status == 200, error
    ignored = [warning for warning in reported if warning.startswith(f"{member}: ignored")]
    match outcome:
        case "passed" | "mapped":
            assert not reported
        case "ignored":
            assert ignored
        case "emulated":
            assert reported and not ignored
        case _:
            pytest.fail(f"unknown outcome '{outcome}'")


def test_every_member_of_the_official_client_is_documented():
    base = completion_create_params.CompletionCreateParamsBase
    official = set(typing.get_type_hints(base)) | {"stream"}
    assert len(official) > 30
    missing = official - {member for member, _, _ in ROWS}
    assert not missing
