"""Starts the real program for the tests: one standalone a session, replica sets as a test asks for them."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import zlib

import pymongo
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("QUORATE", str(ROOT / ".build/release/quorate"))
# The storage that nodes are given which do not name one.
STORAGE = os.environ.get("QUORATE_STORAGE")
# Whether that needs a directory: a process has one of its own, which goes with it; a member keeps its own.
KEEPS_FILES = STORAGE in ("file", "rocksdb")
READY_SECONDS = 20


def close_client(client):
    """Closes a client whose servers may be gone: it does not look for them for long, to end its sessions."""
    with pymongo.timeout(0.2):
        client.close()


class Process:
    """One run of the program, started and stopped by the test that uses it."""

    def __init__(self, *arguments, ready, environment=None):
        if STORAGE and arguments[0] in ("node", "up") and "--storage" not in arguments:
            arguments = (*arguments, "--storage", STORAGE)
            if KEEPS_FILES and "--data" not in arguments:
                self.directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                arguments = (*arguments, "--data", self.directory.name)
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, **(environment or {})}
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
        # The program writes where this file stands: its place must not be moved.
        number = self.log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """Asks it to stop; returns its exit status."""
        self.process.terminate()
        return self.process.wait(30)


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, seconds=30, what=None):
    """Asks again and again until the answer is true, and returns it; fails when the time is over.

    An assertion that fails in the condition, or an error of the driver, means: not yet. `seconds` keeps a test that
    fails from hanging and is no part of what is tested: never shorten it to prove that something is fast."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer, problem = condition(), None
        except (pymongo.errors.PyMongoError, AssertionError) as error:
            answer, problem = None, error
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition} (last answer {answer!r}, {problem!r})")
        time.sleep(0.005)


def code_of(call, *arguments, **options):
    """The code of the error that the command is refused with."""
    with pytest.raises((pymongo.errors.OperationFailure, pymongo.errors.NotPrimaryError)) as caught:
        call(*arguments, **options)
    return caught.value.details["code"]


class Member:
    """The place of one member of a set, through kills and restarts of its process."""

    def __init__(self, index, set_name, arguments=()):
        self.index = index
        self.set_name = set_name
        self.arguments = arguments
        self.environment = None
        if KEEPS_FILES and "--data" not in arguments and "--storage" not in arguments:
            self.directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self.arguments = (*arguments, "--data", self.directory.name)
        self.port = 0
        self.process = None
        self.is_paused = False
        self.direct_client = None
        self.earlier_errors = ""

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self):
        return self.process is not None and self.process.process.poll() is None

    def start(self):
        self.process = Process(
            "node", "--replset", self.set_name, "--port", self.port, "--log-level", "info",
            "--set", "enableTestCommands=1",
            *self.arguments, ready=r"mongodb://127\.0\.0\.1:(\d+)/", environment=self.environment)
        self.port = int(self.process.match.group(1))

    def kill(self):
        """Ends it as a power cut of its process would."""
        self.process.kill()
        self.earlier_errors += self.process.errors()
        self.process = None
        self.is_paused = False

    def stop(self):
        """Asks it to stop in good order; returns its exit status."""
        result = self.process.stop()
        self.earlier_errors += self.process.errors()
        self.process = None
        return result

    def pause(self):
        self.process.signal(signal.SIGSTOP)
        # The signal is on its way for a moment, time enough to acknowledge something.
        os.waitid(os.P_PID, self.process.process.pid, os.WSTOPPED | os.WNOWAIT)
        self.is_paused = True

    def resume(self):
        if self.is_paused and self.is_running:
            self.process.signal(signal.SIGCONT)
        self.is_paused = False

    @property
    def direct(self):
        """A client of this member alone."""
        if self.direct_client is None:
            self.direct_client = pymongo.MongoClient(
                *self.address, directConnection=True, serverSelectionTimeoutMS=5000, socketTimeoutMS=20000)
        return self.direct_client

    def command(self, *command, **arguments):
        return self.direct.admin.command(*command, **arguments)

    def hello(self):
        return self.command("hello")

    def log(self):
        return self.earlier_errors + (self.process.errors() if self.process else "")

    def forget_connections(self):
        """The driver takes a connection to be to what its first hello said: a member without a set."""
        if self.direct_client is not None:
            close_client(self.direct_client)
            self.direct_client = None

    def close(self):
        self.forget_connections()
        if self.is_running:
            self.kill()


