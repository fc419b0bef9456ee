"""Members that keep their data in files: kill -9, restarts, and directories that cannot be used."""
import contextlib
import os
import random
import socket
import subprocess
import threading

import bson.json_util
import pymongo
import pytest
from conftest import PROGRAM, Process, ReplicaSet, close_client, eventually, free_port


class FileSet(ReplicaSet):
    """A set whose members have a directory each."""

    def __init__(self, directory, count=3, name="rs0", arguments=()):
        super().__init__(0, name)
        from conftest import Member

        self.members = [
            Member(index, name, ("--data", str(directory / f"m{index}"), *arguments)) for index in range(count)
        ]
        for member in self.members:
            member.start()


@pytest.fixture
def file_set(tmp_path):
    replica_set = FileSet(tmp_path)
    replica_set.initiate()
    yield replica_set
    replica_set.close()


def free_ports(count):
    """The first of so many ports in a row that nobody listens on."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + count):
                    probe = probes.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
        return first


def start_node(directory, *arguments, port=0, environment=None):
    return Process(
        "node", "--port", port, "--data", directory, "--log-level", "info", *arguments,
        ready=r"mongodb://127\.0\.0\.1:(\d+)/", environment=environment)


def client_of(process):
    return pymongo.MongoClient("127.0.0.1", int(process.match.group(1)), directConnection=True)


def refusal(*arguments):
    """How the program ends that cannot start: its status, and the one line that it says."""
    ended = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("quorate: ")]
    assert len(lines) == 1, ended.stderr
    return ended.returncode, lines[0]


def test_a_standalone_finds_everything_again(tmp_path):
    process = start_node(tmp_path / "data")
    client = client_of(process)
    things = client.test.things
    things.create_index([("n", -1), ("word", 1)], name="by_n")
    things.create_index("word", unique=True, sparse=True)
    client.test.create_collection("capped", capped=True, size=100_000, max=50)
    client.test.create_collection("checked", validator={"n": {"$gt": 0}})
    things.insert_many([{"_id": i, "n": i % 100, "word": f"w{i}", "bulk": b"x" * 1000} for i in range(20_000)])
    things.update_many({"n": 7}, {"$set": {"seven": True}, "$inc": {"m": 2}})
    things.delete_many({"n": {"$lt": 5}})
    client.test.capped.insert_many([{"i": i} for i in range(80)])
    client.test.drop_me.insert_one({})
    client.test.drop_collection("drop_me")
    before = client.test.command("dbHash")["collections"]
    close_client(client)
    assert process.stop() == 0

    process = start_node(tmp_path / "data")
    client = client_of(process)
    assert client.test.command("dbHash")["collections"] == before
    client.test.things.delete_many({"n": 50})
    # An acknowledged write with j takes along what was written before it.
    client.test.get_collection("last", write_concern=pymongo.WriteConcern(j=True)).insert_one({"_id": 1})
    before = client.test.command("dbHash")["collections"]
    close_client(client)
    process.kill()

    process = start_node(tmp_path / "data")
    client = client_of(process)
    assert client.test.command("dbHash")["collections"] == before
    assert client.test.command("validate", "things")["valid"]
    assert set(client.test.things.index_information()) == {"_id_", "by_n", "word_1"}
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        client.test.things.insert_one({"_id": 6})
    with pytest.raises(pymongo.errors.WriteError):
        client.test.checked.insert_one({"n": 0})
    assert client.test.capped.count_documents({}) == 50
    assert client.admin.command("serverStatus")["storageEngine"]["name"] == "file"
    process.stop()


def test_a_set_in_one_process_is_found_as_it_was(tmp_path):
    port = free_ports(3)
    arguments = ("up", "replica-set", "--port", port, "--data", tmp_path / "set")
    up = Process(*arguments, ready=r"ready: (mongodb://\S+)")
    client = pymongo.MongoClient(up.match.group(1))
    client.test.things.with_options(write_concern=pymongo.WriteConcern("majority")).insert_many(
        [{"_id": i} for i in range(5000)])
    config = client.admin.command("replSetGetConfig")["config"]
    close_client(client)
    assert up.stop() == 0
    up = Process(*arguments, ready=r"ready: (mongodb://\S+)")
    client = pymongo.MongoClient(up.match.group(1))
    assert client.test.things.count_documents({}) == 5000
    again = client.admin.command("replSetGetConfig")["config"]
    assert again["settings"]["replicaSetId"] == config["settings"]["replicaSetId"]
    assert [member["host"] for member in again["members"]] == [member["host"] for member in config["members"]]
    close_client(client)
    up.stop()


def test_an_oplog_keeps_the_size_that_it_was_given(tmp_path):
    file_set = FileSet(tmp_path, count=1, arguments=("--oplog-size", "8"))
    try:
        file_set.initiate()
        member = file_set.members[0]
        assert member.direct.local.command("collStats", "oplog.rs")["maxSize"] == 8 << 20
        assert member.direct.admin.command("replSetResizeOplog", 1, size=3.0)["ok"]
        assert member.direct.admin.command("replSetResizeOplog", 1, minRetentionHours=0.5)["ok"]
        assert member.direct.admin.command("serverStatus")["oplog"]["minRetentionHours"] == 0.5
        assert member.direct.local.command("collStats", "oplog.rs")["maxSize"] == 3 << 20
        member.kill()
        member.start()
        member.forget_connections()
        assert member.direct.local.command("collStats", "oplog.rs")["maxSize"] == 3 << 20
        file_set.wait_until_healthy()
        things = member.direct.test.things

        def fill(first):
            for start in range(first, first + 4000, 200):
                things.insert_many([{"_id": i, "noise": os.urandom(2000)} for i in range(start, start + 200)])

        # Told to keep half an hour, it keeps that whatever the size; in later runs, too.
        assert member.direct.admin.command("serverStatus")["oplog"]["minRetentionHours"] == 0.5
        fill(0)
        assert member.direct.local.command("collStats", "oplog.rs")["storageSize"] > 7 << 20
        assert member.direct.admin.command("replSetResizeOplog", 1, minRetentionHours=0)["ok"]
        fill(10_000)
        # The newest piece may stand out.
        assert member.direct.local.command("collStats", "oplog.rs")["storageSize"] < 5 << 20
    finally:
        file_set.close()


def test_one_of_three_comes_back_without_a_new_clone(file_set):
    client = file_set.client()
    things = client.test.get_collection("things", write_concern=pymongo.WriteConcern("majority"))
    things.insert_many([{"_id": i, "text": "x" * 200} for i in range(10_000)])
    victim = file_set.secondaries[0]
    version = file_set.primary.command("replSetGetConfig")["config"]["version"]
    victim.kill()
    things.insert_many([{"_id": 10_000 + i} for i in range(1000)])
    victim.start()
    file_set.wait_until_healthy()
    victim.forget_connections()
    file_set.wait_for_equal_data("test")
    assert "initial sync" not in victim.process.errors()
    assert file_set.primary.command("replSetGetConfig")["config"]["version"] == version
    assert victim.direct.test.command("validate", "things")["valid"]


def test_the_whole_set_killed_at_once_keeps_what_a_majority_acknowledged(file_set):
    seed = random.Random(1)
    acknowledged = set()
    for round_number in range(3):
        client = file_set.client(retryWrites=False, connectTimeoutMS=1000, serverSelectionTimeoutMS=1000)
        things = client.test.get_collection("things", write_concern=pymongo.WriteConcern("majority", wtimeout=5000))
        stop = threading.Event()
        lock = threading.Lock()

        def write(number):
            count = 0
            while not stop.is_set():
                name = f"{round_number}-{number}-{count}"
                count += 1
                try:
                    things.insert_one({"_id": name, "bulk": "x" * 300})
                except pymongo.errors.PyMongoError:
                    continue
                with lock:
                    acknowledged.add(name)

        before = len(acknowledged)
        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        goal = before + seed.randrange(200, 600)
        eventually(lambda: len(acknowledged) >= goal, 60, "writes")
        for member in file_set.members:
            member.kill()
        stop.set()
        for writer in writers:
            writer.join()
        for member in file_set.members:
            member.start()
            member.forget_connections()
        file_set.wait_until_healthy(60)
        found = {document["_id"] for document in file_set.primary.direct.test.things.find()}
        assert acknowledged <= found
        file_set.wait_for_equal_data("test")


def test_a_member_that_was_killed_has_another_rollback_id_before_anybody_can_ask(tmp_path):
    """What it had not synced may be gone, and others may have cloned it: a rollback that nobody has announced."""
    def stored(member):
        status, out, err = storage("dump", tmp_path / f"m{member.index}", "local.system.rollback.id")
        assert status == 0, err
        return bson.json_util.loads(out)["rollbackId"]

    def shown(member):
        member.forget_connections()
        return member.direct.local["system.rollback.id"].find_one()["rollbackId"]

    file_set = FileSet(tmp_path, arguments=("--set", "file.journal-commit-interval=500"))
    try:
        file_set.initiate()
        victim = file_set.primary
        before = shown(victim)
        things = victim.direct.test.get_collection("things", write_concern=pymongo.WriteConcern(1))
        things.insert_many([{"_id": i, "bulk": "x" * 500} for i in range(2000)])
        victim.kill()
        # It is raised when it listens, and in the journal: it is not shown again after another kill.
        victim.start()
        victim.kill()
        raised = stored(victim)
        assert raised > before
        victim.start()
        again = shown(victim)
        assert again > raised
        file_set.wait_until_healthy()
        file_set.wait_for_equal_data("test")
        # Who stops in order loses nothing.
        victim.forget_connections()
        assert victim.stop() == 0
        assert stored(victim) == again
        victim.start()
        assert shown(victim) == again
        file_set.wait_until_healthy()
    finally:
        file_set.close()


def test_two_members_cannot_have_one_directory(tmp_path):
    process = start_node(tmp_path / "data")
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data")
    assert status == 64 and "is in use" in line
    process.stop()


def test_directories_that_cannot_be_used_are_left_alone(tmp_path):
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "photo.jpg").write_bytes(b"x")
    status, line = refusal("node", "--port", 0, "--data", strange)
    assert status == 64 and "not a data directory" in line and "photo.jpg" in line
    a_file = tmp_path / "file"
    a_file.write_text("x")
    status, line = refusal("node", "--port", 0, "--data", a_file)
    assert status == 64 and str(a_file) in line

    process = start_node(tmp_path / "data", "--replset", "rs0")
    client = client_of(process)
    client.admin.command("replSetInitiate")
    close_client(client)
    process.stop()
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", "--replset", "other")
    assert status == 64 and "'rs0'" in line
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data")
    assert status == 64 and "--replset rs0" in line

    manifest = tmp_path / "data" / "manifest"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", "--replset", "rs0")
    assert status == 64 and "manifest is damaged" in line
    manifest.unlink()
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", "--replset", "rs0")
    assert status == 64 and "no manifest" in line


def storage(*arguments):
    ended = subprocess.run([PROGRAM, "storage", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_directory_can_be_looked_at_while_nobody_uses_it(tmp_path):
    directory = tmp_path / "data"
    process = start_node(directory)
    client = client_of(process)
    client.test.things.create_index("n")
    client.test.things.insert_many([{"_id": i, "n": i % 10, "text": "x" * 500} for i in range(3000)])
    status, out, err = storage("check", directory)
    assert status == 1 and "is in use" in err
    close_client(client)
    process.kill()

    def files_now():
        return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "lock"}

    files = files_now()
    status, out, err = storage("check", directory)
    assert status == 0, err
    assert "ok   test.things: 3000 documents, 2 indexes" in out
    status, out, err = storage("stats", directory)
    assert status == 0 and "test.things: 3000 documents" in out and "replayedBatches" in out
    status, out, err = storage("dump", directory, "test.things")
    lines = out.splitlines()
    assert status == 0 and len(lines) == 3000 and '"$numberInt"' in lines[0] and lines[2999].count("x" * 500) == 1
    assert storage("dump", directory, "test.nothing")[0] == 64
    assert files_now() == files, "something was changed"

    # A bit turns in what a checkpoint has written.
    process = start_node(directory)
    process.stop()
    run = next((directory / "runs").iterdir())
    content = bytearray(run.read_bytes())
    content[len(content) // 2] ^= 4
    run.write_bytes(content)
    status, out, err = storage("check", directory)
    assert status == 1 and f"{run} is damaged at byte" in err
    status, line = refusal("node", "--port", 0, "--data", directory)
    assert status == 64 and f"{run} is damaged at byte" in line
