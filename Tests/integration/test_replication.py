"""What a replica set promises to those who read and write: oplog, write concern, read concern, sessions, retries."""
import concurrent.futures
import datetime
import queue
import threading
import time
import uuid

import bson
import pymongo
import pytest
from bson.binary import Binary
from conftest import eventually
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.cursor import CursorType
from pymongo.errors import (
    ExecutionTimeout, NotPrimaryError, OperationFailure, ServerSelectionTimeoutError, WriteConcernError, WTimeoutError)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Nearest, ReadPreference, Secondary
from pymongo.write_concern import WriteConcern

EVERYWHERE = WriteConcern(w=3, j=True, wtimeout=5000)


@pytest.fixture
def client(replica_set):
    return replica_set.client()


@pytest.fixture
def database(client, database_name):
    return client[database_name]


@pytest.fixture
def frozen_secondary(replica_set):
    """A secondary that is stopped for the length of the test."""
    member = replica_set.secondaries[0]
    member.pause()
    yield member
    member.resume()


# The oplog


def entries_of(client, namespace):
    return list(client.local["oplog.rs"].find({"ns": namespace}).sort("$natural", 1))


def test_local_has_the_collections_of_replication(client):
    expected = {
        "me", "oplog.rs", "replset.election", "replset.minvalid", "startup_log", "system.replset", "system.rollback.id"}
    assert expected <= set(client.local.list_collection_names())


def nested(levels):
    document = {}
    for _ in range(levels):
        document = {"a": document}
    return document


def test_the_deepest_documents_are_replicated(replica_set, database):
    """An entry holds its document one level deeper, and its delta some more; a member that follows must not mind."""
    things = database.get_collection("things", write_concern=EVERYWHERE)
    things.insert_many([{"_id": 1, **nested(100)}, {"_id": 2, "b": {"c": 1}}])
    things.update_one({"_id": 2}, {"$set": {"b.c": nested(97)}})
    for secondary in replica_set.secondaries:
        copy = secondary.direct[database.name].get_collection("things", read_preference=ReadPreference.SECONDARY)
        assert list(copy.find().sort("_id")) == [{"_id": 1, **nested(100)}, {"_id": 2, "b": {"c": nested(97)}}]


def test_the_first_entry_is_the_initiation(client):
    entry = client.local["oplog.rs"].find_one()
    assert entry["op"] == "n"
    assert entry["ns"] == ""
    assert entry["o"] == {"msg": "initiating set"}
    assert isinstance(entry["ts"], bson.Timestamp)
    assert isinstance(entry["wall"], datetime.datetime)
    assert entry["v"] == 2
    assert "t" in entry


def test_each_kind_of_operation_has_its_code(client, database):
    database.c.insert_one({"_id": 1, "n": 1})
    database.c.update_one({"_id": 1}, {"$inc": {"n": 1}})
    database.c.delete_one({"_id": 1})
    database.c.drop()
    namespace = f"{database.name}.c"
    entries = entries_of(client, namespace)
    assert [entry["op"] for entry in entries] == ["i", "u", "d"]
    insert, update, delete = entries
    for entry in entries:
        assert {"ts", "t", "v", "op", "ns", "ui", "o", "wall"} <= set(entry)
        assert isinstance(entry["ui"], (Binary, uuid.UUID))
        # Retryable: who wrote it, and where in the session.
        assert {"lsid", "txnNumber", "stmtId"} <= set(entry)
    assert insert["o"] == {"_id": 1, "n": 1}
    assert update["o2"] == {"_id": 1}
    assert "$inc" not in str(update["o"])
    assert delete["o"] == {"_id": 1}
    commands = entries_of(client, f"{database.name}.$cmd")
    assert [next(iter(entry["o"])) for entry in commands] == ["create", "drop"]
    assert {entry["op"] for entry in commands} == {"c"}
    assert client.local["oplog.rs"].find_one({"op": "n"})["ns"] == ""
    stamps = [entry["ts"] for entry in client.local["oplog.rs"].find({}, {"ts": 1})]
    assert stamps == sorted(set(stamps))


