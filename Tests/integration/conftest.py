"""Starts the real program for the tests: one standalone a session, replica sets as a test asks for them."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

import pymongo
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("QUORATE", str(ROOT / ".build/release/quorate"))
READY_SECONDS = 20


class Process:
    """One run of the program, started and stopped by the test that uses it."""

    def __init__(self, *arguments, ready):
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.lines = []
        self.ready = threading.Event()
        self.pattern = re.compile(ready)
        self.match = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.ready.wait(READY_SECONDS):
            self.kill()
            raise AssertionError(f"not ready in {READY_SECONDS} s: {self.lines} {self.errors()}")
        if self.match is None:
            raise AssertionError(f"ended before it was ready: {self.lines} {self.errors()}")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            match = self.pattern.search(line)
            if match and not self.ready.is_set():
                self.match = match
                self.ready.set()
        self.ready.set()

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """Asks it to stop; returns its exit status and how long it took in seconds."""
        started = time.monotonic()
        self.process.terminate()
        status = self.process.wait(10)
        return status, time.monotonic() - started


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def standalone_process():
    process = Process("node", "--port", 0, "--set", "enableTestCommands=1", ready=r"mongodb://127\.0\.0\.1:(\d+)/")
    yield process
    assert process.process.poll() is None, f"the standalone died: {process.errors()}"
    process.stop()


@pytest.fixture(scope="session")
def standalone(standalone_process):
    client = pymongo.MongoClient("127.0.0.1", int(standalone_process.match.group(1)), directConnection=True)
    yield client
    client.close()


@pytest.fixture
def database(standalone, request):
    """An empty database named after the test."""
    name = re.sub(r"\W", "_", request.node.name)[:60]
    standalone.drop_database(name)
    yield standalone[name]
    standalone.drop_database(name)
