"""Runs Claude Code, non-interactively and with an empty home, against the gateway.

The simulated model calls the tools that the last message names, with example arguments, so the tests script its replies
where the arguments matter.
"""

import base64
import json
import os
import pathlib
import subprocess
import urllib.request

import pytest
from conftest import Gateway, Process

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
POOR_KEY = "sk-poor-0cc175b9c0f1b6a831c399e269772661"
POOR = """
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[store]
url = "memory:"
[models.claude-sonnet-5-5]
target = "us.anthropic.claude-sonnet-5-5"
[keys.poor]
secret_env = "POOR_KEY"
budget = { usd = 0.01, per = "day" }
"""
CLAUDE = pathlib.Path(os.environ.get("SDK_NODE", ".")) / "node_modules/.bin/claude"


@pytest.fixture(scope="module", autouse=True)
def installed():
    assert CLAUDE.exists(), "npm has not installed Claude Code"


@pytest.fixture
def poor_gateway(simulator, tmp_path):
    """A gateway whose key has a budget that is too small for any call of Claude Code."""
    config = tmp_path / "poor.toml"
    config.write_text(POOR)
    environment = {
        "POOR_KEY": POOR_KEY,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": simulator,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
    }
    process = Process.start(["serve", "--config", str(config)], environment)
    match = process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"')
    yield Gateway(process, f"http://{match.group(1)}/v1", f"http://{match.group(2)}", simulator, POOR_KEY, POOR_KEY)
    process.stop()


