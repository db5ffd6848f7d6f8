"""Tests reloads of a gateway that runs as a process of its own."""

import os
import re
import signal
import subprocess
import time
import urllib.request

import openai
from conftest import KEY, PATIENCE, Process

CONFIG = """
[server]
listen = "127.0.0.1:0"
pre_stop = "0s"
[admin]
listen = "{admin}"
[store]
url = "sqlite:{folder}/lintel.db"
[aws]
region = "us-east-1"
endpoint_url = "{simulator}"
[models.first]
target = "amazon.nova-lite-v1:0"
{more}
[keys.one]
secret_env = "ONE_KEY"
"""
SECOND = '[models.second]\ntarget = "amazon.nova-micro-v1:0"\n'
TOKEN = "admin-token-of-the-reload-test-0123"


def free_address():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.05)


def test_sighup_reloads_and_an_invalid_file_changes_nothing(simulator, tmp_path):
    admin, path = free_address(), tmp_path / "lintel.toml"
    environment = {
        "ONE_KEY": KEY,
        "LINTEL_ADMIN_TOKEN": TOKEN,
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def write(more):
        path.write_text(CONFIG.format(admin=admin, folder=tmp_path, simulator=simulator, more=more))

    def check(*flags):
        command = [os.environ["LINTEL"], "check", "--config", str(path), *flags]
        environ = {**os.environ, **environment}
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE)

    def metric(name):
        text = urllib.request.urlopen(f"http://{admin}/metrics", timeout=PATIENCE).read().decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))

    write("")
    gateway = Process.start(["serve", "--config", str(path)], environment)
    try:
        data = gateway.wait_for(r'"data":"([^"]+)"').group(1)
        client = openai.OpenAI(base_url=f"http://{data}/v1", api_key=KEY, max_retries=0)

        def models():
            return {model.id for model in client.models.list()}

        assert models() == {"first"}
        assert metric("lintel_config_last_reload_successful") == 1
        write(SECOND)
        assert "models.second.target: none -> amazon.nova-micro-v1:0" in check("--diff").stdout
        assert models() == {"first"}
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: models() == {"first", "second"})
        assert check("--diff").stdout == "nothing would change\n"

        write(SECOND + "prise = 1\n")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: metric("lintel_config_last_reload_successful") == 0)
        assert models() == {"first", "second"}
        refused = check("--diff")
        assert refused.returncode == 2 and "models.second.prise" in refused.stderr
        write(SECOND)
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: metric("lintel_config_last_reload_successful") == 1)

        def reloads(more):
            write(SECOND + more)
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda: check("--diff").stdout == "nothing would change\n")

        def request_id():
            return client.models.with_raw_response.list().headers["x-request-id"]

        reloads('[log]\nlevel = "error"\n')
        quiet = request_id()
        reloads("")
        gateway.wait_for(request_id())
        assert not any(quiet in line for line in gateway.seen)
    finally:
        gateway.stop()