def test_an_increment_is_logged_as_its_result(client, database):
    database.c.insert_one({"_id": 1, "n": 40})
    database.c.update_one({"_id": 1}, {"$inc": {"n": 2}})
    update = entries_of(client, f"{database.name}.c")[-1]
    assert update["o"] == {"$v": 2, "diff": {"u": {"n": 42}}}


def test_a_write_to_many_documents_is_an_entry_for_each(client, database):
    database.c.insert_many({"_id": n, "n": 0} for n in range(7))
    database.c.update_many({}, {"$set": {"n": 1}})
    database.c.delete_many({"_id": {"$lt": 4}})
    codes = [entry["op"] for entry in entries_of(client, f"{database.name}.c")]
    assert codes == ["i"] * 7 + ["u"] * 7 + ["d"] * 4


def test_a_tailing_cursor_yields_entries_as_they_are_written(client, database):
    last = client.local["oplog.rs"].find().sort("$natural", -1).limit(1).next()["ts"]
    cursor = client.local["oplog.rs"].find(
        {"ts": {"$gt": last}, "ns": f"{database.name}.c"},
        cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(120_000)
    seen = queue.Queue()

    def read():
        # An iteration ends when a batch is empty, as the first one is; the cursor lives on.
        while cursor.alive:
            for entry in cursor:
                seen.put(entry["o"]["_id"])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for number in range(3):
        database.c.insert_one({"_id": number})
        # Awake at once: who slept until the wait is over would sleep for longer than this.
        assert seen.get(timeout=60) == number
    cursor.close()


def test_the_oplog_tells_its_size(client):
    statistics = client.local.command("collStats", "oplog.rs")
    assert statistics["capped"] is True
    assert statistics["count"] > 0
    assert 0 < statistics["size"] <= statistics["maxSize"]


def test_every_member_has_the_same_oplog(replica_set, database):
    database.c.with_options(write_concern=EVERYWHERE).insert_many({"_id": n} for n in range(100))
    histories = [
        [(e["ts"], e["t"], e["op"], e["o"]) for e in member.direct.local["oplog.rs"].find({"ns": f"{database.name}.c"})]
        for member in replica_set.members
    ]
    assert len(histories[0]) == 100
    assert histories[0] == histories[1] == histories[2]


def test_a_load_leaves_equal_data_everywhere(replica_set, client, database):
    def work(worker):
        collection = database[f"c{worker % 2}"]
        for number in range(60):
            key = f"{worker}-{number % 20}"
            collection.update_one({"_id": key}, {"$inc": {"n": 1}, "$push": {"list": number}}, upsert=True)
            if number % 7 == 0:
                collection.delete_one({"_id": key})
        collection.bulk_write([
            InsertOne({"_id": f"{worker}-bulk"}), UpdateOne({"_id": f"{worker}-1"}, {"$unset": {"list": ""}}),
            DeleteOne({"_id": f"{worker}-2"}),
        ])

    database.c0.create_index([("n", 1), ("list", -1)])
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    database.c1.create_index("n", name="later")
    database.c1.rename("renamed")
    database.dropped.insert_one({})
    database.dropped.drop()
    replica_set.wait_for_equal_data(database.name)
    for member in replica_set.members:
        local = member.direct[database.name]
        assert sorted(local.list_collection_names()) == ["c0", "renamed"]
        assert sorted(i["name"] for i in local.c0.list_indexes()) == ["_id_", "n_1_list_-1"]
        assert sorted(i["name"] for i in local.renamed.list_indexes()) == ["_id_", "later"]
        assert {d["_id"]: d for d in local.c0.find()} == {d["_id"]: d for d in database.c0.find()}


def test_dropping_a_database_reaches_every_member(replica_set, client, database):
    database.c.with_options(write_concern=EVERYWHERE).insert_one({})
    client.drop_database(database.name)
    for member in replica_set.members:
        eventually(lambda: database.name not in member.direct.list_database_names())


# Write concern


def test_unacknowledged_writes_arrive(database):
    collection = database.get_collection("c", write_concern=WriteConcern(w=0))
    assert collection.insert_one({"_id": 1}).acknowledged is False
    eventually(lambda: database.c.find_one({"_id": 1}))


@pytest.mark.parametrize("w", [1, 2, 3, "majority"])
def test_each_write_concern_is_met_by_that_many_members(replica_set, database, w):
    collection = database.get_collection("c", write_concern=WriteConcern(w=w, wtimeout=5000))
    for number in range(20):
        assert collection.insert_one({"_id": number}).acknowledged
        holders = sum(1 for m in replica_set.members if m.direct[database.name].c.find_one({"_id": number}))
        assert holders >= (2 if w == "majority" else w)


def test_more_members_than_there_are_cannot_acknowledge(database):
    with pytest.raises(WriteConcernError) as caught:
        database.get_collection("c", write_concern=WriteConcern(w=4)).insert_one({"_id": 1})
    assert caught.value.code == 100
    assert database.c.find_one({"_id": 1})


def test_an_unknown_mode_is_refused(database):
    with pytest.raises(WriteConcernError) as caught:
        database.get_collection("c", write_concern=WriteConcern(w="everybody")).insert_one({"_id": 1})
    assert caught.value.code == 79


@pytest.fixture
def alone(make_replica_set):
    """The database of a primary whose secondaries are frozen, and who does not step down for that: its set is patient.
    A document that everybody has is there."""
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(replica_set.PATIENT))
    database = replica_set.client().test
    database.get_collection("c", write_concern=EVERYWHERE).insert_one({"_id": 1})
    for member in replica_set.secondaries:
        member.pause()
    yield database
    for member in replica_set.members:
        member.resume()


