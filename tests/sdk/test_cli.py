"""The command line, as a person uses it."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from conftest import KEY, PATIENCE, Process

GOOD = """
[aws]
region = "us-east-1"
[models.claude]
target = "us.anthropic.claude-sonnet-5-5"
[keys.one]
secret_env = "CANARY_KEY"
"""


def lintel(*arguments, **environment):
    command = [os.environ["LINTEL"], *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def free_ports():
    return {"LINTEL__SERVER__LISTEN": "127.0.0.1:0", "LINTEL__ADMIN__LISTEN": "127.0.0.1:0"}


def start_demo():
    demo = Process.start(["demo"], free_ports())
    admin = demo.wait_for(r"metrics are at http://([^/]+)/metrics").group(1)
    curl = demo.wait_for(r"^\s*(curl .*)$").group(1)
    return demo, admin, curl


def test_the_curl_line_of_the_demo_works_when_pasted():
    demo, _, curl = start_demo()
    try:
        assert shutil.which("curl"), "curl is part of what the demo prints"
        done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=PATIENCE)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "You said: Hello!"
    finally:
        assert demo.stop() == 0


def test_a_stream_outlives_sigterm_and_the_gateway_ends_well():
    demo, admin, curl = start_demo()
    url, key = re.search(r"(http://\S+)", curl).group(1), re.search(r"Bearer (\S+)'", curl).group(1)
    messages = [{"role": "user", "content": "[simulate words 60] [simulate pace 10ms]"}]
    body = json.dumps({"model": "nova-micro", "stream": True, "messages": messages}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE) as reply:
        assert b"assistant" in reply.readline()
        demo.process.send_signal(signal.SIGHUP)
        demo.wait_for("SIGHUP is ignored")
        demo.process.send_signal(signal.SIGTERM)
        demo.wait_for("shutting down")
        try:
            urllib.request.urlopen(f"http://{admin}/readyz", timeout=PATIENCE)
            raise AssertionError("readiness is still on")
        except urllib.error.HTTPError as error:
            assert error.code == 503
        text = reply.read()
    assert text.count(b'"content":" word"') == 59
    assert text.endswith(b"data: [DONE]\n\n")
    assert demo.process.wait(timeout=PATIENCE) == 0


def test_check(tmp_path):
    config = tmp_path / "lintel.toml"
    config.write_text(GOOD)
    good = lintel("check", "--config", str(config), CANARY_KEY=KEY)
    assert good.returncode == 0, good.stderr
    assert "aws.region = us-east-1  # line 3" in good.stdout
    assert KEY not in good.stdout
    rows = json.loads(lintel("check", "--json", "--config", str(config), CANARY_KEY=KEY).stdout)
    assert {"path": "server.keep_alive", "value": "1m 15s", "origin": "default"} in rows
    config.write_text(GOOD + "[serv]\n")
    bad = lintel("check", "--config", str(config))
    assert bad.returncode == 2
    assert "line 8: serv: unknown key; did you mean 'server'?" in bad.stderr
    assert "line 7: keys.one.secret_env: the environment variable CANARY_KEY is not set" in bad.stderr
    assert lintel("serve", "--config", str(config)).returncode == 2
    assert lintel("serve", "--config", str(tmp_path)).returncode == 2
    assert lintel("nonsense").returncode == 2


def test_healthcheck(gateway, tmp_path):
    admin = gateway.admin_url.removeprefix("http://")
    config = tmp_path / "lintel.toml"
    config.write_text(f'[admin]\nlisten = "{admin}"\n')
    assert lintel("healthcheck", "--config", str(config)).returncode == 0
    assert lintel("healthcheck", "--admin", admin, "--ready").returncode == 0
    assert lintel("healthcheck", "--admin", "127.0.0.1:1").returncode == 1


def test_models_are_listed_with_what_they_cost(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(GOOD)
    done = lintel("models", "--config", str(config), CANARY_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^claude +us\.anthropic\.claude-sonnet-5-5 +us-east-1 +2\.2 +11 +128000 +active$", done.stdout, re.MULTILINE)
    models = json.loads(lintel("models", "--json", "--config", str(config), CANARY_KEY=KEY).stdout)
    assert models[0]["price"] == {"input": "2.2", "output": "11"}


def test_check_warns_of_what_will_not_work(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        GOOD
        + """
[models.typo]
target = "us.anthropic.claude-sonet-5-5"
[models.old]
target = "anthropic.claude-3-haiku-20240307-v1:0"
max_tokens = 100000
[models.vectors]
target = "amazon.titan-embed-text-v2:0"
[models.bare]
target = "anthropic.claude-sonnet-5-5"
[keys.late]
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
expires = "2020-01-01T00:00:00Z"
models = ["zzzz"]
"""
    )
    done = lintel("check", "--config", str(config), CANARY_KEY=KEY)
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    for expected in [
        "models.typo: us.anthropic.claude-sonet-5-5 is not in the catalogue",
        "models.old: anthropic.claude-3-haiku-20240307-v1:0 is past its end of life",
        "models.old: anthropic.claude-3-haiku-20240307-v1:0 writes 4096 tokens at most",
        "models.vectors: amazon.titan-embed-text-v2:0 is for embedding, not for chat",
        "models.bare: anthropic.claude-sonnet-5-5 answers only through an inference profile",
        "keys.late: has expired",
        "keys.late: its globs match no configured model",
    ]:
        assert any(expected in line for line in warnings), (expected, warnings)
