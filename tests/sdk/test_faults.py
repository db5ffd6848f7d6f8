"""Faults of docs/faults.md that need a process of their own. Each name begins with the number of the row."""

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
