"""Reads at secondaries that take many slices of the loop: a member that holds a cursor serves it for as long as its
state lets it read, whatever the read preference of the set's next primary, and drivers send none with `getMore`."""
import threading

import bson
import pytest
from pymongo import ReadPreference, WriteConcern
from pymongo.cursor import CursorType

from conftest import ReplicaSet, code_of, eventually

COUNT = 100_000
GROUPS = 1000
DATABASE = "secondary_reads"


@pytest.fixture(scope="module")
def loaded():
    """A set with more data than any slice of the loop can read."""
    replica_set = ReplicaSet()
    try:
        replica_set.initiate()
        orders = replica_set.client()[DATABASE].orders
        for start in range(0, COUNT, 20_000):
            orders.insert_many(
                [{"_id": i, "k": i % GROUPS, "pad": "x" * 40} for i in range(start, start + 20_000)])
        orders.database.groups.insert_many([{"_id": i, "name": f"group {i}"} for i in range(GROUPS)])
        orders.with_options(write_concern=WriteConcern(3)).insert_one({"_id": "last", "k": -1})
        yield replica_set
    finally:
        replica_set.close()


@pytest.fixture
def many(loaded):
    loaded.mend()
    yield loaded
    for member in loaded.members:
        assert member.process is None or member.is_running, f"member {member.index} died: {member.log()[-4000:]}"


@pytest.fixture
def secondary(many):
    """The collection as a driver reads it from secondaries."""
    return many.client()[DATABASE].get_collection("orders", read_preference=ReadPreference.SECONDARY)