class ReplicaSet:
    """A replica set of real processes."""

    FAST = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
    # Nothing happens because a timeout has passed: what happens within `SOON` seconds has not waited for one.
    PATIENT = {"electionTimeoutMillis": 120_000, "heartbeatIntervalMillis": 2000}
    SOON = 60

    def __init__(self, count=3, name="rs0", arguments=()):
        self.name = name
        self.members = [Member(index, name, arguments) for index in range(count)]
        self.clients = []
        for member in self.members:
            member.start()

    def config(self, settings=None, **changes):
        """The configuration to initiate with. `changes` maps `m0`, `m1`, … to further fields of those members."""
        return {
            "_id": self.name,
            "members": [
                {"_id": member.index, "host": member.host, **changes.get(f"m{member.index}", {})}
                for member in self.members
            ],
            "settings": {**self.FAST, **(settings or {})},
        }

    def initiate(self, config=None):
        reply = self.members[0].command({"replSetInitiate": config or self.config()})
        self.wait_until_healthy()
        for member in self.members:
            member.forget_connections()
        return reply

    def reconfigure(self, change, **options):
        """Has the primary change the configuration by `change`; returns the version that it asked for."""
        primary = self.primary
        config = primary.command("replSetGetConfig")["config"]
        change(config)
        config["version"] += 1
        assert primary.command({"replSetReconfig": config, **options})["ok"] == 1
        return config["version"]

    @property
    def uri(self):
        return f"mongodb://{','.join(member.host for member in self.members)}/?replicaSet={self.name}"

    def client(self, uri=None, **options):
        """A client of the set, closed with it."""
        options = {"serverSelectionTimeoutMS": 10000, **options}
        client = pymongo.MongoClient(uri or self.uri, **options)
        self.clients.append(client)
        return client

    def find_primary(self):
        for member in self.members:
            if member.is_running and not member.is_paused and member.hello().get("isWritablePrimary"):
                return member
        return None

    @property
    def primary(self):
        return eventually(self.find_primary, what="a primary")

    @property
    def secondaries(self):
        primary = self.primary
        return [member for member in self.members if member is not primary and member.is_running]

    def member_at(self, address):
        return next(member for member in self.members if member.address == tuple(address))

    def status(self):
        return self.primary.command("replSetGetStatus")

    def is_healthy(self):
        """One primary, all others secondaries with a vote, all in one configuration."""
        primary = self.find_primary()
        if primary is None:
            return False
        config = primary.command("replSetGetConfig")["config"]
        status = primary.command("replSetGetStatus")
        # A member that came back empty has lost its vote until its initial sync is through.
        counted = sum(1 for member in config["members"] if member.get("votes", 1) > 0)
        return (
            status["votingMembersCount"] == counted
            and all(member["health"] == 1 for member in status["members"])
            and all(member["state"] in (1, 2, 7) for member in status["members"])
            and len({(member["configVersion"], member["configTerm"]) for member in status["members"]}) == 1
            and all(member.hello().get("primary") == primary.host for member in self.members)
        )

    def wait_until_healthy(self, seconds=20):
        eventually(self.is_healthy, seconds, "a healthy set")

    def mend(self):
        """Whatever a test did: everybody runs again and takes part."""
        restarted = []
        for member in self.members:
            member.resume()
            if member.process is None:
                member.start()
                restarted.append(member)
            assert member.is_running, f"member {member.index} died: {member.log()[-4000:]}"
            with contextlib.suppress(pymongo.errors.OperationFailure, pymongo.errors.AutoReconnect):
                member.command("replSetFreeze", 0)
        self.wait_until_healthy()
        for member in restarted:
            member.forget_connections()

    def step_down(self, seconds=60):
        """Makes the primary step down; returns it when another one takes writes."""
        old = self.primary
        old.command("replSetStepDown", seconds)
        eventually(lambda: self.find_primary() not in (None, old), what="another primary")
        return old

    def wait_for_equal_data(self, database, seconds=10):
        """Every member has the same documents and the same collections; returns their common hash."""

        def hashes():
            answers = [member.direct[database].command("dbHash") for member in self.members if member.is_running]
            return {(answer["md5"], tuple(sorted(answer["collections"].items()))) for answer in answers}

        eventually(lambda: len(hashes()) == 1, seconds, f"equal dbHash of {database}")
        return hashes().pop()

    def close(self):
        for client in self.clients:
            close_client(client)
        for member in self.members:
            member.close()


class ReplicaSetInOneProcess:
    """`quorate up replica-set`, told apart from outside only by its members' process id."""

    def __init__(self, *arguments):
        self.process = Process("up", "replica-set", "--port", 0, *arguments, ready=r"ready: (mongodb://\S+)")
        self.uri = self.process.match.group(1)
        self.clients = []

    def client(self, **options):
        client = pymongo.MongoClient(self.uri, **{"serverSelectionTimeoutMS": 10000, **options})
        self.clients.append(client)
        return client

    def close(self):
        for client in self.clients:
            close_client(client)
        return self.process.stop()


@pytest.fixture(scope="module")
def module_replica_set():
    replica_set = ReplicaSet()
    try:
        replica_set.initiate()
        yield replica_set
    finally:
        replica_set.close()


@pytest.fixture
def replica_set(module_replica_set):
    """Three processes, one a member, mended before each test. The set is the module's: use a database of your own."""
    module_replica_set.mend()
    yield module_replica_set
    for member in module_replica_set.members:
        assert member.process is None or member.is_running, f"member {member.index} died: {member.log()[-4000:]}"


@pytest.fixture
def make_replica_set():
    """Starts sets that belong to one test; not initiated yet."""
    made = []

    def make(count=3, **arguments):
        made.append(ReplicaSet(count, **arguments))
        return made[-1]

    yield make
    for replica_set in made:
        replica_set.close()


@pytest.fixture(scope="module")
def replica_set_in_one_process():
    replica_set = ReplicaSetInOneProcess()
    yield replica_set
    assert replica_set.close() == 0


@pytest.fixture
def database_name(request):
    """A database name of the test's own: names are cut at 63 bytes, and tests differ in their ends."""
    return re.sub(r"\W", "_", request.node.name)[:50] + f"_{zlib.crc32(request.node.name.encode()):08x}"


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