def test_one_acknowledges_while_all_secondaries_are_frozen(alone):
    assert alone.get_collection("c", write_concern=WriteConcern(w=1)).insert_one({"_id": 2}).acknowledged


def test_wtimeout_reports_and_keeps_the_write(replica_set, database, frozen_secondary):
    collection = database.get_collection("c", write_concern=WriteConcern(w=3, wtimeout=100))
    started = time.monotonic()
    with pytest.raises(WTimeoutError) as caught:
        collection.insert_one({"_id": 1})
    assert 0.1 <= time.monotonic() - started
    assert caught.value.code == 64
    assert caught.value.details["errInfo"]["wtimeout"] is True
    assert database.c.find_one({"_id": 1}) == {"_id": 1}
    # Two of three are no majority less.
    by_majority = database.get_collection("c", write_concern=WriteConcern("majority", wtimeout=5000))
    assert by_majority.insert_one({}).acknowledged


def test_without_wtimeout_a_write_waits_until_the_member_is_back(replica_set, database, frozen_secondary):
    collection = database.get_collection("c", write_concern=WriteConcern(w=3))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        write = pool.submit(collection.insert_one, {"_id": 1})
        eventually(lambda: database.c.find_one({"_id": 1}))
        # Visible before it is acknowledged.
        assert not write.done()
        frozen_secondary.resume()
        assert write.result(60).acknowledged


@pytest.mark.parametrize("journal", [True, False])
def test_journal_goes_with_every_write_concern(database, journal):
    for w in (1, 2, "majority"):
        concern = WriteConcern(w=w, j=journal, wtimeout=5000)
        assert database.get_collection("c", write_concern=concern).insert_one({}).acknowledged


