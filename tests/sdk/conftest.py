"""Runs the built binary as users do: `lintel simulate` and `lintel serve`, on free ports."""

import datetime
import ipaddress
import json
import os
import queue
import re
import subprocess
import threading
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = "sk-canary-5d41402abc4b2a76b9719d911017c592"
WIDE_KEY = "sk-canary-7d793037a0760186574b0282f2f435e7"
PATIENCE = 30

# LiteLLM would look for prices on the network when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

CONFIG = """
[server]
listen = "127.0.0.1:0"
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
[store]
url = "memory:"
[models.claude]
target = "us.anthropic.claude-sonnet-5-5"
[models.hidden]
target = "amazon.nova-lite-v1:0"
[models.hasty]
target = "amazon.nova-micro-v1:0"
timeout = "300ms"
[models.haiku]
target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
[models.task]
target = "claude"
[models.oss]
target = "openai.gpt-oss-20b-1:0"
api = "chat"
[models.gemma]
target = "google.gemma-4-31b"
api = "mantle"
[knowledge_bases.docs]
id = "LINTELDOCS"
[knowledge_bases.strict]
id = "MISSING000"
on_error = "fail"
[keys.canary]
secret_env = "CANARY_KEY"
knowledge_bases = ["docs"]
models = ["claude", "haiku", "hasty", "nobody"]
[keys.wide]
secret_env = "WIDE_KEY"
models = ["*"]
raw = true
knowledge_bases = ["*"]
"""


@dataclass
class Process:
    """A running program and its output lines."""

    process: subprocess.Popen
    lines: queue.Queue = field(default_factory=queue.Queue)
    seen: list = field(default_factory=list)

    @classmethod
    def start(cls, arguments, environment, **more):
        process = subprocess.Popen(
            [os.environ["LINTEL"], *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **more,
        )
        started = cls(process)
        threading.Thread(target=started._read, daemon=True).start()
        return started

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def wait_for(self, pattern):
        """Returns the match of the next line that matches the pattern."""
        while True:
            line = self.lines.get(timeout=PATIENCE)
            self.seen.append(line)
            if match := re.search(pattern, line):
                return match

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE)


@dataclass
class Gateway:
    process: Process
    base_url: str
    admin_url: str
    simulator_url: str
    key: str = KEY
    wide_key: str = WIDE_KEY

    def log_of(self, request_id):
        """Returns the access log line of a request."""
        match = self.process.wait_for(rf'^(?=.*"target":"lintel::access").*"request_id":"{request_id}".*$')
        return json.loads(match.group(0))


@pytest.fixture(scope="session")
def simulator():
    process = Process.start(["simulate", "--listen", "127.0.0.1:0"], {})
    yield process.wait_for(r"Bedrock is at (http://\S+)").group(1)
    process.stop()


@pytest.fixture(scope="session")
def gateway(simulator, tmp_path_factory):
    config = tmp_path_factory.mktemp("lintel") / "config.toml"
    config.write_text(CONFIG)
    environment = {
        "CANARY_KEY": KEY,
        "WIDE_KEY": WIDE_KEY,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": simulator,
        "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": simulator,
        "AWS_ENDPOINT_URL_BEDROCK_MANTLE": f"{simulator}/mantle",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
        "RUST_LOG": "trace",
    }
    process = Process.start(["serve", "--config", str(config)], environment)
    match = process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"')
    yield Gateway(process, f"http://{match.group(1)}/v1", f"http://{match.group(2)}", simulator)
    assert process.stop() == 0, "a drained gateway exits with 0"
    while not process.lines.empty():
        process.seen.append(process.lines.get())
    leaked = [line for line in process.seen if KEY in line or WIDE_KEY in line]
    assert not leaked, "the key appears in the log at the most verbose level"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Writes a certificate for the loopback address and its key. Returns their paths."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lintel")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    pkcs8, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, none))
    return cert_file, key_file


@pytest.fixture(scope="session")
def secure(simulator, certificate, tmp_path_factory):
    """A gateway with TLS."""
    cert_file, key_file = certificate
    tls = f'[server]\nheader_timeout = "2s"\ntls = {{ cert_file = "{cert_file}", key_file = "{key_file}" }}'
    config = tmp_path_factory.mktemp("lintel") / "config.toml"
    config.write_text(CONFIG.replace("[server]", tls))
    environment = {
        "CANARY_KEY": KEY,
        "WIDE_KEY": WIDE_KEY,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": simulator,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
    }
    process = Process.start(["serve", "--config", str(config)], environment)
    match = process.wait_for(r'"message":"serving".*"data":"([^"]+)","admin":"([^"]+)"')
    yield Gateway(process, f"https://{match.group(1)}/v1", f"http://{match.group(2)}", simulator)
    # HTTP/2 connections that a test left open do not delay the shutdown beyond `drain_timeout`.
    assert process.stop() == 0
