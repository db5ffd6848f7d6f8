"""Runs Codex against the gateway, without a terminal: it calls tools, writes files, and reports errors."""

import base64
import json
import os
import pathlib
import re
import subprocess
import urllib.request

import pytest
from conftest import KEY, Gateway, Process

PATIENCE = 120
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
POOR_KEY = "sk-canary-9e107d9d372bb6826bd81d3542a419d6"

# A model whose name Codex knows, so that it offers its tools for GPT, and a key without money.
GATEWAY = """
[server]
listen = "127.0.0.1:0"
drain_timeout = "3s"
pre_stop = "0s"
[admin]
listen = "127.0.0.1:0"
[store]
url = "memory:"
[models."gpt-5.5"]
target = "us.anthropic.claude-sonnet-5-5"
[models.nova]
target = "amazon.nova-lite-v1:0"
[keys.canary]
secret_env = "CANARY_KEY"
[keys.poor]
secret_env = "POOR_KEY"
budget = { usd = 0.000001, per = "month" }
"""

# The built-in provider, which asks for a WebSocket first and compacts by an item.
BUILT_IN = """
model = "{model}"
openai_base_url = "{base_url}"
model_auto_compact_token_limit = 100
"""

CONFIG = """
model_provider = "lintel"
model = "{model}"
[model_providers.lintel]
name = "lintel"
base_url = "{base_url}"
env_key = "LINTEL_KEY"
wire_api = "responses"
"""


@pytest.fixture(scope="module")
def gateway(simulator, tmp_path_factory):
    config = tmp_path_factory.mktemp("codex") / "config.toml"
    config.write_text(GATEWAY)
    environment = {
        "CANARY_KEY": KEY,
        "POOR_KEY": POOR_KEY,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": simulator,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
    }
    process = Process.start(["serve", "--config", str(config)], environment)
    match = process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"')
    yield Gateway(process, f"http://{match.group(1)}/v1", f"http://{match.group(2)}", simulator)
    assert process.stop() == 0


@pytest.fixture
def codex(gateway, tmp_path):
    """Returns a function that runs Codex on a task in an empty folder."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()

    def run(task, *options, model="nova", key=KEY, config=CONFIG):
        (home / "config.toml").write_text(config.format(model=model, base_url=gateway.base_url))
        environment = {
            "HOME": str(home),
            "CODEX_HOME": str(home),
            "LINTEL_KEY": key,
            "CODEX_API_KEY": key,
            "PATH": os.environ["PATH"],
        }
        script = pathlib.Path(os.environ["SDK_NODE"]) / "node_modules/@openai/codex/bin/codex.js"
        command = [os.environ["NODE"], script, "exec", "--json", "--skip-git-repo-check"]
        command += ["--dangerously-bypass-approvals-and-sandbox", task, *options]
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


def calls(gateway, *inputs, tool="exec_command"):
    """Scripts a turn that calls a tool, several times in parallel."""
    events = [["messageStart", {"role": "assistant"}]]
    for index, value in enumerate(inputs):
        start = {"toolUse": {"toolUseId": f"tooluse_{index}", "name": tool}}
        delta = {"toolUse": {"input": json.dumps(value)}}
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


@pytest.mark.parametrize("model", ["nova", "gpt-5.5"])
def test_codex_writes_a_file_with_two_rounds_of_tool_calls(gateway, codex, model):
    calls(gateway, {"cmd": "echo hello > made.txt"}, {"cmd": "echo two"})
    calls(gateway, {"cmd": "cat made.txt"})
    says(gateway, "The file is made.")
    done = codex("Make a file made.txt that holds hello", model=model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The file is made." in done.stdout
    assert (codex.folder / "made.txt").read_text() == "hello\n"
    history = json.dumps(sent(gateway)["messages"])
    assert "hello" in history and history.count('"toolUse"') == 3


def test_codex_patches_a_file_by_a_tool_with_a_grammar(gateway, codex):
    patch = "*** Begin Patch\n*** Add File: made.txt\n+hello\n*** End Patch\n"
    calls(gateway, {"input": patch}, tool="apply_patch")
    says(gateway, "The file is made.")
    done = codex("Make a file made.txt that holds hello", model="gpt-5.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (codex.folder / "made.txt").read_text() == "hello\n"


def test_codex_goes_on_after_a_compaction(gateway, codex):
    calls(gateway, {"cmd": "echo hello > made.txt"})
    says(gateway, "The file made.txt was written.")
    says(gateway, "All done.")
    done = codex("Make a file made.txt that holds hello", model="gpt-5.5", config=BUILT_IN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All done." in done.stdout
    assert "Summary of the conversation so far" in json.dumps(sent(gateway)["messages"])


def test_codex_sends_a_picture(gateway, codex):
    picture = codex.folder / "pixel.png"
    picture.write_bytes(base64.b64decode(PIXEL))
    says(gateway, "One pixel.")
    done = codex("What is this?", "--image", str(picture))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"image"' in json.dumps(sent(gateway)["messages"])


@pytest.mark.parametrize(
    ("task", "options", "says_why"),
    [
        ("Say hello", {"model": "nobody"}, "model"),
        ("Say hello", {"key": POOR_KEY}, "quota|budget|usage limit"),
        ("Say hello", {"key": "sk-wrong"}, "401"),
        ("one two three four [simulate cut]", {}, "stream|interrupted|ended"),
    ],
)
def test_codex_fails_and_says_why(codex, task, options, says_why):
    done = codex(task, **options)
    assert done.returncode != 0, done.stdout
    assert re.search(says_why, done.stdout + done.stderr, re.IGNORECASE), done.stdout + done.stderr