def test_a_mode_of_tags_counts_places_not_members(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(
        settings={"getLastErrorModes": {"twoPlaces": {"dc": 2}}},
        m0={"tags": {"dc": "ny"}}, m1={"tags": {"dc": "ny"}}, m2={"tags": {"dc": "sf"}}))
    client = replica_set.client()
    collection = client.test.get_collection("c", write_concern=WriteConcern(w="twoPlaces", wtimeout=5000))
    assert collection.insert_one({"_id": 1}).acknowledged
    assert replica_set.members[2].direct.test.c.find_one({"_id": 1})
    replica_set.members[2].pause()
    with pytest.raises(WTimeoutError):
        client.test.get_collection("c", write_concern=WriteConcern(w="twoPlaces", wtimeout=100)).insert_one({})
    replica_set.members[2].resume()
    # The same tags choose whom to read from.
    for place in ("ny", "sf"):
        cursor = client.test.get_collection("c", read_preference=Nearest(tag_sets=[{"dc": place}])).find({"_id": 1})
        assert len(list(cursor)) == 1
        assert replica_set.member_at(cursor.address).hello()["tags"] == {"dc": place}
    falls_through = Secondary(tag_sets=[{"dc": "nowhere"}, {"dc": "sf"}, {}])
    cursor = client.test.get_collection("c", read_preference=falls_through).find({"_id": 1})
    list(cursor)
    assert replica_set.member_at(cursor.address).hello()["tags"] == {"dc": "sf"}


# Read concern


def test_every_read_concern_reads_what_was_acknowledged(client, database):
    database.c.insert_one({"_id": 1})
    for level in ("local", "majority", "available", "linearizable"):
        collection = database.get_collection("c", read_concern=ReadConcern(level))
        assert collection.find_one({"_id": 1}, max_time_ms=5000) == {"_id": 1}


def test_majority_reads_leave_out_what_only_the_primary_has(alone):
    alone.get_collection("c", write_concern=WriteConcern(w=1)).insert_one({"_id": 2})
    local = alone.get_collection("c", read_concern=ReadConcern("local"))
    majority = alone.get_collection("c", read_concern=ReadConcern("majority"))
    assert [d["_id"] for d in local.find()] == [1, 2]
    assert [d["_id"] for d in majority.find()] == [1]


def test_majority_reads_show_what_a_majority_has_got_since(replica_set, database):
    database.get_collection("c", write_concern=WriteConcern(w=1)).insert_one({"_id": 1})
    majority = database.get_collection("c", read_concern=ReadConcern("majority"))
    eventually(lambda: [d["_id"] for d in majority.find()] == [1])


def test_a_linearizable_read_does_not_answer_without_a_majority(replica_set, database):
    database.get_collection("c", write_concern=EVERYWHERE).insert_one({"_id": 1})
    secondaries = replica_set.secondaries
    for member in secondaries:
        member.pause()
    reader = database.get_collection("c", read_concern=ReadConcern("linearizable"))
    with pytest.raises((ExecutionTimeout, NotPrimaryError, pymongo.errors.AutoReconnect)):
        reader.find_one({"_id": 1}, max_time_ms=300)
    for member in secondaries:
        member.resume()


def test_a_snapshot_session_reads_one_point_in_time(client, database):
    database.c.insert_many({"_id": n, "v": 0} for n in range(10))
    with client.start_session(snapshot=True) as session:
        assert [d["v"] for d in database.c.find({}, session=session)] == [0] * 10
        database.c.update_many({}, {"$set": {"v": 1}})
        database.c.insert_one({"_id": 10, "v": 1})
        assert [d["v"] for d in database.c.find({}, session=session)] == [0] * 10
    assert [d["v"] for d in database.c.find()] == [1] * 11


def test_a_snapshot_session_goes_on_at_a_secondary(client, database):
    database.get_collection("c", write_concern=EVERYWHERE).insert_one({"_id": 1})
    with client.start_session(snapshot=True) as session:
        assert len(list(database.c.find({}, session=session))) == 1
        database.c.insert_one({"_id": 2})
        secondary = database.get_collection("c", read_preference=ReadPreference.SECONDARY)
        assert len(list(secondary.find({}, session=session))) == 1


