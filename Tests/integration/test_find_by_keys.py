"""find with min, max, returnKey and showRecordId; numbers that may not be negative."""
import bson
import pytest
from bson.decimal128 import Decimal128
from conftest import code_of


@pytest.fixture
def values(database):
    database.c.create_index([("a", 1), ("b", -1)], name="ab")
    database.c.insert_many([{"_id": i, "a": i // 3, "b": i % 3, "x": "x"} for i in range(9)])
    return database.c


def ids(cursor):
    return [document["_id"] for document in cursor]


def test_min_is_inclusive_and_max_exclusive_in_the_order_of_the_index(values):
    hint = "ab"
    assert ids(values.find().min([("a", 1), ("b", 1)]).hint(hint)) == [4, 3, 8, 7, 6]
    assert ids(values.find().max([("a", 1), ("b", 1)]).hint(hint)) == [2, 1, 0, 5]
    assert ids(values.find().min([("a", 0), ("b", 0)]).max([("a", 1), ("b", 0)]).hint([("a", 1), ("b", -1)])) == [
        0, 5, 4]
    assert ids(values.find({"b": 1}).min([("a", 1), ("b", 1)]).hint(hint).sort([("a", -1), ("b", 1)])) == [7, 4]
    assert ids(values.find().min([("_id", 7)]).hint("_id_")) == [7, 8]
    assert ids(values.find().min([("a", 1), ("b", 1)]).hint(hint).sort("x").limit(2)) == [4, 3]


@pytest.mark.parametrize("options, code", [
    ({"min": {"a": 1, "b": 1}}, 51173),
    ({"max": {"a": 1, "b": 1}}, 51173),
    ({"min": {"a": 1}, "hint": "ab"}, 51174),
    ({"min": {"b": 1, "a": 1}, "hint": "ab"}, 51174),
    ({"min": {"a": 1, "b": 1}, "max": {"a": 1}, "hint": "ab"}, 51176),
    ({"min": {"a": 1, "b": 1}, "max": {"a": 1, "b": 1}, "hint": "ab"}, 51175),
    ({"min": {"a": 2, "b": 1}, "max": {"a": 1, "b": 1}, "hint": "ab"}, 51175),
    ({"min": {"a": 1, "b": 1}, "hint": "nope"}, 2),
    ({"min": 5, "hint": "ab"}, 14),
    ({"limit": -1}, 2),
    ({"skip": -1}, 2),
    ({"batchSize": -1}, 2),
])
def test_what_cannot_be_is_refused_with_mongodbs_codes(values, options, code):
    assert code_of(values.database.command, {"find": "c", **options}) == code


def test_other_commands_refuse_negative_batch_sizes_too(values):
    aggregate = {"aggregate": "c", "pipeline": [], "cursor": {"batchSize": -1}}
    assert code_of(values.database.command, aggregate) == 2
    cursor = values.find(batch_size=2)
    next(cursor)
    more = {"getMore": bson.Int64(cursor.cursor_id), "collection": "c", "batchSize": -1}
    assert code_of(values.database.command, more, session=cursor.session) == 2
    assert len(list(cursor)) == 8


def test_return_key_shows_the_keys_of_the_index_that_is_used(values):
    command = {"find": "c", "returnKey": True}
    find = lambda **options: values.database.command({**command, **options})["cursor"]["firstBatch"]
    assert find(filter={"a": 1}) == [{"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 1, "b": 0}]
    assert find(filter={"_id": 5}) == [{"_id": 5}]
    assert find(filter={"x": "x"}, limit=2) == [{}, {}]
    assert find(hint="ab", sort={"a": 1, "b": -1}, limit=1) == [{"a": 0, "b": 2}]
    values.insert_one({"_id": "many", "a": [7, 8], "b": 1})
    assert find(filter={"a": 8}) == [{"a": 8, "b": 1}]


def test_return_key_shows_the_keys_in_the_order_of_a_sort_that_no_index_gives(values):
    command = {"find": "c", "returnKey": True, "hint": "ab"}
    find = lambda **options: values.database.command({**command, **options})["cursor"]["firstBatch"]
    by_id = [{"a": document["a"], "b": document["b"]} for document in values.find().sort("_id", -1)]
    assert find(sort={"_id": -1}) == by_id
    assert find(sort={"_id": -1}, skip=2, limit=3, projection={"x": 0}) == by_id[2:5]
    assert find(sort={"_id": -1}, hint={"$natural": 1}) == [{}] * 9
    # Of an array, the element that led to the document; and in batches.
    values.insert_one({"_id": "many", "a": [7, 8], "b": 1})
    assert find(filter={"a": 8}, sort={"x": 1, "_id": 1}) == [{"a": 8, "b": 1}]
    first = values.database.command({**command, "sort": {"_id": -1}, "batchSize": 2})["cursor"]
    more = values.database.command({"getMore": first["id"], "collection": "c"})["cursor"]["nextBatch"]
    assert [key for key in first["firstBatch"] + more if key.get("a") not in (7, 8)] == by_id


def test_show_record_id_gives_each_document_its_place(values):
    plain = values.database.command({"find": "c", "showRecordId": True, "projection": {"b": 1}})
    found = plain["cursor"]["firstBatch"]
    assert [sorted(document) for document in found] == [["$recordId", "_id", "b"]] * 9
    numbers = {document["_id"]: document["$recordId"] for document in found}
    assert sorted(set(numbers.values())) == list(numbers.values())
    for options in ({"sort": {"x": 1, "_id": -1}}, {"filter": {"a": 1}}, {"filter": {"_id": 5}}):
        for document in values.database.command({"find": "c", "showRecordId": True, **options})["cursor"]["firstBatch"]:
            assert document["$recordId"] == numbers[document["_id"]]


def test_with_return_key_no_record_id_is_shown(values):
    command = {"find": "c", "sort": {"_id": 1}, "returnKey": True, "showRecordId": True}
    assert [list(key) for key in values.database.command(command)["cursor"]["firstBatch"]] == [["_id"]] * 9


def test_a_hashed_index_has_the_keys_of_mongodb_and_tells_values_apart_that_share_one(database):
    collection = database.c
    collection.create_index([("a", "hashed")], name="h")
    collection.insert_many([{"_id": i, "a": a} for i, a in enumerate([3, 3.2, 3.7, Decimal128("3.2"), "3", None])])
    hint = "h"
    assert ids(collection.find({"a": 3}).hint(hint)) == [0]
    assert ids(collection.find({"a": 3.7}).hint(hint)) == [2]
    assert sorted(ids(collection.find({"a": {"$in": [3.2, "3"]}}).hint(hint))) == [1, 4]
    # MongoDB's manual shows the hash of this string.
    plan = collection.find({"a": "string to hash"}).hint(hint).explain()["queryPlanner"]["winningPlan"]
    assert plan["inputStage"]["indexBounds"] == {"a": ["[763543691661428748, 763543691661428748]"]}
