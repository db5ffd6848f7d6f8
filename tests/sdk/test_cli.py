"""Tests the command line as users run it."""

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


def start_demo(**environment):
    demo = Process.start(["demo"], {**free_ports(), **environment})
    admin = demo.wait_for(r"metrics are at http://([^/]+)/metrics").group(1)
    curl = demo.wait_for(r"^\s*(curl .*)$").group(1)
    return demo, admin, curl


def test_every_curl_line_of_the_demo_works_when_pasted():
    demo, _, chat = start_demo()
    try:
        assert shutil.which("curl"), "the demo prints curl commands, so curl is required"
        answer, embeddings, models = (demo.wait_for(r"^\s*(curl .*)$").group(1) for _ in range(3))
        replies = [
            json.loads(subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=PATIENCE).stdout)
            for curl in (chat, answer, embeddings, models)
        ]
        assert replies[0]["choices"][0]["message"]["content"] == "You said: Hello!"
        assert replies[1]["choices"][0]["message"]["annotations"], "an answer with sources"
        assert [len(item["embedding"]) for item in replies[2]["data"]] == [1536, 1536]
        sources = {model.get("source") for model in replies[3]["data"]}
        assert sources == {None, "foundation_model", "inference_profile"}
    finally:
        assert demo.stop() == 0


def test_stream_finishes_after_sigterm_and_the_gateway_exits_with_0():
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
            raise AssertionError("still ready after SIGTERM")
        except urllib.error.HTTPError as error:
            assert error.code == 503
        text = reply.read()
    assert text.count(b'"content":" word"') == 59
    assert text.endswith(b"data: [DONE]\n\n")
    assert demo.process.wait(timeout=PATIENCE) == 0


def test_demo_waits_for_load_balancers_if_it_is_configured():
    demo, admin, curl = start_demo(LINTEL__SERVER__PRE_STOP="10m")
    url = re.search(r"(http://[^/]+)", curl).group(1)
    demo.process.send_signal(signal.SIGTERM)
    demo.wait_for("shutting down")
    for address, status in [(f"http://{admin}/readyz", 503), (f"{url}/v1/models", 401)]:
        try:
            urllib.request.urlopen(address, timeout=PATIENCE)
            raise AssertionError("neither unready nor open")
        except urllib.error.HTTPError as error:
            assert error.code == status
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(timeout=PATIENCE) == 1


def test_check_reports_values_with_origin_and_every_problem(tmp_path):
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


def test_healthcheck_reports_by_exit_code(gateway, tmp_path):
    admin = gateway.admin_url.removeprefix("http://")
    config = tmp_path / "lintel.toml"
    config.write_text(f'[admin]\nlisten = "{admin}"\n')
    assert lintel("healthcheck", "--config", str(config)).returncode == 0
    assert lintel("healthcheck", "--admin", admin, "--ready").returncode == 0
    assert lintel("healthcheck", "--admin", "127.0.0.1:1").returncode == 1