@pytest.mark.parametrize("options, count", [
    ({}, COUNT + 1),
    ({"batch_size": 20_000}, COUNT + 1),
    ({"batch_size": 2, "filter": {"k": 5, "pad": {"$ne": "y"}}}, COUNT // GROUPS),
    ({"sort": [("pad", 1), ("_id", -1)]}, COUNT + 1),
    ({"sort": [("k", -1)], "batch_size": 5000, "skip": 10, "limit": 50_000}, 50_000),
])
def test_a_find_reads_all_of_it(secondary, options, count):
    assert sum(1 for _ in secondary.find(**options)) == count


@pytest.mark.parametrize("pipeline, count", [
    ([{"$match": {"pad": {"$exists": True}}}], COUNT),
    ([{"$group": {"_id": "$k", "n": {"$sum": 1}}}], GROUPS + 1),
    ([{"$sort": {"pad": 1, "k": -1}}], COUNT + 1),
    ([{"$match": {"_id": {"$lt": 5000}}},
      {"$lookup": {"from": "groups", "localField": "k", "foreignField": "_id", "as": "group"}},
      {"$unwind": "$group"}], 5000),
    ([{"$unionWith": "orders"}, {"$match": {"k": {"$lt": 10}}}], 2 * (COUNT // GROUPS * 10 + 1)),
    ([{"$facet": {"a": [{"$group": {"_id": "$k"}}, {"$count": "n"}], "b": [{"$skip": COUNT}, {"$project": {"k": 1}}]}},
      {"$match": {"a.n": GROUPS + 1, "b": {"$size": 1}}}], 1),
    ([{"$sample": {"size": 1000}}], 1000),
])
def test_an_aggregation_reads_all_of_it(secondary, pipeline, count):
    assert sum(1 for _ in secondary.aggregate(pipeline, batchSize=3000)) == count


def test_counts_and_distinct_values_read_all_of_it(secondary):
    assert secondary.count_documents({"pad": {"$exists": True}}) == COUNT
    assert len(secondary.distinct("k", {"pad": {"$exists": True}})) == GROUPS


def test_a_direct_connection_reads_all_of_it(many):
    for member in many.secondaries:
        orders = member.direct[DATABASE].orders
        assert sum(1 for _ in orders.find(batch_size=30_000)) == COUNT + 1
        assert len(list(orders.aggregate([{"$group": {"_id": "$k"}}]))) == GROUPS + 1


def test_a_snapshot_session_reads_all_of_it_at_one_time(many):
    """However long that takes: an open cursor keeps what it reads."""
    client = many.client(readPreference="secondary")
    orders = client[DATABASE].orders
    writer = many.client()[DATABASE].orders.with_options(write_concern=WriteConcern(3))
    try:
        with client.start_session(snapshot=True) as session:
            cursor = orders.find({}, batch_size=1000, session=session)
            next(cursor)
            writer.delete_one({"_id": "last"})
            assert 1 + sum(1 for _ in cursor) == COUNT + 1
    finally:
        writer.replace_one({"_id": "last"}, {"k": -1}, upsert=True)

    def groups():
        with client.start_session(snapshot=True) as session:
            return len(orders.distinct("k", {"pad": {"$ne": 1}}, session=session))

    # A member reads at the commit point that it has heard of; it hears of one after it has the entry.
    eventually(lambda: groups() == GROUPS + 1)


def test_cursors_live_on_at_their_member_over_a_step_down(many):
    """The primary's too: what it has begun, it goes on with as a secondary."""
    members = {"primary": many.primary, "secondary": many.secondaries[0]}
    cursors = {}
    for name, member in members.items():
        orders = member.direct[DATABASE].orders
        cursors[name, "find"] = orders.find(batch_size=500)
        cursors[name, "sort"] = orders.find(batch_size=500).sort("pad")
        cursors[name, "aggregate"] = orders.aggregate([{"$match": {"pad": {"$ne": 1}}}], batchSize=500)
        cursors[name, "lookup"] = orders.aggregate([
            {"$lookup": {"from": "groups", "localField": "k", "foreignField": "_id", "as": "group"}},
            {"$limit": 5000}], batchSize=500)
    for cursor in cursors.values():
        next(cursor)
    many.step_down()
    for name, cursor in cursors.items():
        assert 1 + sum(1 for _ in cursor) == (5000 if name[1] == "lookup" else COUNT + 1), name


def test_a_cursor_is_not_served_in_a_state_that_cannot_be_read(many):
    member = many.secondaries[0]
    cursor = member.direct[DATABASE].orders.find(batch_size=10)
    next(cursor)
    member.command({"replSetMaintenance": True})
    try:
        eventually(lambda: member.hello()["secondary"] is False)
        more = {"getMore": bson.Int64(cursor.cursor_id), "collection": "orders", "batchSize": 1}
        assert code_of(member.direct[DATABASE].command, more, session=cursor.session) == 13436
    finally:
        member.command({"replSetMaintenance": False})
    # It was not the cursor's fault.
    eventually(lambda: member.hello()["secondary"])
    assert 1 + sum(1 for _ in cursor) == COUNT + 1


def test_an_exhaust_cursor_is_served_by_a_secondary(many):
    orders = many.secondaries[0].direct[DATABASE].orders
    assert sum(1 for _ in orders.find(batch_size=5000, cursor_type=CursorType.EXHAUST)) == COUNT + 1


@pytest.mark.parametrize("step_down", [False, True])
def test_a_tail_waits_at_a_secondary_and_sees_what_comes(many, step_down):
    """Also when nothing matched yet, with an index over what it looks for, and over a change of the primary."""
    database = many.client()[DATABASE]
    queue = database.get_collection(f"queue_{step_down}".lower(), write_concern=WriteConcern(3))
    database.create_collection(queue.name, capped=True, size=100_000_000)
    queue.create_index("kind")
    queue.insert_many([{"kind": "other", "n": i} for i in range(20_000)])
    member = many.secondaries[0]
    tail = member.direct[DATABASE][queue.name].find({"kind": "job"}, cursor_type=CursorType.TAILABLE_AWAIT)
    tail.max_await_time_ms(20_000)
    seen = []

    def read():
        # The driver gives up its loop at an empty batch, the first one among them, and is to go on for as long as the
        # cursor lives.
        while len(seen) < 3 and tail.alive:
            for document in tail:
                seen.append(document["n"])
                if len(seen) == 3:
                    return

    reader = threading.Thread(target=read)
    reader.start()
    if step_down:
        many.step_down()
    for n in range(3):
        eventually(lambda: queue.insert_one({"kind": "job", "n": n}))
        eventually(lambda: len(seen) == n + 1, what=f"{n + 1} documents")
    reader.join()
    assert seen == [0, 1, 2]
    tail.close()
