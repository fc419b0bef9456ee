"""quorate backup: a running member, copied as it was at one point in time, and made a set of its own."""
import os
import random
import shutil
import signal
import subprocess
import threading

import bson
import pymongo
import pytest
from conftest import PROGRAM, Process, close_client, eventually
from test_file_storage import FileSet, client_of, free_ports, refusal, start_node

SIZE = int(os.environ.get("BACKUP_DOCUMENTS", "60000"))


def backup(*arguments):
    """Runs it to its end; returns its status and what it says."""
    ended = subprocess.run(
        [PROGRAM, "backup", *map(str, arguments)], capture_output=True, text=True, timeout=600)
    return ended.returncode, ended.stdout, ended.stderr


def restore(directory, *arguments, port=0):
    process = start_node(directory, "--replset", "restored", "--new-set", *arguments, port=port)
    with client_of(process) as early:
        eventually(lambda: early.admin.command("hello")["isWritablePrimary"], what="the restored primary")
    # The driver takes a connection to be to what its first hello said: perhaps a member without a set.
    return process, client_of(process)


def definitions(database):
    """Everything that there is to know of the collections of a database, but for their contents."""
    found = {}
    for info in database.list_collections():
        indexes = sorted(map(str, database[info["name"]].list_indexes())) if info["type"] == "collection" else None
        found[info["name"]] = (info["type"], info["options"], info["info"].get("uuid"), indexes)
    return found


def hashes(database):
    return database.command("dbHash")["collections"]


def fill(client):
    """A bit of everything that a copy could forget."""
    shop = client.shop
    shop.create_collection("checked", validator={"n": {"$gt": 0}}, validationAction="error", validationLevel="moderate")
    shop.checked.insert_many([{"_id": i, "n": i + 1} for i in range(10)])
    shop.create_collection("capped", capped=True, size=100_000, max=50)
    shop.capped.insert_many([{"i": i} for i in range(80)])
    shop.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "by_id"})
    shop.clustered.insert_many([{"_id": i} for i in range(100)])
    things = shop.things
    things.insert_many([
        {"_id": i, "n": i % 100, "word": f"w{i}", "list": [i, i + 1], "when": None} for i in range(5000)])
    things.create_index([("n", -1), ("word", 1)], name="by_n", hidden=True)
    things.create_index("word", unique=True, sparse=True)
    things.create_index("n", name="some", partialFilterExpression={"n": {"$lt": 10}})
    things.create_index("when", expireAfterSeconds=3600)
    things.create_index([("list", 1), ("n", 1)])
    things.create_index([("word", pymongo.HASHED)])
    shop.converted.create_index("k")
    shop.converted.insert_many([{"_id": i, "k": i} for i in range(100)])
    shop.command("collMod", "converted", index={"keyPattern": {"k": 1}, "prepareUnique": True})
    shop.command("collMod", "converted", index={"keyPattern": {"k": 1}, "unique": True})
    shop.prepared.create_index("k")
    shop.command("collMod", "prepared", index={"keyPattern": {"k": 1}, "prepareUnique": True})
    shop.create_collection("few", viewOn="things", pipeline=[{"$match": {"n": {"$lt": 3}}}])
    client.users.accounts.insert_many([{"_id": i, "name": f"user {i}"} for i in range(100)])
    client.admin.command("setDefaultRWConcern", 1, defaultWriteConcern={"w": 1, "wtimeout": 0})


class Writer:
    """Writes to two collections, always to the first one first, and counts in a third: at any time the second has all
    that the first has, but for the last one."""

    def __init__(self, client):
        self.client = client
        self.database = client.get_database("moving", write_concern=pymongo.WriteConcern(1))
        self.last = 0
        self.isEnded = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        generator = random.Random(1)
        try:
            while not self.isEnded.is_set():
                number = self.last + 1
                self.database.first.insert_one({"_id": number, "text": "x" * generator.randrange(300)})
                self.database.second.insert_one({"_id": number})
                self.database.bulk.update_one({"_id": generator.randrange(SIZE)}, {"$set": {"touched": number}})
                self.database.counters.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True)
                self.last = number
        except Exception as error:  # shown by the test
            self.failure = error

    def end(self):
        self.isEnded.set()
        self.thread.join()
        assert self.failure is None, self.failure
        return self.last