def environment(gateway, home, model, key=None, **more):
    """Returns the environment of Claude Code, which has nothing of the machine's."""
    return {
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


def claude(gateway, home, model, prompt, key=None, **more):
    """Runs one prompt, and returns the finished process and its result object."""
    work = home / "work"
    work.mkdir(exist_ok=True)
    own = environment(gateway, home, model, key, **more)
    command = [CLAUDE, "-p", prompt, "--output-format", "json", "--permission-mode", "bypassPermissions"]
    done = subprocess.run(command, env=own, cwd=work, capture_output=True, text=True, timeout=120)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        pytest.fail(f"no result: {done.stdout} {done.stderr}")
    if isinstance(result, list):
        result = next(one for one in result if one.get("type") == "result")
    return done, result


def script(gateway, *turns, model="claude-sonnet-5-5"):
    """Scripts the next streamed replies: each is a list of content blocks of Converse, or of lists of their deltas."""
    for blocks in turns:
        if "claude" in model:
            send_script(gateway, {"events": chunks(events_of_claude(blocks))})
            continue
        events = [["messageStart", {"role": "assistant"}]]
        for index, block in enumerate(blocks):
            deltas = block if isinstance(block, list) else [block]
            if "toolUse" in block:
                use = block["toolUse"]
                start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
                events.append(["contentBlockStart", {"contentBlockIndex": index, "start": start}])
                deltas = [{"toolUse": {"input": json.dumps(use["input"])}}]
            for delta in deltas:
                events.append(["contentBlockDelta", {"contentBlockIndex": index, "delta": delta}])
            events.append(["contentBlockStop", {"contentBlockIndex": index}])
        calls = any("toolUse" in block for block in blocks)
        events.append(["messageStop", {"stopReason": "tool_use" if calls else "end_turn"}])
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        events.append(["metadata", {"usage": usage, "metrics": {"latencyMs": 1}}])
        send_script(gateway, {"events": events})


def chunks(events):
    """Returns the frames of InvokeModelWithResponseStream, by which Claude gets the betas of Claude Code."""
    return [["chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}] for event in events]


def events_of_claude(blocks):
    """Returns the events of Anthropic's API for content blocks of Converse."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude", "usage": usage}
    events = [{"type": "message_start", "message": message}]
    for index, block in enumerate(blocks):
        if isinstance(block, list):
            thinking = {"type": "thinking", "thinking": "", "signature": ""}
            thoughts = [delta["reasoningContent"] for delta in block]
            deltas = [
                {"type": "thinking_delta", "thinking": one["text"]} if "text" in one
                else {"type": "signature_delta", "signature": one["signature"]}
                for one in thoughts
            ]
            start = thinking
        elif "toolUse" in block:
            use = block["toolUse"]
            start = {"type": "tool_use", "id": use["toolUseId"], "name": use["name"], "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(use["input"])}]
        else:
            start = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": block["text"]}]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    reason = "tool_use" if any("toolUse" in block for block in blocks) else "end_turn"
    end = {"stop_reason": reason, "stop_sequence": None}
    metrics = {"inputTokenCount": 10, "outputTokenCount": 5}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}})
    events.append({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics})
    return events


def send_script(gateway, reply):
    """Scripts the next reply of the simulator: a body, or the events of a stream."""
    request = urllib.request.Request(
        f"{gateway.simulator_url}/_simulator/replies",
        data=json.dumps(reply).encode(),
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
        model=model,
    )
    done, result = claude(gateway, tmp_path, model, "Write hello into made.txt, and show it.")
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.read_text() == "hello\n"
    assert result["result"] == "The file says hello."
    assert result["num_turns"] >= 3


def received(gateway):
    """Returns the bodies that the simulated Bedrock has received, the oldest first."""
    with urllib.request.urlopen(f"{gateway.simulator_url}/_simulator/requests") as reply:
        return [request["body"] for request in json.load(reply)]


def test_thinking_comes_back_with_its_signature_in_place(gateway, tmp_path):
    thought = {"text": "I should look.", "signature": "c2lnbmF0dXJlIG9mIHRoZSBtb2RlbA=="}
    deltas = [{"reasoningContent": {"text": thought["text"]}}, {"reasoningContent": {"signature": thought["signature"]}}]
    script(gateway, [deltas, call(1, "Bash", command="echo hello", description="Says hello")], [{"text": "Done."}])
    done, result = claude(gateway, tmp_path, "claude-sonnet-5-5", "Say hello.")
    assert result["result"] == "Done.", done.stdout
    turns = [turn for turn in received(gateway)[-1]["messages"] if turn["role"] == "assistant"]
    reasoning, tool = turns[-1]["content"][:2]
    assert reasoning == {"type": "thinking", "thinking": thought["text"], "signature": thought["signature"]}
    assert tool["name"] == "Bash"


def test_picture_reaches_the_model(gateway, tmp_path):
    picture = tmp_path / "work" / "red.png"
    picture.parent.mkdir()
    picture.write_bytes(base64.b64decode(PNG))
    script(gateway, [call(1, "Read", file_path=str(picture))], [{"text": "It is red."}])
    done, result = claude(gateway, tmp_path, "claude-sonnet-5-5", "What is in red.png?")
    assert result["result"] == "It is red.", done.stdout
    assert '"image"' in json.dumps(received(gateway)[-1]["messages"])


def test_broken_stream_is_asked_again(gateway, tmp_path):
    broken = events_of_claude([{"text": "Half an ans"}])[:3]
    send_script(gateway, {"events": chunks(broken)})
    # The second request is not streamed.
    usage = {"input_tokens": 10, "output_tokens": 5}
    content = [{"type": "text", "text": "A whole answer."}]
    body = {"id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn", "usage": usage}
    send_script(gateway, {"body": body})
    done, result = claude(gateway, tmp_path, "claude-sonnet-5-5", "Hello.")
    assert done.returncode == 0, done.stdout
    assert result["result"] == "A whole answer."


def test_rejected_key_stops_at_once(gateway, tmp_path):
    done, result = claude(gateway, tmp_path, "claude-sonnet-5-5", "Hi", key="sk-wrong")
    assert result["is_error"], done.stdout
    assert "login" in result["result"]
    assert result["duration_ms"] < 30_000


def test_spent_budget_stops_at_once_and_says_why(poor_gateway, tmp_path):
    done, result = claude(poor_gateway, tmp_path, "claude-sonnet-5-5", "Hi")
    assert result["is_error"], done.stdout
    assert "budget" in result["result"], result["result"]
    assert result["duration_ms"] < 30_000
