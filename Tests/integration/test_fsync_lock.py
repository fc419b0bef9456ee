"""fsync with lock: nothing is written until it was unlocked as often, while reads and heartbeats go on."""
import pathlib
import shutil

import bson
import pymongo
import pytest
from conftest import Process, ReplicaSet, close_client, code_of, eventually
from test_file_storage import start_node
from test_operations import Waiting, operations, the_operation


@pytest.fixture
def node(tmp_path):
    process = start_node(tmp_path / "data", "--set", "enableTestCommands=1")
    client = pymongo.MongoClient("127.0.0.1", int(process.match.group(1)), directConnection=True)
    yield client
    close_client(client)
    if process.process.poll() is None:
        assert process.stop() == 0


def test_locks_are_counted_and_shown(node):
    assert node.admin.command("fsync") == {"numFiles": 1, "ok": 1.0}
    assert code_of(node.admin.command, "fsyncUnlock") == 20
    assert "fsyncLock" not in node.admin.command("currentOp")
    locked = node.admin.command("fsync", lock=True)
    assert locked["lockCount"] == 1 and isinstance(locked["lockCount"], bson.Int64)
    assert "fsyncUnlock" in locked["info"] and locked["seeAlso"].startswith("http")
    assert node.admin.command("currentOp")["fsyncLock"] is True
    assert node.admin.command("fsync", lock=True, fsyncLockAcquisitionTimeoutMillis=100)["lockCount"] == 2
    assert node.admin.command("fsyncUnlock") == {"info": "fsyncUnlock completed", "lockCount": 1, "ok": 1.0}
    assert node.admin.command("currentOp")["fsyncLock"] is True
    assert node.admin.command("fsyncUnlock")["lockCount"] == 0
    assert "fsyncLock" not in node.admin.command("currentOp")
    assert code_of(node.admin.command, "fsyncUnlock") == 20
    assert code_of(node.test.command, "fsync", lock=True) == 13
    assert code_of(node.admin.command, "fsync", lock="yes") == 14
    assert code_of(node.admin.command, "fsync", lock=True, fsyncLockAcquisitionTimeoutMillis=-1) == 2
    assert code_of(node.admin.command, "fsync", lock=True, fsyncLockAcquisitionTimeoutMillis=1.5) == 2


WRITES = {
    "insert": lambda d: d.things.insert_one({"_id": "new"}),
    "update": lambda d: d.things.update_one({"_id": 1}, {"$set": {"a": 1}}),
    "delete": lambda d: d.things.delete_one({"_id": 2}),
    "findAndModify": lambda d: d.things.find_one_and_update({"_id": 3}, {"$set": {"a": 1}}),
    "createIndexes": lambda d: d.things.create_index("a"),
    "create": lambda d: d.create_collection("more"),
    "collMod": lambda d: d.command("collMod", "capped", cappedSize=8192),
    "drop": lambda d: d.drop_collection("other"),
    "aggregate": lambda d: list(d.things.aggregate([{"$out": "copy"}])),
    "bulkWrite": lambda d: d.client.admin.command({
        "bulkWrite": 1, "ops": [{"insert": 0, "document": {"_id": "bulk"}}], "nsInfo": [{"ns": f"{d.name}.things"}]}),
    "profile": lambda d: d.command("profile", 2),
}


def test_writes_of_all_kinds_wait_and_reads_go_on(node):
    database = node.shop
    database.things.insert_many([{"_id": i} for i in range(1000)])
    database.other.insert_one({})
    database.create_collection("capped", capped=True, size=4096)
    before = {name: database.command("dbHash")["collections"] for name in ["shop"]}
    applied = node.admin.command("serverStatus")["storageEngine"]["statistics"]["batchesApplied"]
    node.admin.command("fsync", lock=True)
    clients = [pymongo.MongoClient(*node.address, directConnection=True) for _ in WRITES]
    waiting = {}
    for client, (name, write) in zip(clients, WRITES.items()):
        waiting[name] = Waiting(lambda client=client, write=write: write(client.shop))
    # What an aggregate writes it writes by commands of its own.
    eventually(
        lambda: sum(op["waitingForLock"] for op in operations(node)) == len(WRITES) - 1, what="writers that wait")
    assert database.things.count_documents({}) == 1000
    assert list(database.things.find({"_id": 7})) == [{"_id": 7}]
    assert code_of(database.command, "insert", "things", documents=[{}], maxTimeMS=100) == 50
    assert database.command("dbHash")["collections"] == before["shop"]
    statistics = node.admin.command("serverStatus")["storageEngine"]["statistics"]
    assert statistics["batchesDurable"] == statistics["batchesApplied"] == applied
    assert not any(waiting[name].outcome for name in WRITES)
    killed = the_operation(node, findAndModify="things")
    node.admin.command("killOp", op=killed["opid"])
    assert waiting["findAndModify"].ended_with() == 11601
    node.admin.command("fsyncUnlock")
    for name in WRITES:
        if name != "findAndModify":
            assert not isinstance(waiting[name].ended_with(), int), name
    assert database.things.find_one({"_id": "new"}) and database.things.find_one({"_id": "bulk"})
    assert not database.things.find_one({"_id": 2})
    assert database.copy.count_documents({}) >= 999
    for client in clients:
        close_client(client)


