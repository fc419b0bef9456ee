"""$out and $merge: what they write, with which indexes, and from where: a secondary reads, the primary writes."""
import threading

import bson
import pymongo
import pytest
from conftest import code_of, eventually
from pymongo import ReadPreference, WriteConcern

EVERYWHERE = WriteConcern(w=3, wtimeout=10_000)


def run(collection, *stages):
    assert list(collection.aggregate(list(stages))) == []


def shown(collection):
    return list(collection.find({}, sort=[("_id", 1)]))


@pytest.fixture
def orders(database):
    database.orders.insert_many([{"_id": i, "n": i * 10} for i in range(3)])
    return database.orders


@pytest.mark.parametrize("matched, expected", [
    ("replace", {"_id": 1, "n": 10}),
    ("keepExisting", {"_id": 1, "n": 5, "keep": True}),
    ("merge", {"_id": 1, "n": 10, "keep": True}),
    ([{"$set": {"n": {"$add": ["$n", "$$new.n"]}}}], {"_id": 1, "n": 15, "keep": True}),
])
def test_a_match_becomes_what_was_asked_for_and_the_rest_is_inserted_as_it_is(orders, matched, expected):
    orders.database.t.insert_one({"_id": 1, "n": 5, "keep": True})
    run(orders, {"$merge": {"into": "t", "whenMatched": matched}})
    assert shown(orders.database.t) == [{"_id": 0, "n": 0}, expected, {"_id": 2, "n": 20}]


def test_variables_of_merge_are_of_the_new_document(orders):
    orders.database.t.insert_one({"_id": 1, "n": 5})
    run(orders, {"$merge": {
        "into": "t", "let": {"more": {"$multiply": ["$n", 100]}}, "whenNotMatched": "discard",
        "whenMatched": [{"$set": {"n": {"$add": ["$n", "$$more", "$$new.n"]}}}]}})
    assert shown(orders.database.t) == [{"_id": 1, "n": 1015}]


def test_documents_without_an_id_get_one(orders):
    for _ in range(2):
        run(orders, {"$project": {"_id": 0}}, {"$merge": "t"})
    found = list(orders.database.t.find())
    assert sorted(d["n"] for d in found) == [0, 0, 10, 10, 20, 20]
    assert all(isinstance(d["_id"], bson.ObjectId) for d in found)


def test_other_fields_to_match_by_need_a_unique_index(orders):
    target = orders.database.t
    merge = {"$merge": {"into": "t", "on": ["a", "n"]}}
    attempt = lambda: run(orders, {"$project": {"_id": 0, "a": {"$literal": 1}, "n": 1}}, merge)
    assert code_of(attempt) == 51183
    for index in ({"keys": ["a"], "unique": True}, {"keys": ["a", "n"]}, {"keys": ["a", "n", "x"], "unique": True},
                  {"keys": ["n", "a"], "unique": True, "name": "p", "partialFilterExpression": {"n": 1}}):
        keys = [(key, 1) for key in index.pop("keys")]
        name = target.create_index(keys, **index)
        assert code_of(attempt) == 51183
        target.drop_index(name)
    target.create_index([("n", -1), ("a", 1)], unique=True)
    target.insert_one({"_id": "own", "a": 1, "n": 10, "keep": True})
    attempt()
    attempt()
    assert sorted((d["n"], d.get("keep")) for d in target.find()) == [(0, None), (10, True), (20, None)]
    assert target.find_one({"n": 10})["_id"] == "own"
    assert code_of(lambda: run(orders, {"$project": {"n": 1}}, merge)) == 51132
    assert code_of(lambda: run(orders, {"$project": {"a": [1], "n": 1}}, merge)) == 51185


@pytest.mark.parametrize("specification, code", [
    ({"into": "t", "whenMatched": "fail"}, 11000),
    ({"into": "t", "whenNotMatched": "fail"}, 13113),
    ({"into": "t", "whenMatched": "keepExisting", "whenNotMatched": "discard"}, 51181),
    ({"into": "t", "whenMatched": "other"}, 2),
    ({"into": "t", "whenNotMatched": "other"}, 2),
    ({"into": "t", "on": []}, 51187),
    ({"into": "t", "on": 5}, 51186),
    ({"into": "t", "on": ["_id", "_id"]}, 31465),
    ({"into": "t", "let": {"x": 1}}, 51199),
    ({"into": "t", "let": {"new": 1}, "whenMatched": []}, 51273),
    ({"into": "t", "wher": 1}, 40415),
    ({"on": "_id"}, 40414),
])
def test_what_merge_cannot_do_is_refused_with_mongodbs_codes(orders, specification, code):
    orders.database.t.insert_one({"_id": 1})
    assert code_of(lambda: run(orders, {"$merge": specification})) == code
    # Those that were written before the failure stay, as in a write command.
    assert len(shown(orders.database.t)) <= 2


