"""Runs Claude Code, non-interactively and with an empty home, against the gateway.

The simulated model calls the tools that the last message names, with example arguments, so the tests script its replies
where the arguments matter.
"""

import json
import os
import pathlib
import subprocess
import urllib.request

import pytest

CLAUDE = pathlib.Path(os.environ.get("SDK_NODE", ".")) / "node_modules/.bin/claude"


@pytest.fixture(scope="module", autouse=True)
def installed():
    assert CLAUDE.exists(), "npm has not installed Claude Code"


def claude(gateway, home, model, prompt, key=None, **more):
    """Runs one prompt, and returns the finished process and its result object."""
    work = home / "work"
    work.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": gateway.base_url.removesuffix("/v1"),
        "ANTHROPIC_AUTH_TOKEN": key or gateway.wide_key,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
        **more,
    }
    command = [CLAUDE, "-p", prompt, "--output-format", "json", "--permission-mode", "bypassPermissions"]
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=120)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        pytest.fail(f"no result: {done.stdout} {done.stderr}")
    if isinstance(result, list):
        result = next(one for one in result if one.get("type") == "result")
    return done, result


def script(gateway, *turns):
    """Scripts the next streamed replies of the simulator: each is a list of content blocks of Converse."""
    for blocks in turns:
        events = [["messageStart", {"role": "assistant"}]]
        for index, block in enumerate(blocks):
            if "toolUse" in block:
                call = block["toolUse"]
                start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
                events.append(["contentBlockStart", {"contentBlockIndex": index, "start": start}])
                delta = {"toolUse": {"input": json.dumps(call["input"])}}
            else:
                delta = block
            events.append(["contentBlockDelta", {"contentBlockIndex": index, "delta": delta}])
            events.append(["contentBlockStop", {"contentBlockIndex": index}])
        calls = any("toolUse" in block for block in blocks)
        events.append(["messageStop", {"stopReason": "tool_use" if calls else "end_turn"}])
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        events.append(["metadata", {"usage": usage, "metrics": {"latencyMs": 1}}])
        request = urllib.request.Request(
            f"{gateway.simulator_url}/_simulator/replies",
            data=json.dumps({"events": events}).encode(),
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(request).close()


def call(number, name, **arguments):
    return {"toolUse": {"toolUseId": f"tooluse_{number}", "name": name, "input": arguments}}


MODELS = ["claude-sonnet-5-5", "claude-haiku-4-5", "amazon.nova-lite-v1:0", "openai.gpt-oss-120b-1:0"]


@pytest.mark.parametrize("model", MODELS)
def test_task_with_two_tool_calls_writes_a_file(gateway, tmp_path, model):
    made = tmp_path / "work" / "made.txt"
    script(
        gateway,
        [{"text": "Working."}, call(1, "Write", file_path=str(made), content="hello\n")],
        [call(2, "Bash", command="cat made.txt", description="Shows the file")],
        [{"text": "The file says hello."}],
    )
    done, result = claude(gateway, tmp_path, model, "Write hello into made.txt, and show it.")
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.read_text() == "hello\n"
    assert result["result"] == "The file says hello."
    assert result["num_turns"] >= 3


def test_revoked_key_stops_at_once(gateway, tmp_path):
    done, result = claude(gateway, tmp_path, "claude-sonnet-5-5", "Hi", key="sk-wrong")
    assert result["is_error"], done.stdout
    assert "API key" in result["result"] or "401" in result["result"], result["result"]
    assert result["duration_ms"] < 30_000