def test_a_copy_of_the_files_under_the_lock_is_whole(node, tmp_path):
    node.shop.things.insert_many([{"_id": i, "text": "x" * 200} for i in range(5000)])
    node.shop.things.create_index("text")
    expected = node.shop.command("dbHash")["collections"]
    writer = pymongo.MongoClient(*node.address, directConnection=True)
    node.admin.command("fsync", lock=True)
    waiting = Waiting(lambda: writer.shop.things.insert_one({"_id": "late"}))
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    node.admin.command("fsyncUnlock")
    waiting.ended_with()
    close_client(writer)
    (tmp_path / "copy" / "lock").unlink()
    process = start_node(tmp_path / "copy")
    client = pymongo.MongoClient("127.0.0.1", int(process.match.group(1)), directConnection=True)
    assert client.shop.command("dbHash")["collections"] == expected
    assert client.shop.command("validate", "things")["valid"]
    close_client(client)
    process.stop()


@pytest.fixture
def patient_set(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(replica_set.PATIENT))
    return replica_set


def test_a_locked_secondary_applies_nothing_and_catches_up(patient_set):
    client = patient_set.client()
    things = client.shop.get_collection("things", write_concern=pymongo.WriteConcern("majority"))
    things.insert_many([{"_id": i} for i in range(100)])
    patient_set.wait_for_equal_data("shop")
    locked = patient_set.secondaries[0]
    locked.command({"fsync": 1, "lock": True})
    before = locked.command("replSetGetStatus")["optimes"]["appliedOpTime"]
    for start in range(100, 20_100, 1000):
        things.insert_many([{"_id": start + i} for i in range(1000)])
    assert locked.command("replSetGetStatus")["optimes"]["appliedOpTime"] == before
    assert locked.direct.shop.things.count_documents({}) == 100
    assert locked.command("currentOp")["fsyncLock"] is True
    status = patient_set.status()["members"][locked.index]
    assert status["health"] == 1 and status["stateStr"] == "SECONDARY"
    locked.command("fsyncUnlock")
    patient_set.wait_for_equal_data("shop", patient_set.SOON)
    assert locked.direct.shop.things.count_documents({}) == 20_100


def test_what_a_secondary_writes_for_itself_waits_for_its_lock(patient_set):
    patient_set.client().shop.things.insert_one({"_id": 1})
    locked = patient_set.secondaries[0]
    locked.command({"fsync": 1, "lock": True})
    clients = [patient_set.client(f"mongodb://{locked.host}/?directConnection=true") for _ in range(2)]
    waiting = [
        Waiting(lambda: clients[0].shop.command("profile", 2)),
        Waiting(lambda: clients[1].admin.command("replSetResizeOplog", minRetentionHours=2.0)),
    ]
    eventually(lambda: sum(op["waitingForLock"] for op in operations(locked.direct)) == 2, what="both")
    assert not any(one.outcome for one in waiting)
    locked.command("fsyncUnlock")
    for one in waiting:
        assert not isinstance(one.ended_with(), int)
    assert locked.direct.shop.command("profile", -1)["was"] == 2
    assert locked.direct.shop.command("profile", 0)["was"] == 2
    assert locked.command("replSetGetStatus")["ok"] == 1


def test_a_locked_primary_can_step_down_and_those_who_wait_are_told(patient_set):
    client = patient_set.client()
    client.shop.things.insert_one({"_id": 1})
    old = patient_set.primary
    old.command({"fsync": 1, "lock": True})
    alone = patient_set.client(f"mongodb://{old.host}/?directConnection=true", retryWrites=False)
    waiting = Waiting(lambda: alone.shop.things.insert_one({"_id": 2}))
    eventually(lambda: any(op["waitingForLock"] for op in operations(old.direct)), what="the writer")
    assert not waiting.outcome
    old.command("replSetStepDown", 60)
    assert waiting.ended_with() in (10107, 189, 11602, "NotPrimaryError", "AutoReconnect")
    eventually(lambda: patient_set.find_primary() not in (None, old), what="another primary")
    client.shop.things.with_options(write_concern=pymongo.WriteConcern("majority")).insert_one({"_id": 3})
    assert old.direct.shop.things.find_one({"_id": 3}) is None
    old.command("fsyncUnlock")
    patient_set.wait_for_equal_data("shop", patient_set.SOON)
    assert [d["_id"] for d in old.direct.shop.things.find().sort("_id")] == [1, 3]