def test_out_replaces_a_collection_and_keeps_its_options_and_indexes(orders):
    database = orders.database
    database.create_collection("t", validator={"n": {"$lt": 100}})
    database.t.create_index("n", unique=True)
    database.t.insert_one({"_id": "old", "n": 7})
    run(orders, {"$match": {"n": {"$gt": 0}}}, {"$out": "t"})
    assert shown(database.t) == [{"_id": 1, "n": 10}, {"_id": 2, "n": 20}]
    assert database.t.index_information()["n_1"]["unique"]
    assert code_of(lambda: run(orders, {"$set": {"n": 1}}, {"$out": "t"})) == 11000
    assert code_of(lambda: run(orders, {"$set": {"n": {"$add": ["$n", 200]}}}, {"$out": "t"})) == 121
    assert shown(database.t) == [{"_id": 1, "n": 10}, {"_id": 2, "n": 20}]
    assert sorted(database.list_collection_names()) == ["orders", "t"]
    run(orders, {"$match": {"n": -1}}, {"$out": "t"})
    assert shown(database.t) == []


def test_out_into_a_capped_collection_is_refused(orders):
    orders.database.create_collection("t", capped=True, size=10_000)
    assert code_of(lambda: run(orders, {"$out": "t"})) == 17152


# From a secondary.

@pytest.fixture
def shared(replica_set, database_name):
    database = replica_set.client().get_database(database_name, write_concern=EVERYWHERE)
    database.orders.insert_many([{"_id": i, "item": i % 2, "pad": "x" * 200} for i in range(5000)])
    return database


@pytest.mark.parametrize("mode", [ReadPreference.SECONDARY, ReadPreference.SECONDARY_PREFERRED])
def test_a_secondary_reads_and_the_primary_writes(shared, mode):
    group = {"$group": {"_id": "$item", "n": {"$sum": 1}}}
    secondary = shared.orders.with_options(read_preference=mode)
    for stage, name in (({"$out": "counts"}, "counts"), ({"$merge": {"into": "merged"}}, "merged"),
                        ({"$merge": {"into": "merged", "whenMatched": "fail", "whenNotMatched": "insert"}}, "other")):
        if name == "other":
            assert code_of(lambda: run(secondary, group, stage)) == 11000
            continue
        run(secondary, group, stage)
        assert shown(shared[name]) == [{"_id": 0, "n": 2500}, {"_id": 1, "n": 2500}]
    run(secondary, {"$out": "copy"})
    assert shared.copy.count_documents({}) == 5000


def test_the_write_concern_is_met_before_the_answer_comes(replica_set, shared):
    for member in replica_set.secondaries:
        local = member.direct[shared.name]
        run(shared.orders.with_options(read_preference=ReadPreference.SECONDARY), {"$out": "everywhere"})
        assert local.everywhere.count_documents({}) == 5000
        run(shared.orders.with_options(read_preference=ReadPreference.SECONDARY, write_concern=EVERYWHERE),
            {"$merge": {"into": "merged_everywhere"}})
        assert local.merged_everywhere.count_documents({}) == 5000
    concern = WriteConcern(w=3, wtimeout=50)
    paused = replica_set.secondaries[0]
    other = replica_set.secondaries[1]
    paused.pause()
    orders = other.direct[shared.name].get_collection(
        "orders", read_preference=ReadPreference.SECONDARY, write_concern=concern)
    assert code_of(lambda: run(orders, {"$limit": 5}, {"$merge": {"into": "late"}})) == 64
    assert shared.client[shared.name].late.count_documents({}) == 5
    paused.resume()


def test_a_session_reads_what_its_merge_at_a_secondary_wrote(shared):
    with shared.client.start_session(causal_consistency=True) as session:
        secondary = shared.orders.with_options(
            read_preference=ReadPreference.SECONDARY, write_concern=WriteConcern("majority"))
        for n in range(20):
            list(secondary.aggregate(
                [{"$limit": 1}, {"$set": {"n": {"$literal": n}}}, {"$merge": {"into": "mine"}}], session=session))
            mine = shared.mine.with_options(read_preference=ReadPreference.SECONDARY)
            assert mine.find_one({}, session=session)["n"] == n


def test_without_leave_to_read_there_a_secondary_refuses(replica_set, shared):
    member = replica_set.secondaries[0]
    command = {"aggregate": "orders", "pipeline": [{"$out": "x"}], "cursor": {}}
    assert code_of(member.direct[shared.name].command, {**command, "$readPreference": {"mode": "primary"}}) == 10107


def test_a_step_down_on_the_way_gives_an_error_that_says_so(replica_set, shared):
    """What was merged before it stays, and the same again succeeds."""
    member = replica_set.secondaries[0]
    orders = member.direct[shared.name].get_collection("orders", read_preference=ReadPreference.SECONDARY)
    slow = [{"$lookup": {"from": "orders", "localField": "pad", "foreignField": "none", "as": "x"}}]
    errors = []

    def write():
        try:
            list(orders.aggregate([*slow, {"$merge": {"into": "target"}}]))
        except pymongo.errors.PyMongoError as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    eventually(lambda: shared.target.find_one() is not None)
    replica_set.step_down()
    writer.join()
    assert len(errors) == 1
    code = getattr(errors[0], "code", None) or errors[0].details["code"]
    assert code in (189, 10107, 11602), errors
    run(shared.orders.with_options(read_preference=ReadPreference.SECONDARY), {"$merge": {"into": "target"}})
    assert shared.target.count_documents({}) == 5000
