"""Members that copy all data: new ones, ones whose place in the oplog is gone, over breaks and under load."""
import datetime
import os
import threading

import pytest
from conftest import Member, code_of, eventually
from pymongo import UpdateOne
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

TEXT = "x" * 400
# So many that a copy takes long enough to be looked at.
COUNT = 60_000


def fill(collection, count):
    for start in range(0, count, 2000):
        collection.insert_many(
            [{"_id": number, "n": 0, "text": TEXT} for number in range(start, min(start + 2000, count))], ordered=False)


def add_member(replica_set, **fields):
    index = len(replica_set.members)
    member = Member(index, replica_set.name)
    member.start()
    replica_set.members.append(member)
    replica_set.reconfigure(lambda config: config["members"].append({"_id": index, "host": member.host, **fields}))
    return member


def sync_status(member, **options):
    return member.command("replSetGetStatus", **options).get("initialSyncStatus")


def copied(status, namespace):
    database = namespace.split(".")[0]
    return (status or {}).get("databases", {}).get(database, {}).get(namespace, {}).get("documentsCopied", 0)


def wait_until_cloning(member, namespace, count):
    """Returns when some of the documents are here and others are not."""
    return eventually(lambda: 0 < copied(sync_status(member), namespace) < count and sync_status(member), 20)


