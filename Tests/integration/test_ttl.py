"""Documents that expire: what does, when, by whose hand, and beside what else."""
import contextlib
import threading
from datetime import datetime, timedelta, timezone

import bson
import pymongo
import pytest
from conftest import code_of, eventually
from pymongo.write_concern import WriteConcern

MANY = 30_000


def ago(seconds):
    return datetime.now(timezone.utc) - timedelta(seconds=seconds)


def ids(collection):
    return sorted(document["_id"] for document in collection.find({}, {"_id": 1}))


def ttl_metrics(client):
    return client.admin.command("serverStatus")["metrics"]["ttl"]


@pytest.fixture
def fast(standalone):
    """The standalone, with a pass a second."""
    standalone.admin.command("setParameter", 1, ttlMonitorSleepSecs=1)
    yield standalone
    standalone.admin.command("setParameter", 1, ttlMonitorSleepSecs=60)
    standalone.admin.command("setParameter", 1, ttlMonitorEnabled=True)


def test_what_expires_and_what_does_not(fast, database_name):
    things, partial, descending = (fast[database_name][name] for name in ("things", "partial", "descending"))
    things.create_index("at", expireAfterSeconds=600)
    partial.create_index("at", expireAfterSeconds=0, partialFilterExpression={"temporary": True})
    descending.create_index([("at", -1)], expireAfterSeconds=0)
    before = ttl_metrics(fast)
    things.insert_many([
        {"_id": "past", "at": ago(3600)}, {"_id": "recent", "at": ago(60)}, {"_id": "future", "at": ago(-3600)},
        {"_id": "none"}, {"_id": "text", "at": "2000-01-01"}, {"_id": "number", "at": 5},
        {"_id": "array", "at": [ago(-3600), ago(3600)]}, {"_id": "mixed", "at": ["x", 7]},
        {"_id": "timestamp", "at": bson.Timestamp(1, 1)}, {"_id": "nested", "at": {"at": ago(3600)}},
    ])
    partial.insert_many([
        {"_id": "kept", "at": ago(10), "temporary": False}, {"_id": "gone", "at": ago(10), "temporary": True}])
    descending.insert_many([{"_id": "gone", "at": ago(10)}, {"_id": "kept", "at": ago(-100)}])
    eventually(lambda: ids(partial) == ["kept"])
    eventually(lambda: ids(descending) == ["kept"])
    left = ["future", "mixed", "nested", "none", "number", "recent", "text", "timestamp"]
    eventually(lambda: ids(things) == left)
    passes = ttl_metrics(fast)["passes"]
    eventually(lambda: ttl_metrics(fast)["passes"] > passes)
    assert ids(things) == left
    after = ttl_metrics(fast)
    assert after["deletedDocuments"] - before["deletedDocuments"] == 4
    assert after["passes"] > before["passes"]


def test_coll_mod_changes_when_and_makes_a_plain_index_one(fast, database_name):
    database = fast[database_name]
    database.things.create_index("at", name="at")
    database.things.insert_one({"_id": 1, "at": ago(100)})
    reply = database.command("collMod", "things", index={"name": "at", "expireAfterSeconds": 3600})
    assert reply["expireAfterSeconds_new"] == 3600 and "expireAfterSeconds_old" not in reply
    assert database.things.index_information()["at"]["expireAfterSeconds"] == 3600
    passes = ttl_metrics(fast)["passes"]
    eventually(lambda: ttl_metrics(fast)["passes"] >= passes + 2)
    assert ids(database.things) == [1]
    reply = database.command("collMod", "things", index={"keyPattern": {"at": 1}, "expireAfterSeconds": 50})
    assert (reply["expireAfterSeconds_old"], reply["expireAfterSeconds_new"]) == (3600, 50)
    eventually(lambda: ids(database.things) == [])


