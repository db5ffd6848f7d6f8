"""Runs the Node clients. The tests are in the `.test.mjs` files."""

import os
import pathlib
import subprocess

import pytest

FILES = [
    "node.test.mjs",
    "anthropic.test.mjs",
    "clients.test.mjs",
    "frameworks.test.mjs",
    "knowledge.test.mjs",
    "embeddings.test.mjs",
    "images.test.mjs",
    "responses.test.mjs",
    "stored_responses.test.mjs",
]


@pytest.mark.parametrize("file", FILES)
def test_node_clients(gateway, file):
    environment = {"BASE_URL": gateway.base_url, "API_KEY": gateway.key, "WIDE_KEY": gateway.wide_key}
    environment["SIMULATOR_URL"] = gateway.simulator_url
    command = [os.environ["NODE"], "--test", "--test-reporter=spec", pathlib.Path(os.environ["SDK_NODE"]) / file]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout
