"""Runs Codex against the gateway, without a terminal: it calls tools, writes files, and reports errors."""

import json
import os
import pathlib
import subprocess
import urllib.request

import pytest

PATIENCE = 120

CONFIG = """
model_provider = "lintel"
model = "{model}"
[model_providers.lintel]
name = "lintel"
base_url = "{base_url}"
env_key = "LINTEL_KEY"
wire_api = "responses"
"""


@pytest.fixture
def codex(gateway, tmp_path):
    """Returns a function that runs Codex on a task in an empty folder."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()

    def run(task, model="claude", key=gateway.key):
        (home / "config.toml").write_text(CONFIG.format(model=model, base_url=gateway.base_url))
        environment = {
            "HOME": str(home),
            "CODEX_HOME": str(home),
            "LINTEL_KEY": key,
            "PATH": os.environ["PATH"],
        }
        script = pathlib.Path(os.environ["SDK_NODE"]) / "node_modules/@openai/codex/bin/codex.js"
        command = [os.environ["NODE"], script, "exec", "--json", "--skip-git-repo-check"]
        command += ["--dangerously-bypass-approvals-and-sandbox", task]
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    run.folder = folder
    return run


def script(gateway, reply):
    """Scripts the simulator's reply to the next request."""
    request = urllib.request.Request(
        f"{gateway.simulator_url}/_simulator/replies",
        data=json.dumps(reply).encode(),
        headers={"content-type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=PATIENCE).close()


def calls(gateway, *commands):
    """Scripts a turn that runs commands in parallel."""
    events = [["messageStart", {"role": "assistant"}]]
    for index, command in enumerate(commands):
        start = {"toolUse": {"toolUseId": f"tooluse_{index}", "name": "exec_command"}}
        delta = {"toolUse": {"input": json.dumps({"cmd": command})}}
        events += [
            ["contentBlockStart", {"contentBlockIndex": index, "start": start}],
            ["contentBlockDelta", {"contentBlockIndex": index, "delta": delta}],
            ["contentBlockStop", {"contentBlockIndex": index}],
        ]
    usage = {"inputTokens": 100, "outputTokens": 10, "totalTokens": 110}
    events += [["messageStop", {"stopReason": "tool_use"}], ["metadata", {"usage": usage}]]
    script(gateway, {"events": events})


def says(gateway, text):
    """Scripts an answer."""
    usage = {"inputTokens": 100, "outputTokens": 10, "totalTokens": 110}
    events = [
        ["messageStart", {"role": "assistant"}],
        ["contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}],
        ["contentBlockStop", {"contentBlockIndex": 0}],
        ["messageStop", {"stopReason": "end_turn"}],
        ["metadata", {"usage": usage}],
    ]
    script(gateway, {"events": events})


def sent(gateway):
    """Returns the body of the last request to Bedrock."""
    with urllib.request.urlopen(f"{gateway.simulator_url}/_simulator/requests", timeout=PATIENCE) as listed:
        return json.load(listed)[-1]["body"]


def test_codex_writes_a_file_with_two_rounds_of_tool_calls(gateway, codex):
    calls(gateway, "echo hello > made.txt", "echo two")
    calls(gateway, "cat made.txt")
    says(gateway, "The file is made.")
    done = codex("Make a file made.txt that holds hello")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The file is made." in done.stdout
    assert (codex.folder / "made.txt").read_text() == "hello\n"
    history = json.dumps(sent(gateway)["messages"])
    assert "hello" in history and history.count('"toolUse"') == 3


def test_codex_stops_at_an_error_and_says_why(gateway, codex):
    done = codex("Say hello", model="nobody")
    assert done.returncode != 0
    assert "model" in done.stdout + done.stderr
