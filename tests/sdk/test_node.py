"""The official OpenAI SDK for Node; the tests themselves are in node.test.mjs."""

import os
import subprocess


def test_node(gateway):
    environment = {**os.environ, "BASE_URL": gateway.base_url, "API_KEY": gateway.key}
    command = [os.environ["NODE"], "--test", "--test-reporter=spec", os.environ["SDK_NODE"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout
