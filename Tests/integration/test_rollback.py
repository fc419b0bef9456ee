"""What a primary acknowledged alone is taken back when it rejoins: kept, visible, and right for those who retry."""
import threading

import bson
import pymongo
import pytest
from conftest import eventually
from pymongo.write_concern import WriteConcern

LOST = 20_000


class Diverged:
    """A set whose primary wrote while the others stood still, and which then elected another without it."""

    def __init__(self, replica_set):
        # Long enough to write a lot before the primary notices that it is alone.
        replica_set.initiate(replica_set.config({"electionTimeoutMillis": 4000}))
        self.set = replica_set
        self.client = replica_set.client()
        self.old = replica_set.primary
        orders = self.client.shop.orders
        orders.insert_many([{"_id": i} for i in range(3)])
        orders.create_index("a")
        self.kept_session = self.client.start_session()
        self.lost_session = self.client.start_session()
        self.increment(self.kept_session, "majority")
        replica_set.wait_for_equal_data("shop")
        self.rollback_id = self.read_rollback_id()

        others = replica_set.secondaries
        for member in others:
            member.pause()
        alone = self.old.direct.shop
        # A request for entries that was open may still be answered, and what is answered survives: this one.
        alone.orders.with_options(write_concern=WriteConcern(1)).insert_one({"_id": "bait"})
        for start in range(0, LOST, 5000):
            alone.orders.with_options(write_concern=WriteConcern(1)).insert_many(
                [{"_id": 1000 + start + i, "a": i} for i in range(5000)])
        alone.orders.with_options(write_concern=WriteConcern(1)).update_one({"_id": 1}, {"$set": {"by": "old"}})
        alone.command("create", "onlyThere", writeConcern={"w": 1})
        alone.command("dropIndexes", "orders", index="a_1", writeConcern={"w": 1})
        self.increment(self.lost_session, 1)
        # Connected before it stands still, so that no moment after it is missed.
        self.watcher = replica_set.client(f"mongodb://{self.old.host}/?directConnection=true")
        self.watcher.admin.command("ping")
        self.old.pause()
        for member in others:
            member.resume()
        self.new = eventually(
            lambda: next((m for m in others if m.hello().get("isWritablePrimary")), None), 20, "a new primary")
        self.new.direct.shop.orders.with_options(write_concern=WriteConcern("majority")).insert_one({"_id": "new"})

    def increment(self, session, w):
        """The same retryable write each time it is called with a session."""
        return self.client.shop.command({
            "update": "counters", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}, "upsert": True}],
            "txnNumber": bson.Int64(1000), "writeConcern": {"w": w}}, session=session)

    def read_rollback_id(self):
        return self.old.direct.local["system.rollback.id"].find_one()["rollbackId"]

    def rejoin(self):
        """Lets the old primary go on until all agree; returns the states that it showed meanwhile."""
        states = set()
        done = threading.Event()

        def watch():
            while not done.is_set():
                hello = self.watcher.admin.command("hello")
                status = self.watcher.admin.command("replSetGetStatus")
                states.add((status["myState"], hello["secondary"], hello["isWritablePrimary"]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.old.resume()
        try:
            self.set.wait_until_healthy(40)
            self.set.wait_for_equal_data("shop", 20)
        finally:
            done.set()
            watcher.join()
        return states


@pytest.fixture(scope="module")
def rejoined():
    from conftest import ReplicaSet

    replica_set = ReplicaSet()
    try:
        diverged = Diverged(replica_set)
        diverged.states = diverged.rejoin()
        yield diverged
    finally:
        replica_set.close()


def test_every_lost_document_is_kept_and_nothing_else(rejoined):
    written = {1000 + i for i in range(LOST)}
    left = {d["_id"] for d in rejoined.client.shop.orders.find()}
    assert {0, 1, 2, "new"} <= left
    kept = list(rejoined.old.direct.local.rollback.find({"ns": "shop.orders"}))
    lost = {d["document"]["_id"] for d in kept}
    assert lost - {"bait", 1} == written - left
    assert len(lost) == len(kept) > LOST / 2
    assert next(d["document"] for d in kept if d["document"]["_id"] == 1) == {"_id": 1, "by": "old"}
    for document in kept:
        assert set(document) == {"_id", "rollbackId", "ns", "ui", "optime", "common", "wall", "document"}
        assert document["common"]["ts"] < document["optime"]["ts"]
    for member in rejoined.set.members:
        if member is not rejoined.old:
            assert member.direct.local.rollback.count_documents({}) == 0


def test_the_rollback_was_visible_and_is_numbered(rejoined):
    assert (9, False, False) in rejoined.states
    assert rejoined.read_rollback_id() == rejoined.rollback_id + 1
    assert "rollback from" in rejoined.old.log()


def test_collections_and_indexes_are_as_before(rejoined):
    database = rejoined.old.direct.shop
    assert sorted(database.list_collection_names()) == ["counters", "orders"]
    assert set(database.orders.index_information()) == {"_id_", "a_1"}
    assert database.command("validate", "orders")["valid"]
    assert database.orders.count_documents({}) == database.command("count", "orders")["n"]


def test_a_retry_runs_only_what_was_taken_back(rejoined):
    counters = rejoined.client.shop.counters.with_options(read_concern=pymongo.read_concern.ReadConcern("majority"))
    assert counters.find_one()["n"] == 1
    assert rejoined.increment(rejoined.kept_session, "majority")["n"] == 1
    assert counters.find_one()["n"] == 1
    assert rejoined.increment(rejoined.lost_session, "majority")["n"] == 1
    assert counters.find_one()["n"] == 2