def check_moving(database):
    """Whether what was being written is of one point in time; returns which."""
    first = sorted(d["_id"] for d in database.first.find({}, {"_id": 1}))
    second = sorted(d["_id"] for d in database.second.find({}, {"_id": 1}))
    count = database.counters.find_one()["n"]
    touched = max((d["touched"] for d in database.bulk.find({"touched": {"$exists": True}})), default=0)
    assert first == list(range(1, len(first) + 1)) and second == list(range(1, len(second) + 1))
    assert len(first) - 1 <= len(second) <= len(first)
    assert len(second) - 1 <= touched <= len(second)
    assert touched - 1 <= count <= touched
    assert database.bulk.count_documents({}) == SIZE
    return len(first)


@pytest.mark.parametrize("storage", ["memory", "file"])
def test_a_member_under_load_is_copied_as_it_was_at_one_time(storage, make_replica_set, tmp_path):
    source_set = make_replica_set() if storage == "memory" else FileSet(tmp_path / "set")
    try:
        source_set.initiate()
        client = source_set.client()
        fill(client)
        for start in range(0, SIZE, 10_000):
            client.moving.bulk.insert_many([{"_id": i, "text": "bulk" * 20} for i in range(start, start + 10_000)])
        session = client.start_session()
        increment = {
            "update": "counters", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}, "upsert": True}],
            "txnNumber": bson.Int64(1000), "writeConcern": {"w": "majority"}}
        client.retried.command(increment, session=session)
        source_set.wait_for_equal_data("shop")
        expected = {name: (definitions(client[name]), hashes(client[name])) for name in ("shop", "users", "retried")}

        writer = Writer(client)
        eventually(lambda: writer.last > 20, what="writes")
        source = source_set.primary
        running = subprocess.Popen(
            [PROGRAM, "backup", f"mongodb://{source.host}/", str(tmp_path / "copy"), "--log-level", "info"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "attempt 1 from" not in running.stderr.readline():
            assert running.poll() is None
        assert not (tmp_path / "copy").exists()
        source.command("replSetStepDown", 60)
        out, errors = running.communicate(timeout=600)
        assert running.returncode == 0, errors
        written = writer.end()
        assert str(tmp_path / "copy") in out and "documents" in out
        assert not (tmp_path / "copy.partial").exists()
    finally:
        source_set.close()

    check = subprocess.run(
        [PROGRAM, "storage", "check", str(tmp_path / "copy")], capture_output=True, text=True, timeout=300)
    assert check.returncode == 0 and "BAD" not in check.stdout, check.stdout + check.stderr
    dump = subprocess.run(
        [PROGRAM, "storage", "stats", str(tmp_path / "copy")], capture_output=True, text=True, timeout=300)
    for name in ("system.replset", "replset.election", "local.me:"):
        assert name not in dump.stdout
    shutil.copytree(tmp_path / "copy", tmp_path / "again")
    process, restored = restore(tmp_path / "copy")
    for name, (defined, hashed) in expected.items():
        assert definitions(restored[name]) == defined, name
        assert hashes(restored[name]) == hashed, name
        for collection in hashed:
            assert restored[name].command("validate", collection)["valid"]
    assert 20 <= check_moving(restored.moving) <= written + 1
    with pytest.raises(pymongo.errors.WriteError):
        restored.shop.checked.insert_one({"n": 0})
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        restored.shop.converted.insert_one({"k": 1})
    restored.shop.prepared.insert_one({"k": 1})
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        restored.shop.prepared.insert_one({"k": 1})
    assert restored.shop.few.count_documents({}) == 150
    assert restored.admin.command("getDefaultRWConcern")["defaultWriteConcern"]["w"] == 1
    # What happened once in the set happened once in its copy.
    with restored.start_session() as again:
        restored.admin.command("ping", session=again)
        again._server_session.session_id = session.session_id
        # What the driver makes of the session later is newer.
        again._server_session._transaction_id = 2000
        assert restored.retried.command({**increment, "writeConcern": {"w": "majority"}}, session=again)["n"] == 1
    assert restored.retried.counters.find_one()["n"] == 1
    config = restored.admin.command("replSetGetConfig")["config"]
    assert config["_id"] == "restored" and len(config["members"]) == 1
    restored.shop.get_collection("things", write_concern=pymongo.WriteConcern("majority")).insert_one({"_id": "new"})
    # It is a set like any: another member clones it.
    other = start_node(tmp_path / "other", "--replset", "restored")
    config["members"].append({"_id": 1, "host": f"127.0.0.1:{other.match.group(1)}"})
    config["version"] += 1
    restored.admin.command("replSetReconfig", config)
    copied = pymongo.MongoClient("127.0.0.1", int(other.match.group(1)), directConnection=True)
    eventually(lambda: copied.admin.command("hello")["secondary"], what="the new member")
    eventually(lambda: hashes(copied.shop) == hashes(restored.shop), what="equal data")
    for one in (restored, copied):
        close_client(one)
    assert other.stop() == 0
    assert process.stop() == 0

    status, line = refusal("node", "--port", 0, "--replset", "restored", "--data", tmp_path / "copy", "--new-set")
    assert status == 64 and "a member of the replica set 'restored' already" in line
    for arguments in (("--replset", "rs0"), ("--replset", "restored"), ()):
        status, line = refusal("node", "--port", 0, "--data", tmp_path / "again", *arguments)
        assert status == 64 and "backup of the replica set 'rs0'" in line and "--new-set" in line
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "again", "--new-set")
    assert status == 64 and "--replset" in line


def test_up_makes_a_set_of_a_backup(make_replica_set, tmp_path):
    source = make_replica_set(1)
    source.initiate()
    source.client().shop.things.insert_many([{"_id": i} for i in range(3000)])
    expected = hashes(source.members[0].direct.shop)
    status, _, errors = backup(f"mongodb://{source.members[0].host}/?replicaSet=rs0", tmp_path / "set" / "rs0-0")
    assert status == 0, errors
    port = free_ports(3)
    arguments = ("up", "replica-set", "--port", port, "--data", tmp_path / "set")
    up = Process(*arguments, "--new-set", ready=r"ready: (mongodb://\S+)")
    members = [pymongo.MongoClient("127.0.0.1", port + i, directConnection=True) for i in range(3)]
    eventually(lambda: all(hashes(member.shop) == expected for member in members), what="equal data")
    for member in members:
        close_client(member)
    assert up.stop() == 0
    up = Process(*arguments, ready=r"ready: (mongodb://\S+)")
    client = pymongo.MongoClient(up.match.group(1))
    assert client.shop.things.count_documents({}) == 3000
    close_client(client)
    assert up.stop() == 0


def test_what_cannot_be_copied_is_said(make_replica_set, standalone, tmp_path):
    source = make_replica_set(2)
    config = source.config()
    config["members"][1]["arbiterOnly"] = True
    source.initiate(config)
    uri = f"mongodb://{source.members[0].host}/"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    cases = [
        ((uri, tmp_path / "full"), 64, "exists and is not empty"),
        ((uri, ""), 64, "DIRECTORY"),
        (("localhost:1", tmp_path / "a"), 64, "mongodb://"),
        ((f"mongodb://127.0.0.1:{free_ports(1)}/", tmp_path / "a"), 1, "nothing to copy"),
        ((f"{uri}?replicaSet=other", tmp_path / "a"), 1, "belongs to 'rs0', not to 'other'"),
        ((f"mongodb://{source.members[1].host}/", tmp_path / "a"), 1, "arbiter"),
        ((f"mongodb://{standalone.address[0]}:{standalone.address[1]}/", tmp_path / "a"), 1, "standalone"),
        ((uri, "/proc/backup"), 64, "/proc/backup.partial"),
    ]
    for arguments, status, words in cases:
        found, _, errors = backup(*arguments)
        assert found == status and words in errors, (arguments, errors)
        assert errors.count("\n") == 1, errors
    assert not (tmp_path / "a").exists() and not (tmp_path / "a.partial").exists()
    assert (tmp_path / "full" / "mine").read_text() == "mine"
    (tmp_path / "b.partial").mkdir()
    (tmp_path / "b.partial" / "lock").write_text("")
    found, _, errors = backup(uri, tmp_path / "b")
    assert found == 64 and "another backup" in errors
    # The first that can be copied is.
    found, _, errors = backup(f"mongodb://{source.members[1].host},{source.members[0].host}/", tmp_path / "c/")
    assert found == 0 and (tmp_path / "c" / "manifest").exists(), errors


@pytest.mark.parametrize("how", ["killed source", "interrupted"])
def test_nothing_is_left_of_a_backup_that_did_not_come_to_its_end(how, make_replica_set, tmp_path):
    source = make_replica_set(1)
    source.initiate()
    things = source.client().shop.things
    for start in range(0, SIZE, 10_000):
        things.insert_many([{"_id": i, "text": "bulk" * 20} for i in range(start, start + 10_000)])
    running = subprocess.Popen(
        [PROGRAM, "backup", f"mongodb://{source.members[0].host}/", str(tmp_path / "copy"), "--log-level", "info"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "attempt 1 from" not in running.stderr.readline():
        assert running.poll() is None
    if how == "killed source":
        source.members[0].kill()
    else:
        running.send_signal(signal.SIGINT)
    out, errors = running.communicate(timeout=120)
    assert running.returncode == 1 and out == "", errors
    assert any(line.startswith("quorate: ") for line in errors.splitlines())
    assert os.listdir(tmp_path) == []