def test_causal_sessions_read_their_writes_at_every_member(replica_set, client, database):
    reader = database.get_collection("c", read_preference=ReadPreference.SECONDARY)
    writer = database.get_collection("c", write_concern=WriteConcern(w=1))
    with client.start_session(causal_consistency=True) as session:
        for number in range(100):
            writer.insert_one({"_id": number}, session=session)
            assert reader.find_one({"_id": number}, session=session) == {"_id": number}
    # Handed on to another session, as between two services.
    with client.start_session(causal_consistency=True) as one, client.start_session(causal_consistency=True) as two:
        for number in range(100, 150):
            writer.insert_one({"_id": number}, session=one)
            two.advance_cluster_time(one.cluster_time)
            two.advance_operation_time(one.operation_time)
            assert reader.find_one({"_id": number}, session=two) == {"_id": number}


def test_secondaries_refuse_what_is_for_the_primary(replica_set, database):
    database.get_collection("c", write_concern=EVERYWHERE).insert_one({"_id": 1})
    secondary = replica_set.secondaries[0].direct[database.name]
    with pytest.raises(NotPrimaryError) as caught:
        secondary.command({"find": "c", "$readPreference": {"mode": "primary"}})
    assert caught.value.details["code"] == 13435
    with pytest.raises(NotPrimaryError) as caught:
        secondary.command("insert", "c", documents=[{}])
    assert caught.value.details["code"] == 10107
    assert secondary.command({"find": "c", "$readPreference": {"mode": "secondaryPreferred"}})["cursor"]["firstBatch"]
    # Direct reads are as PyMongo sends them: primaryPreferred.
    assert secondary.c.find_one({"_id": 1}) == {"_id": 1}


def test_each_read_preference_is_answered_by_the_member_it_means(replica_set, client, database):
    database.get_collection("c", write_concern=EVERYWHERE).insert_one({"_id": 1})
    primary = replica_set.primary.address
    eventually(lambda: client.primary == primary and len(client.secondaries) == 2)
    secondaries = client.secondaries

    def address(preference):
        cursor = database.get_collection("c", read_preference=preference).find()
        assert len(list(cursor)) == 1
        return cursor.address

    for _ in range(5):
        assert address(ReadPreference.PRIMARY) == primary
        assert address(ReadPreference.PRIMARY_PREFERRED) == primary
        assert address(ReadPreference.SECONDARY) in secondaries
        assert address(ReadPreference.SECONDARY_PREFERRED) in secondaries
        assert address(ReadPreference.NEAREST) in secondaries | {primary}
        assert address(Secondary(max_staleness=90)) in secondaries


def test_without_a_secondary_nothing_answers_for_one(make_replica_set):
    replica_set = make_replica_set(1)
    replica_set.initiate()
    collection = replica_set.client().test.c
    collection.insert_one({"_id": 1})
    hasty = replica_set.client(serverSelectionTimeoutMS=300).test.c
    with pytest.raises(ServerSelectionTimeoutError):
        hasty.with_options(read_preference=ReadPreference.SECONDARY).find_one()
    assert collection.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED).find_one() == {"_id": 1}


# Retryable writes


def send_twice(replica_set, database, command, number):
    """On a client of its own: the numbers would confuse the sessions that others take from the driver's pool."""
    client = replica_set.client()
    # The driver puts the session's id in, also over one that the command names.
    with client.start_session() as session:
        command = {**command, "txnNumber": bson.Int64(number)}
        return tuple(client[database.name].command(command, session=session) for _ in range(2))


def without_gossip(reply):
    return {key: value for key, value in reply.items() if key not in ("operationTime", "$clusterTime")}


def test_an_insert_sent_twice_is_done_once(replica_set, database_name):
    database = replica_set.primary.direct[database_name]
    first, second = send_twice(replica_set, database, {"insert": "c", "documents": [{"_id": 1}, {"_id": 2}]}, 1)
    assert (first["n"], second["n"]) == (2, 2)
    assert "writeErrors" not in second
    assert sorted(d["_id"] for d in database.c.find()) == [1, 2]


