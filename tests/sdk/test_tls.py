"""Official clients over TLS, with HTTP/2 and HTTP/1.1, and clients that abuse HTTP/2."""

import json
import os
import pathlib
import socket
import ssl
import subprocess
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httpx
import openai
import pytest
from conftest import PATIENCE
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

HELLO = {"model": "claude", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_openai_sdk_for_python(secure, certificate, http2, version):
    versions = []
    context = ssl.create_default_context(cafile=certificate[0])
    hooks = {"response": [lambda response: versions.append(response.http_version)]}
    with httpx.Client(http2=http2, verify=context, event_hooks=hooks, timeout=PATIENCE) as transport:
        client = openai.OpenAI(base_url=secure.base_url, api_key=secure.key, http_client=transport, max_retries=0)
        completion = client.chat.completions.create(**HELLO)
        assert completion.choices[0].message.content == "You said: Hello there"
        chunks = list(client.chat.completions.create(**HELLO, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Hello there"
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**HELLO, "model": "nope"})
    assert versions == [version] * 3


def test_openai_sdk_for_node(secure, certificate):
    environment = {"BASE_URL": secure.base_url, "API_KEY": secure.key, "NODE_EXTRA_CA_CERTS": str(certificate[0])}
    file = pathlib.Path(os.environ["SDK_NODE"]) / "tls.test.mjs"
    command = [os.environ["NODE"], "--test", "--test-reporter=spec", file]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout


@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
@pytest.mark.parametrize("stream", [False, True])
def test_curl(secure, certificate, option, version, stream):
    command = ["curl", "--silent", "--show-error", "--no-buffer", option, "--cacert", str(certificate[0])]
    command += ["--header", f"authorization: Bearer {secure.key}", "--json", json.dumps({**HELLO, "stream": stream})]
    command += ["--write-out", "\n%{http_code} %{http_version}", f"{secure.base_url}/chat/completions"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    body, status = done.stdout.rsplit("\n", 1)
    assert status == f"200 {version}"
    assert ("data: [DONE]" if stream else "You said: Hello there") in body


class Abuser:
    """A client of HTTP/2 that sends frames as it likes."""

    def __init__(self, gateway, certificate):
        self.host, port = gateway.base_url.removeprefix("https://").removesuffix("/v1").split(":")
        context = ssl.create_default_context(cafile=certificate[0])
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection((self.host, int(port)), timeout=PATIENCE)
        self.socket = context.wrap_socket(raw, server_hostname=self.host)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.key = gateway.key
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))

    def start(self, **settings):
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings({getattr(h2.settings.SettingCodes, name): value for name, value in settings.items()})
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def headers(self, method="POST", path="/v1/chat/completions"):
        required = [(":method", method), (":path", path), (":scheme", "https"), (":authority", self.host)]
        return [*required, ("authorization", f"Bearer {self.key}")]

    def request(self, **more):
        """Sends a whole request. Returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [*self.headers(), ("content-type", "application/json")])
        self.h2.send_data(stream, json.dumps({**HELLO, **more}).encode(), end_stream=True)
        self.flush()
        return stream

    def receive(self):
        """Returns the next events, or `None` once the connection has ended."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return None
        return self.h2.receive_data(data) if data else None

    def floods(self, frames, most):
        """Sends frames again and again. Returns whether the gateway ended the connection before `most` bytes."""
        sent = 0
        try:
            while sent < most:
                self.socket.sendall(frames)
                sent += len(frames)
        except (ConnectionError, ssl.SSLError):
            return True
        return False

    def is_ended(self):
        """Reads until the gateway ends the connection. Returns whether it does in time."""
        self.socket.settimeout(PATIENCE)
        try:
            while events := self.receive():
                if any(isinstance(event, h2.events.ConnectionTerminated) for event in events):
                    return True
        except TimeoutError:
            return False
        return True


@pytest.fixture
def abuser(secure, certificate):
    client = Abuser(secure, certificate)
    yield client
    client.socket.close()
    # Others were, and are, served.
    assert_others_are_served(secure, certificate)


def assert_others_are_served(secure, certificate):
    context = ssl.create_default_context(cafile=certificate[0])
    with httpx.Client(http2=True, verify=context, timeout=5) as client:
        headers = {"authorization": f"Bearer {secure.key}"}
        response = client.post(f"{secure.base_url}/chat/completions", json=HELLO, headers=headers)
    assert (response.status_code, response.http_version) == (200, "HTTP/2")


def metric(gateway, name):
    """Returns the sum of a metric over its labels. The page is rendered at most once a second."""
    lines = httpx.get(f"{gateway.admin_url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_rapid_resets_end_the_connection(abuser):
    abuser.start()
    frames = b""
    for stream in range(1, 2001, 2):
        headers = HeadersFrame(stream, data=abuser.h2.encoder.encode(abuser.headers()), flags=["END_HEADERS"])
        frames += headers.serialize() + RstStreamFrame(stream, error_code=8).serialize()
    abuser.floods(frames, most=1)
    assert abuser.is_ended()


def test_endless_headers_end_the_connection(secure, certificate, abuser):
    abuser.start()
    # Never the end of the headers (CVE-2024-27316).
    abuser.socket.sendall(HeadersFrame(1, data=abuser.h2.encoder.encode(abuser.headers())).serialize())
    assert_others_are_served(secure, certificate)
    literal = b"\x00\x01a\x7f\x80\x7e" + b"b" * 255
    continuation = ContinuationFrame(1, data=literal * 60).serialize()
    assert abuser.floods(continuation, most=64 << 20) or abuser.is_ended()


@pytest.mark.parametrize("frame", [SettingsFrame(0), PingFrame(0, opaque_data=b"12345678")])
def test_floods_of_control_frames_are_bounded(secure, certificate, abuser, frame):
    abuser.start()
    before, served = metric(secure, "process_resident_memory_bytes"), metric(secure, "lintel_http_requests_total")
    # The gateway reads no more frames than it can answer, and this client does not read the answers.
    abuser.socket.settimeout(1)
    try:
        abuser.floods(frame.serialize() * 1000, most=64 << 20)
    except TimeoutError:
        pass
    assert_others_are_served(secure, certificate)
    # A page from after the flood.
    wait_until(lambda: metric(secure, "lintel_http_requests_total") > served)
    assert metric(secure, "process_resident_memory_bytes") - before < 32 << 20


def test_clients_that_open_no_window_are_cut_off_alone(secure, certificate, abuser):
    abuser.start(INITIAL_WINDOW_SIZE=0)
    text = "one [simulate words 1000]"
    for _ in range(10):
        abuser.request(messages=[{"role": "user", "content": text}], stream=True)
    wait_until(lambda: metric(secure, "lintel_inflight_streams") >= 1)
    assert_others_are_served(secure, certificate)
    abuser.socket.close()
    wait_until(lambda: metric(secure, "lintel_inflight_requests") == 0)


def test_more_streams_than_allowed_are_refused(secure, certificate, abuser):
    abuser.start()
    settings = []
    while not settings:
        events = abuser.receive()
        settings = [event for event in events if isinstance(event, h2.events.RemoteSettingsChanged)]
    assert abuser.h2.remote_settings.max_concurrent_streams == 100
    for _ in range(100):
        abuser.request(messages=[{"role": "user", "content": "one [simulate slow 1s]"}])
    with pytest.raises(h2.exceptions.TooManyStreamsError):
        abuser.request()
