"""Runs a long session of Claude Code in one process, and compacts it."""

import json
import subprocess

from conftest import Gateway
from test_claude_code import CLAUDE, environment, installed, received, script  # noqa: F401 (a fixture)

TURNS = 100
SUMMARY = "All numbers were remembered."


def run_session(gateway: Gateway, home, replies):
    """Sends one prompt after another, each once the one before has its result. `replies` scripts those of some prompts.

    Returns the results.
    """
    work = home / "work"
    work.mkdir()
    command = [CLAUDE, "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
    process = subprocess.Popen(
        [*command, "--permission-mode", "bypassPermissions"],
        env=environment(gateway, home, "claude-sonnet-5-5"),
        cwd=work,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    prompts = [f"Remember number {number}." for number in range(TURNS)]
    results = []
    with process:
        for prompt in [*prompts, "/compact", "What now?"]:
            if reply := replies.get(prompt):
                script(gateway, [{"text": reply}])
            message = {"type": "user", "message": {"role": "user", "content": prompt}}
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            results.append(next(line for line in map(json.loads, process.stdout) if line["type"] == "result"))
        process.stdin.close()
    return results


def without_marks(value):
    """Returns JSON without cache marks, which move to the end of the conversation, and with texts as lists of one block."""
    if isinstance(value, list):
        return [without_marks(one) for one in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("content"), str):
        value = {**value, "content": [{"type": "text", "text": value["content"]}]}
    return {name: without_marks(one) for name, one in value.items() if name != "cache_control"}


def test_session_of_a_hundred_turns_keeps_its_prefix_and_is_compacted(gateway, tmp_path):
    before = len(received(gateway))
    # The first prompt and the one after the compaction come with texts that name tools, which the simulated model would call.
    replies = {"Remember number 0.": "Yes.", "/compact": f"<summary>{SUMMARY}</summary>", "What now?": "Done."}
    results = run_session(gateway, tmp_path, replies)
    assert [result["is_error"] for result in results] == [False] * (TURNS + 2)
    assert results[-1]["result"] == "Done."
    bodies = [without_marks(body) for body in received(gateway)[before:]]
    turns, (compaction, after) = bodies[:-2], bodies[-2:]
    assert len(turns) == TURNS
    # What the model has read in one turn is in the next one, byte for byte, so that caches and signatures hold.
    for one, next_one in zip(turns, turns[1:]):
        assert next_one["messages"][: len(one["messages"])] == one["messages"]
        assert (next_one["system"], next_one["tools"]) == (one["system"], one["tools"])
    assert compaction["messages"][: len(turns[-1]["messages"])] == turns[-1]["messages"]
    text = json.dumps(after["messages"])
    assert SUMMARY in text
    assert "Remember number 5." not in text