@pytest.fixture
def one_member_with_data(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    fill(replica_set.client().test.things, COUNT)
    return replica_set


def test_status_tells_how_far_an_initial_sync_is(one_member_with_data):
    replica_set = one_member_with_data
    replica_set.client().test.things.create_index("n")
    replica_set.client().other.few.insert_many([{} for _ in range(10)])
    member = add_member(replica_set, votes=0, priority=0)
    assert wait_until_cloning(member, "test.things", COUNT)
    during = member.command("replSetGetStatus")
    assert during["myState"] == 5
    status = during["initialSyncStatus"]
    assert status["method"] == "logical"
    assert status["failedInitialSyncAttempts"] == 0
    assert status["maxFailedInitialSyncAttempts"] == 10
    assert isinstance(status["initialSyncStart"], datetime.datetime)
    assert status["initialSyncAttempts"] == []
    assert status["totalInitialSyncElapsedMillis"] >= 0
    assert status["appliedOps"] == 0
    assert status["approxTotalDataSize"] > COUNT * 400
    assert 0 < status["approxTotalBytesCopied"] < status["approxTotalDataSize"]
    assert status["remainingInitialSyncEstimatedMillis"] >= 0
    assert status["syncSourceHost"] == replica_set.members[0].host
    databases = status["databases"]
    assert databases["databasesToClone"] + databases["databasesCloned"] == 3  # admin, test, other
    assert databases["test"]["collections"] == 1 and databases["test"]["clonedCollections"] == 0
    collection = databases["test"]["test.things"]
    assert collection["documentsToCopy"] == COUNT
    assert 0 < collection["documentsCopied"] < COUNT
    assert collection["indexes"] == 2
    assert collection["fetchedBatches"] > 0
    assert 0 < collection["approxBytesCopied"] < collection["bytesToCopy"]
    assert isinstance(collection["start"], datetime.datetime) and "end" not in collection
    # No reads before it is through.
    assert code_of(member.direct.test.command, {"find": "things", "$readPreference": {"mode": "nearest"}}) == 13436
    replica_set.wait_until_healthy(60)
    assert sync_status(member) is None
    after = sync_status(member, initialSync=1)
    assert [attempt["status"] for attempt in after["initialSyncAttempts"]] == ["OK"]
    assert after["initialSyncAttempts"][0]["syncSource"] == replica_set.members[0].host
    assert after["initialSyncEnd"] >= after["initialSyncStart"]
    assert after["databases"]["databasesToClone"] == 0
    assert copied(after, "test.things") == COUNT
    assert after["approxTotalBytesCopied"] == after["approxTotalDataSize"]
    replica_set.wait_for_equal_data("test")
    replica_set.wait_for_equal_data("other")


def test_a_clone_goes_on_where_it_was_after_the_source_was_away(one_member_with_data):
    replica_set = one_member_with_data
    source = replica_set.members[0]
    member = add_member(replica_set, votes=0, priority=0)
    wait_until_cloning(member, "test.things", COUNT)
    source.pause()
    status = eventually(lambda: (s := sync_status(member)).get("syncSourceUnreachableSince") and s)
    assert status["currentOutageDurationMillis"] >= 0
    held = copied(sync_status(member), "test.things")
    assert 0 < held < COUNT
    source.resume()
    replica_set.wait_until_healthy(60)
    after = sync_status(member, initialSync=1)
    assert after["failedInitialSyncAttempts"] == 0
    assert after["totalTimeUnreachableMillis"] > 0
    assert after["operationsRetried"] > 0
    # Each document came once: nothing was cloned anew.
    assert copied(after, "test.things") == COUNT
    replica_set.wait_for_equal_data("test")


def test_a_clone_begins_anew_when_the_source_has_forgotten(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    things = replica_set.client().test.things
    fill(things.with_options(write_concern=WriteConcern(w=3, wtimeout=60000)), COUNT)
    member = add_member(replica_set, votes=0, priority=0)
    host = wait_until_cloning(member, "test.things", COUNT)["syncSourceHost"]
    source = next(other for other in replica_set.members if other.host == host)
    source.kill()
    source.start()
    eventually(lambda: member.command("replSetGetStatus")["myState"] == 2, 60, "an initial sync from another member")
    assert member.direct.test.things.count_documents({}) == COUNT
    after = sync_status(member, initialSync=1)
    assert after["failedInitialSyncAttempts"] >= 1
    assert after["syncSourceHost"] != source.host
    replica_set.wait_until_healthy(60)
    replica_set.wait_for_equal_data("test")


def test_a_source_that_hangs_is_left_for_another(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    client = replica_set.client()
    fill(client.test.things.with_options(write_concern=WriteConcern(w=3, wtimeout=60000)), COUNT)
    member = add_member(replica_set, votes=0, priority=0)
    host = wait_until_cloning(member, "test.things", COUNT)["syncSourceHost"]
    hung = next(other for other in replica_set.members if other.host == host)
    hung.pause()
    eventually(lambda: sync_status(member)["failedInitialSyncAttempts"] == 1, what="the hung source left")
    eventually(lambda: member.command("replSetGetStatus")["myState"] == 2, 60)
    attempts = sync_status(member, initialSync=1)["initialSyncAttempts"]
    assert [attempt["status"] == "OK" for attempt in attempts] == [False, True]
    assert attempts[0]["syncSource"] == hung.host and attempts[1]["syncSource"] != hung.host
    hung.resume()
    replica_set.wait_until_healthy()
    replica_set.wait_for_equal_data("test")


class Churn:
    """A client that changes all it can while others copy it."""

    def __init__(self, client):
        self.client = client
        self.is_over = threading.Event()
        self.rounds = 0
        self.failure = None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        database = self.client.churn
        try:
            while not self.is_over.is_set():
                turn = self.rounds
                database.things.insert_one({"_id": f"new {turn}", "n": turn})
                database.things.bulk_write(
                    [UpdateOne({"_id": number}, {"$inc": {"n": 1}, "$push": {"seen": turn}})
                     for number in range(turn * 7 % 5000, turn * 7 % 5000 + 20)])
                database.things.delete_one({"_id": turn * 13 % 20000})
                database[f"short{turn % 3}"].insert_many([{"turn": turn}, {"turn": turn}])
                if turn % 5 == 4:
                    database[f"short{turn % 3}"].drop()
                if turn % 11 == 0:
                    database.things.create_index([("n", 1), (f"field{turn % 4}", 1)])
                if turn % 11 == 6:
                    database.things.drop_indexes()
                self.rounds += 1
        except Exception as error:  # Reported by the test.
            self.failure = error

    def __enter__(self):
        self.thread.start()
        eventually(lambda: self.rounds > 5 or self.failure)
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join(30)
        assert self.failure is None


def test_everything_may_change_while_it_is_cloned(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    client = replica_set.client()
    fill(client.churn.things, 20000)
    with Churn(client) as churn:
        member = add_member(replica_set)
        eventually(lambda: member.command("replSetGetStatus")["myState"] == 2, 60)
        assert churn.rounds > 10
    replica_set.wait_until_healthy(30)
    assert sync_status(member, initialSync=1)["appliedOps"] > 0
    replica_set.wait_for_equal_data("churn")
    for validated in replica_set.members:
        assert validated.direct.churn.command("validate", "things", full=True)["valid"]


def test_a_member_whose_place_in_the_oplog_is_gone_recovers_and_copies_all(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate()
    client = replica_set.client()
    for member in replica_set.members:
        assert member.command("replSetResizeOplog", 1, size=1.0)["ok"] == 1
    things = client.test.things
    things.with_options(write_concern=WriteConcern(w=3, wtimeout=5000)).insert_one({"_id": "before"})
    stale = replica_set.secondaries[0]
    entry = replica_set.primary.direct.local["oplog.rs"].find().sort("$natural", -1).limit(1)[0]["ts"]
    stale.pause()
    # Nothing compresses well that is drawn anew each time.

    def oldest():
        return replica_set.primary.direct.local["oplog.rs"].find().sort("$natural", 1).limit(1)[0]["ts"]

    number = 0
    while oldest() <= entry:
        things.insert_many([{"_id": number + place, "noise": os.urandom(2000)} for place in range(200)])
        number += 200
        assert number < 20000
    stats = client.local.command("collStats", "oplog.rs")
    assert stats["maxSize"] == 2**20
    stale.resume()
    with Churn(client):
        eventually(lambda: stale.log().count("now RECOVERING") == 1, 15)
        eventually(
            lambda: stale.command("replSetGetStatus")["myState"] == 2 and stale.log().count("now STARTUP2") == 2, 60)
    log = stale.log()
    # It kept what it had until there was a member to clone.
    assert log.index("now RECOVERING") < log.rindex("now STARTUP2") < log.rindex("now SECONDARY")
    replica_set.wait_until_healthy(30)
    assert stale.direct.test.things.with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED).count_documents({}) == number + 1
    replica_set.wait_for_equal_data("test")
    replica_set.wait_for_equal_data("churn")


@pytest.mark.parametrize("arguments, code", [
    ({"size": 0}, 2), ({"size": -5.0}, 2), ({"size": "big"}, 14), ({}, 2), ({"size": 100.0, "colour": 1}, 40415),
    ({"minRetentionHours": -1}, 2), ({"minRetentionHours": "long"}, 14), ({"minRetentionHours": float("nan")}, 2),
])
def test_a_size_of_the_oplog_that_cannot_be_is_refused(replica_set, arguments, code):
    assert code_of(replica_set.primary.command, {"replSetResizeOplog": 1, **arguments}) == code


class Writer:
    """A client that inserts, w:1, what does not compress, one document after another."""

    def __init__(self, client):
        self.collection = client.load.get_collection("entries", write_concern=WriteConcern(w=1))
        self.is_over = threading.Event()
        self.bytes = 0
        self.failure = None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.is_over.is_set():
                self.collection.insert_one({"noise": os.urandom(4000)})
                self.bytes += 4000
        except Exception as error:  # Reported by the test.
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join(30)
        assert self.failure is None


@pytest.mark.parametrize("indexed", [False, True])
def test_an_oplog_that_turns_over_while_a_member_is_cloned_is_long_enough(make_replica_set, indexed):
    replica_set = make_replica_set(arguments=("--oplog-size", 1))
    replica_set.initiate()
    client = replica_set.client()
    count = 30_000
    things = client.test.get_collection("things", write_concern=WriteConcern(w=3, wtimeout=60_000))
    for start in range(0, count, 1000):
        things.insert_many([{"_id": number, "n": -number, "text": "x" * 4000} for number in range(start, start + 1000)])
    if indexed:
        things.create_index("n", unique=True)
    member = replica_set.secondaries[0]
    with Writer(client) as writer:
        member.kill()
        member.start()
        before = writer.bytes
        wait_until_cloning(member, "test.things", count)
        eventually(lambda: member.command("replSetGetStatus")["myState"] == 2, 120, "an initial sync")
        written = writer.bytes - before
        status = sync_status(member, initialSync=1)
        # It goes on from there by itself.
        mark = writer.bytes
        eventually(lambda: writer.bytes > mark + 4_000_000, 60)
    # More than the oplog holds.
    assert written > 2**20
    assert [attempt["status"] for attempt in status["initialSyncAttempts"]] == ["OK"]
    replica_set.wait_until_healthy(60)
    assert "cloned anew" not in member.log()
    replica_set.wait_for_equal_data("test", 60)
    replica_set.wait_for_equal_data("load", 60)