def test_switched_off_nothing_expires(fast, database_name):
    things = fast[database_name].things
    assert fast.admin.command("setParameter", 1, ttlMonitorEnabled=False)["was"] is True
    assert fast.admin.command("getParameter", 1, ttlMonitorEnabled=1)["ttlMonitorEnabled"] is False
    assert fast.admin.command("getParameter", 1, ttlMonitorSleepSecs=1)["ttlMonitorSleepSecs"] == 1
    things.create_index("at", expireAfterSeconds=0)
    things.insert_one({"_id": 1, "at": ago(100)})
    assert ids(things) == [1]
    fast.admin.command("setParameter", 1, ttlMonitorEnabled=True)
    eventually(lambda: ids(things) == [])


def test_what_is_refused(fast, database_name):
    database = fast[database_name]
    for value in (0, -1, 1.5, 2**31, float("nan")):
        assert code_of(fast.admin.command, "setParameter", 1, ttlMonitorSleepSecs=value) == 2
    assert code_of(fast.admin.command, "setParameter", 1, ttlMonitorSleepSecs="1") == 14
    assert code_of(fast.admin.command, "setParameter", 1, ttlMonitorEnabled="no") == 14
    for key, seconds in (
        ("a", -1), ("a", 2**31), ("a", float("nan")), ([("a", 1), ("b", 1)], 5), ([("a", "hashed")], 5),
    ):
        assert code_of(database.things.create_index, key, expireAfterSeconds=seconds) == 67
    assert code_of(database.things.create_index, "_id", expireAfterSeconds=5) == 197
    ring = database.create_collection("ring", capped=True, size=4096)
    assert code_of(ring.create_index, "at", expireAfterSeconds=5) == 67
    ring.create_index("at")
    assert code_of(database.command, "collMod", "ring", index={"name": "at_1", "expireAfterSeconds": 5}) == 72
    database.things.create_index([("a", 1), ("b", 1)])
    for seconds in (5, -1, 2**31, "x"):
        name = "a_1_b_1" if seconds == 5 else "c_1"
        database.things.create_index("c")
        assert code_of(database.command, "collMod", "things", index={"name": name, "expireAfterSeconds": seconds}) in (
            72, 14)
    reply = database.command("collMod", "things", index={"name": "c_1", "expireAfterSeconds": float("nan")})
    assert reply["expireAfterSeconds_new"] == 0


def test_many_expire_in_a_set_beside_other_commands_and_over_a_step_down(replica_set, database_name):
    for member in replica_set.members:
        member.command("setParameter", 1, ttlMonitorSleepSecs=1)
    client = replica_set.client()
    things = client[database_name].get_collection("things", write_concern=WriteConcern("majority"))
    try:
        things.insert_many([{"_id": n, "at": ago(1000) if n % 10 else ago(-1000)} for n in range(MANY)])
        things.create_index("at", expireAfterSeconds=0)
        reads, stop = [], threading.Event()

        def ping():
            while not stop.is_set():
                with contextlib.suppress(pymongo.errors.PyMongoError):
                    reads.append(things.find_one({"_id": 0})["_id"])

        thread = threading.Thread(target=ping)
        thread.start()
        eventually(lambda: things.estimated_document_count() < MANY, 30)
        begun = len(reads)
        replica_set.step_down()
        try:
            eventually(lambda: things.count_documents({}) == MANY // 10, 60)
        finally:
            stop.set()
            thread.join()
        assert len(reads) > begun
        replica_set.wait_for_equal_data(database_name)
        deletions = list(client.local["oplog.rs"].find({"op": "d", "ns": f"{database_name}.things"}))
        assert len(deletions) == len({entry["o"]["_id"] for entry in deletions}) == MANY - MANY // 10
        for member in replica_set.secondaries:
            assert member.direct[database_name].command("validate", "things")["valid"]
    finally:
        client.drop_database(database_name)
        for member in replica_set.members:
            member.command("setParameter", 1, ttlMonitorSleepSecs=60)
