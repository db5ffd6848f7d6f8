"""Runs opencode, non-interactively and with an empty home, against the gateway: over each API that it speaks."""

import json
import os
import pathlib
import platform
import subprocess

import pytest

MODULES = pathlib.Path(os.environ.get("SDK_NODE", ".")) / "node_modules"
OPENCODE = MODULES / "opencode-linux-x64/bin/opencode"

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the package with the binaries of all platforms is not installable where a registry lacks one of them",
)

# The packages by which opencode speaks an API, with its path.
APIS = {
    "@ai-sdk/anthropic": "/v1/messages",
    "@ai-sdk/openai": "/v1/responses",
    "@ai-sdk/openai-compatible": "/v1/chat/completions",
}


@pytest.mark.parametrize("package", APIS)
def test_task_with_a_tool_call_writes_a_file(gateway, tmp_path, package):
    work = tmp_path / "work"
    work.mkdir()
    options = {"baseURL": gateway.base_url, "apiKey": gateway.wide_key}
    provider = {"npm": package, "name": "lintel", "options": options, "models": {"hidden": {"name": "Nova"}}}
    config = {
        "provider": {"lintel": provider},
        "model": "lintel/hidden",
        "small_model": "lintel/hidden",
        "autoupdate": False,
        "share": "disabled",
        "permission": "allow",
    }
    (work / "opencode.json").write_text(json.dumps(config))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
    }
    # The simulated model calls the tool that the prompt names, with the names of its parameters as arguments.
    command = [OPENCODE, "run", "Please use write."]
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / "filePath").read_text() == "content"
    assert "You said: Wrote file successfully." in done.stdout
    match = gateway.process.wait_for(rf'"route":"{APIS[package]}","status":(\d+)')
    assert match.group(1) == "200"