def test_an_update_sent_twice_is_done_once(replica_set, database_name):
    database = replica_set.primary.direct[database_name]
    database.c.insert_one({"_id": 1, "n": 0})
    update = {"update": "c", "updates": [
        {"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}, {"q": {"_id": 9}, "u": {"$inc": {"n": 1}}, "upsert": True}]}
    first, second = send_twice(replica_set, database, update, 7)
    assert first["n"] == second["n"] == 2
    assert first["nModified"] == second["nModified"] == 1
    assert first["upserted"] == second["upserted"] == [{"index": 1, "_id": 9}]
    assert [(d["_id"], d["n"]) for d in database.c.find().sort("_id", 1)] == [(1, 1), (9, 1)]


def test_a_delete_sent_twice_is_done_once(replica_set, database_name):
    database = replica_set.primary.direct[database_name]
    database.c.insert_many([{"a": 1}, {"a": 1}, {"a": 1}])
    first, second = send_twice(replica_set, database, {"delete": "c", "deletes": [{"q": {"a": 1}, "limit": 1}]}, 1)
    assert (first["n"], second["n"]) == (1, 1)
    assert len(list(database.c.find())) == 2


@pytest.mark.parametrize("new", [True, False])
def test_a_find_and_modify_sent_twice_is_done_once(replica_set, database_name, new):
    database = replica_set.primary.direct[database_name]
    database.c.insert_one({"_id": 1, "n": 0})
    change = {"findAndModify": "c", "query": {"_id": 1}, "update": {"$inc": {"n": 1}}, "new": new}
    first, second = send_twice(replica_set, database, change, 1)
    assert second.pop("retriedStmtId") == 0
    assert without_gossip(first) == without_gossip(second)
    assert first["value"] == {"_id": 1, "n": 1 if new else 0}
    assert database.c.find_one() == {"_id": 1, "n": 1}


def test_a_retry_at_the_new_primary_is_recognised(replica_set, database_name):
    database = replica_set.client()[database_name]
    command = {
        "update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}, "upsert": True}],
        "txnNumber": bson.Int64(1), "writeConcern": {"w": "majority"}}
    with database.client.start_session() as session:
        first = database.command(command, session=session)
        old = replica_set.primary
        old.kill()
        eventually(lambda: database.client.primary not in (None, old.address))
        second = database.command(command, session=session)
    assert first["n"] == second["n"] == 1
    assert first["upserted"] == second["upserted"]
    assert database.c.find_one() == {"_id": 1, "n": 1}


def test_an_older_transaction_number_is_refused(replica_set, database_name):
    client = replica_set.client()
    with client.start_session() as session:
        database = client[database_name]
        database.command({"insert": "c", "documents": [{"_id": 1}], "txnNumber": bson.Int64(5)}, session=session)
        with pytest.raises(OperationFailure) as caught:
            database.command({"insert": "c", "documents": [{"_id": 2}], "txnNumber": bson.Int64(4)}, session=session)
    assert caught.value.code == 225


def test_writers_go_on_soon_after_a_step_down(make_replica_set):
    """Several at a time, so that each of them meets the change in another place."""
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(replica_set.PATIENT))
    database = replica_set.client(serverSelectionTimeoutMS=replica_set.SOON * 1000).test
    written, slowest = [], []
    stop = threading.Event()

    def write(worker):
        number, longest = 0, 0
        while not stop.is_set():
            started = time.monotonic()
            database.c.insert_one({"_id": f"{worker}-{number}"})
            longest = max(longest, time.monotonic() - started)
            written.append(f"{worker}-{number}")
            number += 1
        slowest.append(longest)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, worker) for worker in range(4)]
        eventually(lambda: len(written) > 50)
        replica_set.step_down()
        count = len(written)
        eventually(lambda: len(written) > count + 50)
        stop.set()
        for writer in writers:
            writer.result(60)
    # None of them has waited for an election timeout.
    assert max(slowest) < replica_set.SOON
    assert sorted(d["_id"] for d in database.c.find()) == sorted(written)
