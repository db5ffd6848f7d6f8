"""Tests the ledger as operators use it: restarts, kills, a full disk, the command line, alerts."""

import ctypes
import datetime
import hashlib
import hmac
import http.server
import json
import os
import queue
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from conftest import KEY, PATIENCE, Process

TOKEN = "token-of-the-admin-0123456789-abcdef"
# An input token costs 2,000 nano-dollars, an output token 10,000.
CONFIG = """
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[aws]
region = "us-east-1"
[store]
url = "sqlite:{store}"
[defaults]
retry = {{ attempts = 1 }}
[models.priced]
target = "amazon.nova-lite-v1:0"
max_tokens = 100
price = {{ input = 2.0, output = 10.0 }}
[keys.app]
secret_env = "CANARY_KEY"
budget = {{ usd = {usd}, per = "month" }}
{more}
"""


class Gateway:
    """A gateway with its own ledger file."""

    def __init__(self, folder, simulator, usd=100, more=""):
        self.folder, self.simulator = folder, simulator
        self.config = folder / "config.toml"
        self.store = folder / "lintel.db"
        self.config.write_text(CONFIG.format(store=self.store, usd=usd, more=more))
        self.environment = {
            "CANARY_KEY": KEY,
            "LINTEL_ADMIN_TOKEN": TOKEN,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": simulator,
            "AWS_ACCESS_KEY_ID": "simulator",
            "AWS_SECRET_ACCESS_KEY": "simulator",
        }
        self.start()

    def start(self):
        # Python ignores SIGXFSZ, and the gateway inherits that. So a file at its size limit is an error, not a signal.
        self.process = Process.start(["serve", "--config", str(self.config)], self.environment, restore_signals=False)
        match = self.process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"')
        self.data, self.admin = match.group(1), match.group(2)

    def kill(self):
        self.process.process.kill()
        self.process.process.wait(timeout=PATIENCE)

    def chat(self, text, **more):
        body = {"model": "priced", "messages": [{"role": "user", "content": text}], **more}
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        request = urllib.request.Request(f"http://{self.data}/v1/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def ask(self, path):
        request = urllib.request.Request(f"http://{self.admin}{path}", headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return json.loads(reply.read())

    def settled(self):
        budget = next(budget for budget in self.ask("/admin/budgets")["budgets"] if budget["id"] == "key:app/month")
        return nano(budget["settled_usd"]), nano(budget["reserved_usd"])

    def cli(self, *arguments, running=True, before=None, **environment):
        # The system chooses the ports, so the command needs the address of the gateway.
        admin = {"LINTEL__ADMIN__LISTEN": self.admin if running else "127.0.0.1:1"}
        environment = {**os.environ, **self.environment, **admin, **environment}
        command = [os.environ["LINTEL"], *arguments, "--config", str(self.config)]
        run = {"capture_output": True, "text": True, "timeout": PATIENCE, "preexec_fn": before}
        return subprocess.run(command, env=environment, **run)


def heed_permissions():
    """Drops CAP_DAC_OVERRIDE (with PR_CAPBSET_DROP), which lets root write any file."""
    if os.getuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def nano(usd):
    sign, usd = (-1, usd[1:]) if usd.startswith("-") else (1, usd)
    whole, _, fraction = usd.partition(".")
    return sign * (int(whole) * 10**9 + int(fraction.ljust(9, "0") or 0))


def until(so):
    deadline = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < deadline, "timed out waiting for the condition"
        time.sleep(0.01)


@pytest.fixture
def own_simulator():
    """A simulator whose invocation log contains no calls of other tests."""
    process = Process.start(["simulate", "--listen", "127.0.0.1:0"], {})
    yield process.wait_for(r"Bedrock is at (http://\S+)").group(1)
    process.stop()


def invocations(simulator):
    with urllib.request.urlopen(f"{simulator}/_simulator/invocations", timeout=PATIENCE) as reply:
        return [json.loads(line) for line in reply.read().decode().splitlines()]


def billed(simulator):
    return sum(
        line["input"]["inputTokenCount"] * 2000 + line["output"]["outputTokenCount"] * 10_000
        for line in invocations(simulator)
    )


def test_spend_is_known_after_a_restart(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    for _ in range(3):
        assert gateway.chat("Hi")[0] == 200
    assert gateway.process.stop() == 0
    gateway.start()
    assert gateway.settled() == (3 * 32_000, 0)
    assert gateway.process.stop() == 0


def test_no_spend_is_lost_when_killed_under_load(own_simulator, tmp_path):
    """Kills the gateway 50 times. Every billed call is paid for, and no reservation stays open."""
    gateway = Gateway(tmp_path, own_simulator)
    dice = random.Random(7)
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            stop = threading.Event()
            bill = billed(own_simulator)

            def load(seed):
                own = random.Random(seed)
                while not stop.is_set():
                    text = f"[simulate words {own.randint(1, 80)}] [simulate pace 1ms]"
                    try:
                        gateway.chat(text, stream=own.random() < 0.5)
                    except OSError:
                        pass
                    except Exception as error:  # the reply was cut off
                        assert "Incomplete" in type(error).__name__ or "Disconnected" in type(error).__name__, error

            running = [pool.submit(load, dice.random()) for _ in range(8)]
            # A kill may come before the first call is billed, but not in every round: a slow machine would prove nothing.
            if number % 2:
                until(lambda: billed(own_simulator) > bill)
            time.sleep(dice.uniform(0.005, 0.12))
            gateway.kill()
            stop.set()
            for one in running:
                one.result()
            gateway.start()
            settled, reserved = gateway.settled()
            assert reserved == 0, "no hold stays"
            assert settled >= billed(own_simulator), "every billed call is paid for"
    kinds = {row["kind"]: row for row in gateway.ask("/admin/usage?by=kind&since=1h")["rows"]}
    presumed = kinds["presumed"]
    true_bill = billed(own_simulator)
    assert true_bill > 0, "a bill of 0 would prove nothing"
    excess = gateway.settled()[0] - true_bill
    print(f"{sum(row['requests'] for row in kinds.values())} calls, {presumed['requests']} presumed, "
          f"billed {true_bill} nano-dollars, excess {excess} ({excess / true_bill:.1%})")
    # Presumed costs are corrected from Bedrock's invocation log.
    log = tmp_path / "invocations.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in invocations(own_simulator)) + "not json\n")
    done = gateway.cli("ledger", "reconcile", str(log), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unreadable_lines"] == 1
    never_sent = settled_without_log(gateway, own_simulator)
    assert gateway.settled()[0] == true_bill + never_sent, "it equals the bill, plus calls that never reached Bedrock"
    again = json.loads(gateway.cli("ledger", "reconcile", str(log), "--json").stdout)
    assert again["corrected_records"] == 0, "a call is corrected only once"
    gateway.kill()
    gateway.start()
    assert gateway.settled()[0] == true_bill + never_sent, "corrections survive a restart"
    assert gateway.process.stop() == 0


def settled_without_log(gateway, simulator):
    """Returns the presumed cost of calls that never reached Bedrock."""
    seen = {line["requestMetadata"]["lintel_request_id"] for line in invocations(simulator)}
    with sqlite3.connect(f"file:{gateway.store}?mode=ro", uri=True) as file:
        rows = file.execute("SELECT request_id, cost FROM records WHERE kind = 'presumed'").fetchall()
    return sum(cost for request_id, cost in rows if request_id not in seen)


def test_ledger_matches_the_bill_to_the_nano_dollar(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    with ThreadPoolExecutor(8) as pool:
        done = pool.map(lambda n: gateway.chat(f"[simulate words {n % 60 + 1}]", stream=n % 2 == 0)[0], range(200))
        assert set(done) == {200}
    until(lambda: gateway.settled()[1] == 0)
    assert gateway.settled()[0] == billed(own_simulator)
    assert gateway.process.stop() == 0
    with sqlite3.connect(gateway.store) as file:
        assert file.execute("SELECT COUNT(*), SUM(cost) FROM records WHERE kind = 'actual'").fetchone() == (
            200,
            billed(own_simulator),
        )
        assert file.execute("SELECT COUNT(*) FROM holds").fetchone() == (0,)


def test_second_gateway_on_the_same_file_refuses_to_start(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    second = gateway.cli("serve", running=False, LINTEL__ADMIN__LISTEN="127.0.0.1:0")
    assert second.returncode == 1
    assert "another lintel runs with this ledger" in second.stderr
    assert gateway.process.stop() == 0


def test_unusable_file_is_reported_at_start(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    assert gateway.process.stop() == 0
    for store in ["/nowhere/at/all/lintel.db", str(tmp_path)]:
        done = gateway.cli("serve", LINTEL__STORE__URL=f"sqlite:{store}", LINTEL__ADMIN__LISTEN="127.0.0.1:0")
        assert done.returncode == 1 and "store: " in done.stderr, done.stderr
    os.chmod(gateway.store, 0o444)
    done = gateway.cli("serve", LINTEL__ADMIN__LISTEN="127.0.0.1:0", before=heed_permissions)
    assert done.returncode == 1 and "may be read but not written" in done.stderr, done.stderr
    os.chmod(gateway.store, 0o644)
    with sqlite3.connect(gateway.store) as file:
        file.execute("PRAGMA user_version = 99")
    done = gateway.cli("serve", LINTEL__ADMIN__LISTEN="127.0.0.1:0")
    assert "newer version of lintel" in done.stderr


def test_locked_file_rejects_calls_under_a_budget_until_unlocked(own_simulator, tmp_path):
    free = '[keys.free]\nsha256 = "{}"\n'.format(hashlib.sha256(b"sk-free-0123456789").hexdigest())
    gateway = Gateway(tmp_path, own_simulator, more=free)
    assert gateway.chat("Hi")[0] == 200
    other = sqlite3.connect(gateway.store, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    status, body = gateway.chat("Hi")
    assert (status, json.loads(body)["error"]["code"]) == (503, "budget_backend_unavailable")
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key="sk-free-0123456789", max_retries=0)
    reply = client.chat.completions.create(model="priced", messages=[{"role": "user", "content": "Hi"}])
    assert reply.choices[0].message.content == "You said: Hi", "calls without a budget continue"
    with pytest.raises(urllib.error.HTTPError) as unready:
        urllib.request.urlopen(f"http://{gateway.admin}/readyz", timeout=PATIENCE)
    assert unready.value.code == 503
    other.execute("ROLLBACK")
    until(lambda: gateway.chat("Hi")[0] == 200)
    usage = gateway.ask("/admin/usage?by=key&since=1h")["rows"]
    assert {row["key"]: row["requests"] for row in usage}["free"] == 1, "its record was kept in memory"
    assert gateway.process.stop() == 0


def test_complete_log_settles_calls_that_it_lacks_as_zero(own_simulator, tmp_path):
    """Spend that was presumed and never happened could not be released."""
    gateway = Gateway(tmp_path, own_simulator)
    assert gateway.chat("Hi")[0] == 200
    before = gateway.settled()[0]
    assert gateway.chat("[simulate internal]")[0] == 502
    until(lambda: gateway.settled()[1] == 0)
    assert gateway.settled()[0] > before
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in invocations(own_simulator)))
    done = gateway.cli("ledger", "reconcile", str(log), "--json")
    assert json.loads(done.stdout)["corrected_records"] == 0, "the log may lack it because it is not complete"
    future = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert gateway.cli("ledger", "reconcile", str(log), "--complete", f"2026-01-01..{future}").returncode != 0
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    done = gateway.cli("ledger", "reconcile", str(log), "--complete", f"2026-01-01..{now}", "--json")
    assert json.loads(done.stdout)["corrected_records"] == 1, done
    assert gateway.settled()[0] == before
    entry = gateway.ask("/admin/audit")["audit"][0]
    assert entry["action"] == "ledger.reconcile" and entry["after"]["corrected_records"] == 1
    assert entry["subject"] == "sha256:" + hashlib.sha256(log.read_bytes()).hexdigest()
    assert gateway.process.stop() == 0


def test_key_revoked_while_the_ledger_is_locked_is_rejected_at_once_and_for_good(own_simulator, tmp_path):
    """The revocation failed with a 503, and the leaked key kept working."""
    gateway = Gateway(tmp_path, own_simulator)
    made = json.loads(gateway.cli("keys", "create", "--name", "leaked", "--models", "priced", "--json").stdout)
    key_id, secret = made["key"]["id"], made["secret"]
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key=secret, max_retries=0)
    ask = {"model": "priced", "messages": [{"role": "user", "content": "Hi"}]}
    client.chat.completions.create(**ask)
    other = sqlite3.connect(gateway.store, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    done = gateway.cli("keys", "revoke", key_id)
    assert done.returncode == 0 and "keeps trying to store" in done.stdout, done
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**ask)
    other.execute("ROLLBACK")
    until(lambda: gateway.ask(f"/admin/keys/{key_id}")["key"]["status"] == "revoked")
    assert [entry["action"] for entry in gateway.ask("/admin/audit")["audit"]][0] == "key.revoke"
    assert gateway.process.stop() == 0
    gateway.start()
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key=secret, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**ask)
    assert gateway.process.stop() == 0


def test_full_disk_rejects_calls_under_a_budget_until_space_is_freed(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    process = gateway.process.process.pid
    assert gateway.chat("Hi")[0] == 200
    # Files of the process may not grow beyond the current size of the ledger's log, as on a full disk.
    size = os.path.getsize(f"{gateway.store}-wal")
    soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    statuses = [gateway.chat("Hi")[0] for _ in range(20)]
    assert statuses[-1] == 503 and set(statuses) <= {200, 503}, statuses
    settled = gateway.settled()[0]
    assert settled == billed(own_simulator), "calls admitted before are settled"
    resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
    until(lambda: gateway.chat("Hi")[0] == 200)
    assert gateway.process.process.poll() is None, "the process is still running"
    assert gateway.process.stop() == 0
    gateway.start()
    assert gateway.settled()[0] == billed(own_simulator), "nothing was lost"
    assert gateway.process.stop() == 0


def test_sdk_does_not_retry_when_a_budget_is_spent(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator, usd=0.0001)
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key=KEY, max_retries=5)
    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model="priced", messages=[{"role": "user", "content": "Hi"}])
    assert (error.value.code, error.value.type) == ("insufficient_quota", "insufficient_quota")
    metrics = urllib.request.urlopen(f"http://{gateway.admin}/metrics", timeout=PATIENCE).read().decode()
    refused = 'lintel_http_requests_total{route="/v1/chat/completions",method="POST",status="429",reason="budget"} 1'
    assert refused in metrics, "one request arrived, not six"
    assert gateway.process.stop() == 0


def test_commands_use_the_running_gateway_or_else_the_file(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator, more="[teams.search]\nbudget = { usd = 5, per = \"day\" }")
    made = gateway.cli("keys", "create", "--name", "mobile", "--team", "search", "--budget", "1/day",
                       "--requests-per-minute", "600", "--expires", "90d", "--metadata", "owner=zoe")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    key_id = secret.split("-")[2]
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key=secret, max_retries=0)
    ask = lambda: client.chat.completions.create(model="priced", messages=[{"role": "user", "content": "Hi"}])
    assert ask().usage.cost == 0.000032
    assert f"{key_id},search,priced,1,1,0,0,3,0.000032" in gateway.cli("usage", "--csv").stdout
    assert json.loads(gateway.cli("usage", "--json", "--by", "team").stdout)[0]["cost_usd"] == "0.000032"
    assert key_id in gateway.cli("keys", "list").stdout
    raised = gateway.cli("budget", "override", f"key:{key_id}/day", "--usd", "2.5", "--for", "1h", "--reason", "launch")
    assert raised.returncode == 0 and " 3.5 " in raised.stdout, raised.stdout
    assert gateway.cli("budget", "override", "key:nobody/day", "--usd", "1", "--reason", "x").returncode == 1
    assert " 4.5 " in gateway.cli("budget", "override", f"key:{key_id}/day", "--usd", "1", "--reason", "more").stdout
    for odd in ["../budgets", f"{key_id}?x", ""]:
        assert gateway.cli("keys", "show", odd).returncode == 1
    twice = gateway.cli("keys", "create", "--name", "x", "--team", "search", "--settings", '{"team": "ads"}')
    assert twice.returncode == 1 and "is set twice: in --settings" in twice.stderr
    wrong = gateway.cli("keys", "list", LINTEL_ADMIN_TOKEN="")
    assert wrong.returncode == 1 and "admin token" in wrong.stderr
    assert gateway.process.stop() == 0
    # Without a running gateway, the same commands open the file.
    shown = json.loads(gateway.cli("keys", "show", key_id, running=False).stdout)
    assert shown["key"]["metadata"] == {"owner": "zoe"}
    assert {budget["settled_usd"] for budget in shown["budgets"]} == {"0.000032"}
    assert shown["budgets"][0]["limit_usd"] == "4.5", "both overrides are in the file"
    elsewhere = gateway.cli("usage", running=False, LINTEL__STORE__URL=f"sqlite:{tmp_path}/other.db")
    assert elsewhere.returncode == 1 and "there is no ledger at" in elsewhere.stderr
    second = gateway.cli("keys", "rotate", key_id, "--overlap", "0s", running=False).stdout.strip()
    gateway.start()
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key=secret, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        ask()
    client = openai.OpenAI(base_url=f"http://{gateway.data}/v1", api_key=second, max_retries=0)
    assert ask().choices
    assert gateway.cli("keys", "revoke", key_id).returncode == 0
    with pytest.raises(openai.AuthenticationError):
        ask()
    assert secret not in "".join(gateway.process.seen) and second not in "".join(gateway.process.seen)
    assert gateway.process.stop() == 0


def test_alerts_are_signed_and_retried_until_the_webhook_accepts(own_simulator, tmp_path):
    arrived, failures = queue.Queue(), [503]

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if failures:
                self.send_response(failures.pop())
            else:
                arrived.put((self.headers["x-lintel-signature"], body))
                self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    more = (
        f'[alerts]\nwebhook_url = "http://127.0.0.1:{hook.server_port}/hook"\nsecret_env = "CANARY_KEY"\n'
        '[budget]\nusd = 0.01\nper = "day"\nalert_at = [0.01]\nalert_request_usd = 0.0003\n'
    )
    gateway = Gateway(tmp_path, own_simulator, more=more)
    assert gateway.chat("[simulate words 40]")[0] == 200
    alerts = {}
    for _ in range(2):
        signature, body = arrived.get(timeout=PATIENCE)
        assert signature == "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
        alert = json.loads(body)
        alerts[alert["type"]] = alert
    assert alerts["budget_threshold"]["budget"] == "gateway/day"
    assert alerts["expensive_request"]["cost_usd"] == "0.000406"
    assert gateway.process.stop() == 0
    hook.shutdown()


def test_sigterm_settles_every_stream(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    # While another connection is open, SQLite itself does not checkpoint the log when the gateway exits.
    looks = sqlite3.connect(gateway.store)
    looks.execute("SELECT COUNT(*) FROM records").fetchone()
    with ThreadPoolExecutor(20) as pool:
        running = [pool.submit(gateway.chat, "[simulate words 40] [simulate pace 5ms]", stream=True) for _ in range(20)]
        until(lambda: len(invocations(own_simulator)) == 20)
        gateway.process.process.send_signal(signal.SIGTERM)
        assert all(one.result()[1].endswith(b"data: [DONE]\n\n") for one in running)
    assert gateway.process.process.wait(timeout=PATIENCE) == 0
    # Copies the file without its log, as an operator may do after a stop.
    copy = shutil.copy(gateway.store, tmp_path / "copy.db")
    looks.close()
    with sqlite3.connect(copy) as file:
        assert file.execute("SELECT COUNT(*), SUM(cost) FROM records WHERE kind = 'actual'").fetchone() == (
            20,
            billed(own_simulator),
        )


def test_one_paid_call_of_a_model_on_request(own_simulator, tmp_path):
    gateway = Gateway(tmp_path, own_simulator)
    try:
        done = gateway.cli("models", "--test", "priced", "--json")
        assert done.returncode == 0, done.stderr
        outcome = json.loads(done.stdout)
        assert (outcome["ok"], outcome["served_model"]) == (True, "amazon.nova-lite-v1:0")
        assert nano(outcome["cost_usd"]) > 0
        assert "served_model" in gateway.cli("models", "--test", "priced").stdout
        unknown = gateway.cli("models", "--test", "nobody")
        assert unknown.returncode == 1 and "No model 'nobody' is configured" in unknown.stderr
        offline = gateway.cli("models", "--test", "priced", running=False)
        assert offline.returncode == 1, offline.stdout
        by_key = json.loads(gateway.cli("usage", "--by", "key", "--json").stdout)
        assert [row["requests"] for row in by_key if row["key"] == "admin:test"] == [2]
    finally:
        gateway.process.stop()
