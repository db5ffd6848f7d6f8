"""Faults of docs/faults.md that need a process of their own. Each name begins with the number of the row."""

import json
import os
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

from conftest import PATIENCE
from test_ledger import Gateway, invocations, own_simulator, until  # noqa: F401


def test_row_73_second_sigterm_ends_the_process_at_once_and_keeps_the_ledger(own_simulator, tmp_path):  # noqa: F811
    gateway = Gateway(tmp_path, own_simulator)
    assert gateway.chat("Hi")[0] == 200
    settled, _ = gateway.settled()
    with ThreadPoolExecutor(1) as pool:
        # The stream would run for ten minutes.
        cut = pool.submit(gateway.chat, "[simulate words 40] [simulate pace 15s]", stream=True)
        until(lambda: len(invocations(own_simulator)) == 2)
        for line in ["shutting down", "second signal"]:
            gateway.process.process.send_signal(signal.SIGTERM)
            gateway.process.wait_for(line)
        # Every request that was accepted has its line in the access log.
        line = json.loads(gateway.process.wait_for(r'^.*"target":"lintel::access".*$').group(0))
        assert (line["route"], line["key_id"], line["stream"]) == ("/v1/chat/completions", "app", True)
        assert line["error_code"] == "shutting_down" and float(line["cost_usd"]) > 0
        assert gateway.process.process.wait(timeout=PATIENCE) == 1
        assert cut.exception(timeout=PATIENCE) or b"[DONE]" not in cut.result()[1]
    gateway.start()
    after, reserved = gateway.settled()
    assert after > settled and reserved == 0, "the call that was cut is presumed spend"
    gateway.process.stop()


def test_row_102_streams_go_on_without_file_descriptors(own_simulator, tmp_path):  # noqa: F811
    gateway = Gateway(tmp_path, own_simulator)
    process = gateway.process.process.pid
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(gateway.chat, "[simulate words 40] [simulate pace 25ms]", stream=True)
        until(lambda: len(invocations(own_simulator)) == 1)
        used = max(int(name) for name in os.listdir(f"/proc/{process}/fd")) + 1
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 2, limits[1]))
        host, port = gateway.data.split(":")
        crowd = [socket.create_connection((host, int(port))) for _ in range(50)]
        gateway.process.wait_for("cannot accept a connection")
        status, text = stream.result(timeout=PATIENCE)
        assert status == 200 and text.endswith(b"data: [DONE]\n\n")
    for one in crowd:
        one.close()
    assert gateway.chat("Hi")[0] == 200, "descriptors that are free again are used"
    gateway.process.stop()


def test_row_28_crowd_that_connects_at_once_waits_in_the_backlog(own_simulator, tmp_path, monkeypatch):  # noqa: F811
    # The last request may arrive before the gateway has seen that the crowd has gone.
    monkeypatch.setenv("LINTEL__SERVER__MAX_CONNECTIONS_PER_ADDRESS", "10000")
    gateway = Gateway(tmp_path, own_simulator)
    host, port = gateway.data.split(":")
    somaxconn = int(open("/proc/sys/net/core/somaxconn").read())
    # More than the usual backlog of 1024. Beyond the backlog, the kernel drops the first packet of a connection.
    count = min(4000, somaxconn)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pid = gateway.process.process.pid
    os.kill(pid, signal.SIGSTOP)
    crowd = []
    try:
        for _ in range(count):
            # Less than the second after which the kernel would try again.
            crowd.append(socket.create_connection((host, int(port)), timeout=0.9))
    finally:
        os.kill(pid, signal.SIGCONT)
        for one in crowd:
            one.close()
    assert len(crowd) == count and count > 1024
    assert gateway.chat("Hi")[0] == 200
    gateway.process.stop()