def test_models_are_listed_with_prices(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(GOOD + '[models.vectors]\ntarget = "amazon.titan-embed-text-v2:0"\n')
    done = lintel("models", "--config", str(config), CANARY_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^claude +us\.anthropic\.claude-sonnet-5-5 +us-east-1 +2\.2 +11 +128000 +active$", done.stdout, re.MULTILINE)
    models = json.loads(lintel("models", "--json", "--config", str(config), CANARY_KEY=KEY).stdout)
    assert models[0]["price"] == {"input": "2.2", "output": "11"}
    assert [model["route"] for model in models] == ["converse", "invoke"]
    routes = {route["route"]: route for route in models[0]["routes"]}
    assert list(routes) == ["converse", "invoke", "messages", "mantle_messages"]
    assert routes["converse"] == {"route": "converse", "not_used": None, "loses": ["passthrough", "client_tool"]}
    assert "guardrail" in routes["mantle_messages"]["loses"] and routes["mantle_messages"]["not_used"]
    assert models[1]["routes"] == [{"route": "invoke"}]


def test_routes_are_explained_with_and_without_a_configuration(tmp_path):
    nothing = ["--config", str(tmp_path / "none.toml")]
    done = lintel("explain", "xai.grok-4.6", *nothing, AWS_REGION="us-west-2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("us.xai.grok-4.6 in us-west-2\n")
    assert re.search(r"^chat +chosen", done.stdout, re.MULTILINE)
    assert re.search(r"^mantle_chat +not used: .* guardrails", done.stdout, re.MULTILINE)
    request = tmp_path / "request.json"
    request.write_text('{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stop": "END", "bedrock": {"request_metadata": {"a": "b"}}}')
    explained = json.loads(lintel("explain", "xai.grok-4.6", str(request), "--json", *nothing).stdout)
    assert explained["route"] == "converse" and explained["error"] is None
    assert {route["route"]: route["loses"] for route in explained["routes"]}["chat"] == ["metadata", "stop"]
    config = tmp_path / "config.toml"
    config.write_text(GOOD)
    done = lintel("explain", "claude", "--config", str(config), CANARY_KEY=KEY)
    assert done.stdout.startswith("us.anthropic.claude-sonnet-5-5 in us-east-1\n")
    assert lintel("explain", "nonsense", *nothing).returncode == 1
    request.write_text("{")
    assert lintel("explain", "xai.grok-4.6", str(request), *nothing).returncode == 1
    done = lintel("explain", "openai.gpt-daybreak-blue-5.6-sol", *nothing)
    assert re.search(r"^mantle_responses +chosen", done.stdout, re.MULTILINE)
    for model, route, endpoint in [
        ("amazon.titan-embed-text-v2:0", "invoke", "/v1/embeddings"),
        ("cohere.rerank-v3-5:0", "rerank", "/v1/rerank"),
        ("stability.sd3-5-large-v1:0", "invoke", "/v1/images/generations"),
    ]:
        done = lintel("explain", model, *nothing)
        assert re.search(rf"^{route} +used by POST {endpoint}", done.stdout, re.MULTILINE), done.stdout
        assert "Not served" not in done.stdout and "this version" not in done.stdout
        assert json.loads(lintel("explain", model, "--json", *nothing).stdout)["endpoint"] == endpoint


def test_models_are_listed_with_the_sources_of_facts_and_prices(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(GOOD + '[models.own]\ntarget = "amazon.nova-lite-v1:0"\nprice = { input = 1 }\nfacts = { image = false }\n')
    listed = json.loads(lintel("models", "--json", "--config", str(config), CANARY_KEY=KEY).stdout)
    claude, own = ({model["name"]: model for model in listed}[name] for name in ("claude", "own"))
    window = claude["facts"]["context_window"]
    assert window["value"] == claude["context_window"]
    assert window["sources"][0]["name"].startswith("LiteLLM") and re.fullmatch(r"20\d\d-\d\d-\d\d", window["sources"][0]["date"])
    assert len(claude["price_sources"]) == 3
    # A rule that is kept by hand.
    assert "disable_parallel_tool_use" in claude["facts"]["disable_parallel"]["sources"][0]["name"]
    configuration = [{"name": "configuration"}]
    assert own["facts"]["image"] == {"value": False, "sources": configuration}
    assert own["price_sources"] == configuration
    assert own["facts"]["document"]["sources"] != configuration
    # No source mentions a seed, so this is the default.
    assert own["facts"]["seed"] == {"value": None, "sources": []}


def test_check_warns_about_settings_that_will_not_work(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        GOOD
        + """
[models.typo]
target = "us.anthropic.claude-sonet-5-5"
[models.old]
target = "anthropic.claude-3-haiku-20240307-v1:0"
max_tokens = 100000
[models.clips]
target = "luma.ray-v2:0"
[models.pictures]
target = "stability.sd3-5-large-v1:0"
[models.ranks]
target = "cohere.rerank-v3-5:0"
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
        "models.old: anthropic.claude-3-haiku-20240307-v1:0 generates at most 4096 tokens",
        "models.clips: luma.ray-v2:0 is for video, and this gateway does not serve it",
        "models.bare: anthropic.claude-sonnet-5-5 is available only through an inference profile",
        "keys.late: has expired",
        "keys.late: its globs match no configured model",
    ]:
        assert any(expected in line for line in warnings), (expected, warnings)
    served = ("models.vectors", "models.pictures", "models.ranks")
    assert not [line for line in warnings if any(name in line for name in served)]


RAW_ONLY = """
[keys.app]
secret_env = "CANARY_KEY"
models = ["us.amazon.*", "*embed*"]
"""


def serve_raw_only(tmp_path, simulator, *flags):
    config = tmp_path / "lintel.toml"
    config.write_text(f'[aws]\nendpoint_url = "{simulator}"\n{RAW_ONLY}')
    environment = {
        **free_ports(),
        "CANARY_KEY": KEY,
        "LINTEL__STORE__URL": "memory:",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
    }
    return Process.start(["serve", "--config", str(config), *flags], environment)


def addresses(process):
    return process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"').groups()


def test_serve_needs_only_a_key_with_globs(tmp_path, simulator):
    process = serve_raw_only(tmp_path, simulator)
    try:
        data, _ = addresses(process)

        def post(path, body):
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            request = urllib.request.Request(f"http://{data}/v1/{path}", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                return json.load(reply)

        messages = [{"role": "user", "content": "Hello!"}]
        chat = post("chat/completions", {"model": "us.amazon.nova-lite-v1:0", "messages": messages})
        assert chat["choices"][0]["message"]["content"] == "You said: Hello!"
        for model, size in [("amazon.titan-embed-text-v2:0", 1024), ("us.cohere.embed-v4:0", 1536)]:
            embeddings = post("embeddings", {"model": model, "input": "Hello!"})
            assert len(embeddings["data"][0]["embedding"]) == size
    finally:
        assert process.stop() == 0


def test_configuration_that_can_serve_no_model_is_rejected_with_a_hint(tmp_path):
    config = tmp_path / "lintel.toml"
    config.write_text('[keys.app]\nsecret_env = "CANARY_KEY"\n')
    for command in ["check", "serve"]:
        done = lintel(command, "--config", str(config), CANARY_KEY=KEY, AWS_REGION="us-east-1")
        assert done.returncode == 2
        assert "models: no model is configured, and no key may use Bedrock ids" in done.stderr


def test_admin_port_leaves_loopback_only_with_the_flag(tmp_path, simulator):
    everywhere = ("--admin-listen", "0.0.0.0:0")
    refused = serve_raw_only(tmp_path, simulator, *everywhere)
    refused.wait_for("flag --admin-listen: admin.listen: 0.0.0.0:0 is reachable from other machines")
    assert refused.process.wait(timeout=PATIENCE) == 2
    process = serve_raw_only(tmp_path, simulator, *everywhere, "--admin-allow-plaintext")
    try:
        _, admin = addresses(process)
        process.wait_for("other machines can reach 0.0.0.0:0 without TLS")
        address, port = admin.split(":")
        assert address == "0.0.0.0"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as reply:
            assert b"lintel_build_info" in reply.read()
        for path in ["healthz", "readyz"]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE) as reply:
                assert reply.status == 200
        variables = {"LINTEL__ADMIN__LISTEN": admin}
        assert lintel("healthcheck", "--config", str(tmp_path / "lintel.toml"), **variables).returncode == 0
    finally:
        assert process.stop() == 0


def test_check_warns_about_an_exposed_admin_port(tmp_path):
    config = tmp_path / "lintel.toml"
    config.write_text(RAW_ONLY + '[admin]\nlisten = "0.0.0.0:9090"\nallow_plaintext = true\n')
    done = lintel("check", "--config", str(config), CANARY_KEY=KEY, AWS_REGION="us-east-1")
    assert done.returncode == 0, done.stderr
    assert "warning: admin.listen: other machines can reach 0.0.0.0:9090 without TLS" in done.stderr
