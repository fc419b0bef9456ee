"""What monitors read: serverStatus, top, $indexStats, and the commands of administration beside them."""
import bson
import pymongo
import pytest
from conftest import code_of

FIELDS = """
asserts.user globalLock.totalTime globalLock.currentQueue.total globalLock.activeClients.readers mem.bits mem.resident
mem.virtual network.bytesIn network.bytesOut network.physicalBytesIn network.physicalBytesOut network.numRequests
connections.active connections.totalCreated opLatencies.reads.latency opLatencies.writes.ops opLatencies.commands.ops
opcountersRepl.insert metrics.document.inserted metrics.queryExecutor.scanned metrics.queryExecutor.scannedObjects
metrics.operation.scanAndOrder metrics.cursor.open.pinned metrics.getLastError.wtime.totalMillis metrics.repl.apply.ops
metrics.repl.buffer.count electionMetrics.numStepDownsCausedByHigherTerm uptimeEstimate extra_info.page_faults repl.rbid
""".split()


def field(status, path):
    for step in path.split("."):
        status = status[step]
    return status


def test_every_member_has_the_fields_that_monitors_read(replica_set):
    for member in replica_set.members:
        status = member.command("serverStatus")
        for path in FIELDS:
            assert isinstance(field(status, path), (int, float)), path
        assert status["mem"]["resident"] > 1
        assert status["uptimeEstimate"] == pytest.approx(status["uptime"], abs=1)


def test_what_is_done_is_counted(standalone, database):
    def status():
        return standalone.admin.command("serverStatus")

    def grown(before, after, path):
        return field(after, path) - field(before, path)

    database.c.drop()
    before = status()
    database.c.insert_many({"_id": i, "a": i % 5} for i in range(10))
    database.c.update_many({"a": 1}, {"$set": {"b": 1}})
    database.c.delete_many({"a": 2})
    assert len(list(database.c.find().sort("a"))) == 8
    assert database.c.find_one({"_id": 1})["a"] == 1
    assert code_of(database.command, "nonsense") == 59
    after = status()
    assert grown(before, after, "metrics.document.inserted") == 10
    assert grown(before, after, "metrics.document.updated") == 2
    assert grown(before, after, "metrics.document.deleted") == 2
    assert grown(before, after, "metrics.document.returned") == 9
    assert grown(before, after, "metrics.operation.scanAndOrder") == 1
    assert grown(before, after, "metrics.queryExecutor.scannedObjects") >= 10 + 10 + 8 + 1
    assert grown(before, after, "opLatencies.writes.ops") == 3
    assert grown(before, after, "opLatencies.reads.ops") == 2
    assert grown(before, after, "opLatencies.reads.latency") > 0
    assert grown(before, after, "network.bytesIn") > 500
    assert grown(before, after, "network.bytesOut") > 500


def test_a_secondary_counts_what_it_applies(replica_set, database_name):
    secondary = replica_set.secondaries[0]
    before = secondary.command("serverStatus")["opcountersRepl"]
    collection = replica_set.client()[database_name].get_collection("c", write_concern=pymongo.WriteConcern(3))
    collection.insert_many({"_id": i} for i in range(5))
    collection.update_one({"_id": 1}, {"$set": {"a": 1}})
    collection.delete_one({"_id": 2})
    after = secondary.command("serverStatus")["opcountersRepl"]
    assert [after[name] - before[name] for name in ("insert", "update", "delete")] == [5, 1, 1]


def test_top_says_how_often_collections_are_used(standalone, database):
    def usage():
        return standalone.admin.command("top")["totals"].get(f"{database.name}.c")

    database.c.insert_many({"_id": i} for i in range(5))
    before = usage()
    database.c.find_one({"_id": 1})
    assert len(list(database.c.find(batch_size=2))) == 5
    database.c.update_one({"_id": 1}, {"$set": {"a": 1}})
    database.c.delete_one({"_id": 2})
    database.c.count_documents({})
    after = usage()
    used = {name: after[name]["count"] - before[name]["count"] for name in after}
    assert used == {
        "total": 7, "readLock": 5, "writeLock": 2, "queries": 2, "getmore": 2, "insert": 0, "update": 1, "remove": 1,
        "commands": 1}
    assert after["queries"]["time"] > 0
    assert code_of(database.command, "top") == 13


def test_index_stats_count_uses(database):
    database.c.insert_many({"_id": i, "a": i, "b": i} for i in range(20))
    database.c.create_index("a")
    database.c.create_index("b")

    def uses():
        return {one["name"]: one["accesses"]["ops"] for one in database.c.aggregate([{"$indexStats": {}}])}

    before = uses()
    for i in range(3):
        assert database.c.find_one({"a": i})
    database.c.update_one({"a": 4}, {"$set": {"c": 1}})
    assert database.c.count_documents({"b": {"$gt": 3}}) == 16
    database.c.find_one({"_id": 3})
    after = uses()
    assert {name: after[name] - before[name] for name in after} == {"_id_": 1, "a_1": 4, "b_1": 1}


def test_the_feature_compatibility_version_is_set_and_replicated(replica_set):
    primary = replica_set.primary

    def shown(member):
        return member.command("getParameter", 1, featureCompatibilityVersion=1)["featureCompatibilityVersion"]

    assert shown(primary) == {"version": "8.0"}
    command = primary.command
    assert code_of(command, "setFeatureCompatibilityVersion", "7.0") == 7369100
    assert code_of(command, "setFeatureCompatibilityVersion", "7.0", confirm=False) == 7369100
    assert code_of(command, "setFeatureCompatibilityVersion", "7.0", confirm="yes") == 14
    assert code_of(command, "setFeatureCompatibilityVersion", "6.0", confirm=True) == 4926900
    assert code_of(command, "setFeatureCompatibilityVersion", 8.0, confirm=True) == 14
    assert code_of(command, "setFeatureCompatibilityVersion", "8.0", confirm=True, nonsense=1) == 40415
    secondary = replica_set.secondaries[0]
    assert code_of(secondary.command, "setFeatureCompatibilityVersion", "8.0", confirm=True) == 10107
    everywhere = {"w": 3, "wtimeout": 10000}
    for version in ("7.0", "8.0"):
        command("setFeatureCompatibilityVersion", version, confirm=True, writeConcern=everywhere)
        assert [shown(member)["version"] for member in replica_set.members] == [version] * 3


def test_commands_of_administration_answer(standalone, database):
    admin = standalone.admin
    assert database.command("usersInfo", 1)["users"] == []
    assert database.command("rolesInfo", 1)["roles"] == []
    assert admin.command("connPoolStats")["pools"] == {}
    assert admin.command("logRotate", 1)["ok"] == 1
    assert code_of(admin.command, "logRotate", "nonsense") == 4
    assert admin.command("getDiagnosticData")["data"]["serverStatus"]["process"] == "quorate"
    assert admin.command("features")["ok"] == 1
    for name in ("mapReduce", "mapreduce", "eval"):
        assert code_of(database.command, name, "c") == 115
    assert code_of(database.c.find_one, {"$where": "true"}) in (2, 115, 238)
    assert isinstance(bson.encode(admin.command("serverStatus")), bytes)
