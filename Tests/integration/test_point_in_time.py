"""Reads that promise a point in time: snapshot sessions, atClusterTime, linearizable."""
import bson
import pytest
from conftest import eventually
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

EVERYWHERE = WriteConcern(w=3, wtimeout=5000)


@pytest.fixture
def client(replica_set):
    return replica_set.client()


@pytest.fixture
def database(replica_set, client, database_name):
    """Orders with an index and the items that they are of; every member knows that a majority has them."""
    database = client.get_database(database_name, write_concern=EVERYWHERE)
    database.items.insert_many([{"_id": n, "name": f"item {n}"} for n in range(3)])
    database.orders.create_index("item")
    database.orders.insert_many([{"_id": n, "item": n % 3} for n in range(9)])
    for member in replica_set.members:
        known = member.direct[database_name].get_collection("orders", read_concern=ReadConcern("majority"))
        eventually(lambda known=known: len(list(known.find())) == 9)
    return database


def change_everything(database):
    database.orders.update_many({"item": 0}, {"$set": {"item": 1}})
    database.orders.delete_one({"_id": 8})
    database.items.update_many({}, {"$set": {"name": "another"}})
    database.orders.create_index([("item", -1), ("_id", 1)], name="later")
    database.items.rename("things")
    database.orders.drop()
    database.orders.insert_one({"_id": "new", "item": "new"})


def code_of(call, *arguments, **options):
    with pytest.raises(OperationFailure) as caught:
        call(*arguments, **options)
    return caught.value.code


@pytest.mark.parametrize("mode", ["PRIMARY", "SECONDARY"])
@pytest.mark.parametrize("first", ["find", "aggregate", "distinct"])
def test_all_reads_of_a_snapshot_session_show_one_time(client, database, first, mode):
    orders = database.orders.with_options(read_preference=getattr(ReadPreference, mode))
    join = [
        {"$match": {"item": 0}}, {"$sort": {"_id": 1}},
        {"$lookup": {"from": "items", "localField": "item", "foreignField": "_id", "as": "items"}}]

    def find(session):
        assert [d["_id"] for d in orders.find({"item": 0}, session=session).hint("item_1")] == [0, 3, 6]
        assert len(list(orders.find({}, session=session).batch_size(2))) == 9

    def aggregate(session):
        found = list(orders.aggregate(join, session=session))
        assert [(d["_id"], d["items"][0]["name"]) for d in found] == [(0, "item 0"), (3, "item 0"), (6, "item 0")]

    def distinct(session):
        assert sorted(orders.distinct("item", session=session)) == [0, 1, 2]

    reads = {"find": find, "aggregate": aggregate, "distinct": distinct}
    with client.start_session(snapshot=True) as session:
        reads[first](session)
        change_everything(database)
        for read in reads.values():
            read(session)
    assert orders.distinct("item") == ["new"]


def test_what_cannot_be_read_at_a_time_is_refused_in_a_snapshot_session(client, database):
    with client.start_session(snapshot=True) as session:
        for call in (
            lambda: database.orders.insert_one({"_id": "not written"}, session=session),
            lambda: database.orders.update_one({}, {"$set": {"a": 1}}, session=session),
            lambda: database.list_collection_names(session=session),
            lambda: database.command("count", "orders", session=session),
        ):
            assert code_of(call) == 72
    assert database.orders.count_documents({}) == 9


def test_a_cursor_of_a_snapshot_session_outlives_the_drop_of_its_collection(client, database):
    with client.start_session(snapshot=True) as session:
        cursor = database.orders.find({}, session=session).sort("_id", 1).batch_size(2)
        assert next(cursor)["_id"] == 0
        database.orders.drop()
        assert [d["_id"] for d in cursor] == list(range(1, 9))


def test_the_times_that_may_be_asked_for(replica_set, database):
    database.orders.insert_one({"_id": "last"})
    command = database.command
    time = command("find", "orders", readConcern={"level": "snapshot"})["cursor"]["atClusterTime"]
    at = {"level": "snapshot", "atClusterTime": time}
    for member in replica_set.members:
        reply = member.direct[database.name].command(
            "find", "orders", readConcern=at, filter={"_id": "last"}, read_preference=ReadPreference.NEAREST)
        assert reply["cursor"]["firstBatch"] == [{"_id": "last"}]
        assert reply["cursor"]["atClusterTime"] == time
    before_all = {"level": "snapshot", "atClusterTime": bson.Timestamp(1, 1)}
    assert code_of(command, "find", "orders", readConcern=before_all) == 239
    to_come = {"level": "snapshot", "atClusterTime": bson.Timestamp(time.time + 10_000, 1)}
    assert code_of(command, "find", "orders", readConcern=to_come) == 72
    never = {"level": "snapshot", "atClusterTime": bson.Timestamp(0, 0)}
    assert code_of(command, "find", "orders", readConcern=never) == 72
    assert code_of(command, "count", "orders", readConcern={"level": "snapshot"}) == 72
    assert code_of(command, "find", "orders", readConcern={"level": "majority", "atClusterTime": time}) == 72


def test_a_deposed_primary_answers_no_linearizable_read(replica_set, database_name):
    old = replica_set.primary
    linearizable = old.direct[database_name].get_collection("c", read_concern=ReadConcern("linearizable"))
    collection = replica_set.client()[database_name].c
    collection.with_options(write_concern=EVERYWHERE).insert_one({"_id": 1})
    assert linearizable.find_one({"_id": 1}, max_time_ms=5000) == {"_id": 1}
    others = replica_set.secondaries
    old.pause()
    new = eventually(lambda: next((m for m in others if m.hello().get("isWritablePrimary")), None), 20, "a new primary")
    new.direct[database_name].c.with_options(write_concern=WriteConcern(2)).insert_one({"_id": 2})
    old.resume()
    # Sent before it can have heard of its deposition, and after.
    for _ in range(20):
        with pytest.raises(PyMongoError):
            linearizable.find_one({"_id": 1}, max_time_ms=2000)
        if old.hello().get("secondary"):
            break
    reader = new.direct[database_name].get_collection("c", read_concern=ReadConcern("linearizable"))
    assert sorted(d["_id"] for d in reader.find({}).max_time_ms(5000)) == [1, 2]


def test_an_isolated_primary_answers_no_linearizable_read(replica_set, database_name):
    primary = replica_set.primary
    primary.direct[database_name].c.with_options(write_concern=EVERYWHERE).insert_one({"_id": 1})
    for member in replica_set.secondaries:
        member.pause()
    reader = primary.direct[database_name].get_collection("c", read_concern=ReadConcern("linearizable"))
    # Without a time limit of its own it ends when the primary steps down.
    with pytest.raises(PyMongoError):
        reader.find_one({"_id": 1})
    assert not primary.hello()["isWritablePrimary"]
