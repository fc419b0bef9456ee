"""CRUD as PyMongo users write it, against a standalone."""
import datetime
import re

import bson
import pymongo
import pytest
from conftest import eventually
from pymongo import ASCENDING, DESCENDING, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError


def test_insert_and_find_one_by_id(database):
    result = database.people.insert_one({"name": "Ada", "born": 1815})
    assert isinstance(result.inserted_id, bson.ObjectId)
    assert database.people.find_one({"_id": result.inserted_id}) == {
        "_id": result.inserted_id, "name": "Ada", "born": 1815,
    }
    assert database.people.find_one({"_id": "nobody"}) is None


def test_id_is_moved_to_the_front(database):
    database.c.insert_one({"a": 1, "_id": 5})
    assert list(database.c.find_one()) == ["_id", "a"]


def test_duplicate_key_says_which(database):
    database.c.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError) as caught:
        database.c.insert_one({"_id": 1})
    details = caught.value.details
    assert details["code"] == 11000
    assert details["keyPattern"] == {"_id": 1}
    assert details["keyValue"] == {"_id": 1}
    assert details["errmsg"].startswith("E11000 duplicate key error collection: ")
    assert database.c.count_documents({}) == 1


def test_ordered_and_unordered_batches(database):
    documents = [{"_id": 1}, {"_id": 2}, {"_id": 1}, {"_id": 3}]
    with pytest.raises(BulkWriteError) as caught:
        database.ordered.insert_many(documents)
    assert caught.value.details["nInserted"] == 2
    assert [e["index"] for e in caught.value.details["writeErrors"]] == [2]
    assert database.ordered.distinct("_id") == [1, 2]
    with pytest.raises(BulkWriteError) as caught:
        database.unordered.insert_many(documents, ordered=False)
    assert caught.value.details["nInserted"] == 3
    assert database.unordered.distinct("_id") == [1, 2, 3]


def test_large_batches_come_back_in_order(database):
    database.c.insert_many({"_id": i, "text": "x" * 100} for i in range(5000))
    assert [d["_id"] for d in database.c.find()] == list(range(5000))
    assert [d["_id"] for d in database.c.find(batch_size=7)][:20] == list(range(20))
    assert [d["_id"] for d in database.c.find({"_id": {"$gte": 4990}}).sort("_id", -1)] == list(range(4999, 4989, -1))
    assert database.c.count_documents({"_id": {"$lt": 100}}) == 100
    assert database.c.estimated_document_count() == 5000


def test_every_type_round_trips(database):
    document = {
        "_id": 1, "double": 1.5, "string": "é\u0000x", "document": {"a": {"b": [1, {"c": None}]}},
        "binary": b"\x00\x01", "uuid": bson.Binary(bytes(16), 4), "oid": bson.ObjectId(), "bool": True,
        "date": datetime.datetime(2024, 2, 29, 12, 30, 15, 123000), "null": None, "regex": bson.Regex("^a", "i"),
        "code": bson.Code("f()"), "scoped": bson.Code("f()", {"x": 1}), "int": 1, "ts": bson.Timestamp(5, 6),
        "long": bson.Int64(2**40), "decimal": bson.Decimal128("1.10"), "min": bson.MinKey(), "max": bson.MaxKey(),
    }
    database.c.insert_one(document)
    assert database.c.find_one() == document


@pytest.mark.parametrize("filter, expected", [
    ({"n": {"$gt": 7}}, [8, 9]),
    ({"n": {"$gte": 8, "$lt": 9}}, [8]),
    ({"n": {"$in": [1, 3.0, "x"]}}, [1, 3]),
    ({"n": {"$nin": list(range(9))}}, [9]),
    ({"n": {"$ne": 0}, "even": True}, [2, 4, 6, 8]),
    ({"$or": [{"n": 1}, {"n": 9}]}, [1, 9]),
    ({"$nor": [{"n": {"$lt": 8}}]}, [8, 9]),
    ({"n": {"$not": {"$lt": 9}}}, [9]),
    ({"n": {"$mod": [4, 1]}}, [1, 5, 9]),
    ({"tags": "t3"}, [3]),
    ({"tags": {"$all": ["all", "t4"]}}, [4]),
    ({"tags": {"$size": 2}, "n": {"$lt": 2}}, [0, 1]),
    ({"sub.k": 5}, [5]),
    ({"missing": None, "n": 2}, [2]),
    ({"missing": {"$exists": True}}, []),
    ({"n": {"$type": "int"}, "even": False}, [1, 3, 5, 7, 9]),
    ({"name": {"$regex": "^NAME[12]$", "$options": "i"}}, [1, 2]),
    ({"name": re.compile("3$")}, [3]),
    ({"$expr": {"$eq": ["$n", "$sub.k"]}, "n": 6}, [6]),
    ({"items": {"$elemMatch": {"a": 7, "b": {"$gt": 7}}}}, [7]),
    ({"n": {"$bitsAllSet": 6}}, [6, 7]),
])
def test_query_operators(database, filter, expected):
    database.c.insert_many(
        {"_id": i, "n": i, "even": i % 2 == 0, "tags": ["all", f"t{i}"], "sub": {"k": i}, "name": f"name{i}",
         "items": [{"a": i, "b": i + 1}]} for i in range(10)
    )
    assert [d["_id"] for d in database.c.find(filter).sort("_id", 1)] == expected


@pytest.mark.parametrize("update, expected", [
    ({"$set": {"a": 5, "n.x": 1}}, {"a": 5, "l": [1, 2, 3], "s": "x", "n": {"x": 1}}),
    ({"$unset": {"a": ""}}, {"l": [1, 2, 3], "s": "x"}),
    ({"$inc": {"a": 2.5}}, {"a": 3.5, "l": [1, 2, 3], "s": "x"}),
    ({"$mul": {"a": 3}}, {"a": 3, "l": [1, 2, 3], "s": "x"}),
    ({"$min": {"a": 0}, "$max": {"b": 4}}, {"a": 0, "l": [1, 2, 3], "s": "x", "b": 4}),
    ({"$rename": {"a": "z"}}, {"l": [1, 2, 3], "s": "x", "z": 1}),
    ({"$push": {"l": 4}}, {"a": 1, "l": [1, 2, 3, 4], "s": "x"}),
    ({"$push": {"l": {"$each": [9, 8], "$sort": 1, "$slice": -3}}}, {"a": 1, "l": [3, 8, 9], "s": "x"}),
    ({"$push": {"l": {"$each": [0], "$position": 0}}}, {"a": 1, "l": [0, 1, 2, 3], "s": "x"}),
    ({"$addToSet": {"l": {"$each": [2, 7]}}}, {"a": 1, "l": [1, 2, 3, 7], "s": "x"}),
    ({"$pop": {"l": -1}}, {"a": 1, "l": [2, 3], "s": "x"}),
    ({"$pull": {"l": {"$gte": 2}}}, {"a": 1, "l": [1], "s": "x"}),
    ({"$pullAll": {"l": [1, 3]}}, {"a": 1, "l": [2], "s": "x"}),
    ({"$bit": {"a": {"or": 6}}}, {"a": 7, "l": [1, 2, 3], "s": "x"}),
    ({"$set": {"l.$[]": 0}}, {"a": 1, "l": [0, 0, 0], "s": "x"}),
    ([{"$set": {"t": {"$add": ["$a", {"$sum": "$l"}]}}}, {"$unset": "s"}], {"a": 1, "l": [1, 2, 3], "t": 7}),
])
def test_update_operators(database, update, expected):
    database.c.insert_one({"_id": 1, "a": 1, "l": [1, 2, 3], "s": "x"})
    result = database.c.update_one({"_id": 1}, update)
    assert (result.matched_count, result.modified_count) == (1, 1)
    assert database.c.find_one({}, {"_id": 0}) == expected


def test_positional_updates(database):
    database.c.insert_one({"_id": 1, "l": [{"k": 1, "v": 0}, {"k": 2, "v": 0}]})
    database.c.update_one({"l.k": 2}, {"$set": {"l.$.v": 9}})
    database.c.update_one({"_id": 1}, {"$inc": {"l.$[e].v": 1}}, array_filters=[{"e.k": {"$lt": 2}}])
    assert database.c.find_one()["l"] == [{"k": 1, "v": 1}, {"k": 2, "v": 9}]


def test_update_results_and_upserts(database):
    database.c.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    result = database.c.update_many({"a": 1}, {"$set": {"a": 1}})
    assert (result.matched_count, result.modified_count) == (2, 0)
    result = database.c.update_one({"k": 7}, {"$set": {"v": 1}, "$setOnInsert": {"o": 2}}, upsert=True)
    assert database.c.find_one({"_id": result.upserted_id}, {"_id": 0}) == {"k": 7, "v": 1, "o": 2}
    result = database.c.replace_one({"_id": "new"}, {"x": 1}, upsert=True)
    assert result.upserted_id == "new"
    assert database.c.replace_one({"_id": 1}, {"b": 2}).modified_count == 1
    assert database.c.find_one({"_id": 1}) == {"_id": 1, "b": 2}


def test_deletes(database):
    database.c.insert_many({"_id": i, "a": i % 2} for i in range(10))
    assert database.c.delete_one({"a": 0}).deleted_count == 1
    assert database.c.delete_many({"a": 0}).deleted_count == 4
    assert database.c.delete_many({}).deleted_count == 5
    assert database.c.delete_many({}).deleted_count == 0


def test_find_and_modify(database):
    database.c.insert_many([{"_id": 1, "n": 5}, {"_id": 2, "n": 3}])
    assert database.c.find_one_and_update({}, {"$inc": {"n": 1}}, sort=[("n", 1)]) == {"_id": 2, "n": 3}
    assert database.c.find_one_and_update(
        {"_id": 1}, {"$inc": {"n": 1}}, projection={"_id": 0}, return_document=ReturnDocument.AFTER) == {"n": 6}
    assert database.c.find_one_and_replace({"_id": 2}, {"x": 1}) == {"_id": 2, "n": 4}
    assert database.c.find_one_and_delete({"_id": 2}) == {"_id": 2, "x": 1}
    assert database.c.find_one_and_delete({"_id": 2}) is None
    assert database.c.find_one_and_update(
        {"_id": 9}, {"$set": {"a": 1}}, upsert=True, return_document=ReturnDocument.AFTER) == {"_id": 9, "a": 1}


def test_bulk_write(database):
    result = database.c.bulk_write([
        InsertOne({"_id": 1}), InsertOne({"_id": 2}), UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
        UpdateMany({}, {"$set": {"b": 1}}), ReplaceOne({"_id": 3}, {"c": 1}, upsert=True), DeleteOne({"_id": 2}),
    ])
    assert (result.inserted_count, result.modified_count, result.deleted_count) == (2, 3, 1)
    assert result.upserted_ids == {4: 3}
    assert list(database.c.find().sort("_id", 1)) == [{"_id": 1, "a": 1, "b": 1}, {"_id": 3, "c": 1}]


def test_projections_sort_skip_limit(database):
    database.c.insert_many({"_id": i, "a": {"b": i, "c": -i}, "l": list(range(i))} for i in range(6))
    assert database.c.find_one({"_id": 3}, {"a.b": 1}) == {"_id": 3, "a": {"b": 3}}
    assert database.c.find_one({"_id": 3}, {"a": 0, "_id": 0}) == {"l": [0, 1, 2]}
    assert database.c.find_one({"_id": 5}, {"l": {"$slice": [1, 2]}, "a": 0}) == {"_id": 5, "l": [1, 2]}
    assert database.c.find_one({"_id": 5}, {"_id": 0, "sum": {"$add": ["$a.b", 1]}}) == {"sum": 6}
    cursor = database.c.find({}, {"_id": 1}).sort([("a.c", ASCENDING), ("_id", DESCENDING)]).skip(1).limit(2)
    assert [d["_id"] for d in cursor] == [4, 3]
    with pytest.raises(OperationFailure) as caught:
        database.c.find_one({}, {"a": 1, "b": 0})
    assert caught.value.code == 31254


def test_comparison_order_across_types(database):
    values = [bson.MinKey(), None, -1.5, 0, bson.Int64(3), bson.Decimal128("3.5"), "", "a", {}, {"a": 1}, [0], b"",
              bson.ObjectId("0" * 24), False, True, datetime.datetime(2020, 1, 1), bson.Timestamp(1, 1),
              bson.Regex("a"), bson.MaxKey()]
    database.c.insert_many({"_id": i, "v": value} for i, value in reversed(list(enumerate(values))))
    # An array sorts by its least element: [0] beside 0.
    expected = [i for i in range(len(values)) if values[i] != [0]]
    expected.insert(expected.index(3) + 1, values.index([0]))
    found = [d["_id"] for d in database.c.find().sort([("v", 1), ("_id", 1)])]
    assert found == expected


def test_aggregation(database):
    database.sales.insert_many([
        {"_id": 1, "item": "a", "qty": 2, "price": 10.0, "date": datetime.datetime(2024, 1, 5), "tags": ["x", "y"]},
        {"_id": 2, "item": "b", "qty": 1, "price": 20.0, "date": datetime.datetime(2024, 2, 5), "tags": ["x"]},
        {"_id": 3, "item": "a", "qty": 5, "price": 9.126, "date": datetime.datetime(2024, 2, 9), "tags": []},
    ])
    assert list(database.sales.aggregate([
        {"$group": {"_id": {"$month": "$date"}, "revenue": {"$sum": {"$multiply": ["$qty", "$price"]}},
            "n": {"$sum": 1}}},
        {"$sort": {"_id": 1}},
        {"$project": {"month": "$_id", "revenue": {"$round": ["$revenue", 2]}, "n": 1, "_id": 0}},
    ])) == [{"month": 1, "revenue": 20.0, "n": 1}, {"month": 2, "revenue": 65.63, "n": 2}]
    assert list(database.sales.aggregate([
        {"$match": {"qty": {"$gte": 1}}}, {"$unwind": "$tags"},
        {"$group": {"_id": "$tags", "items": {"$push": "$item"}, "max": {"$max": "$price"}}}, {"$sort": {"_id": 1}},
    ])) == [{"_id": "x", "items": ["a", "b"], "max": 20.0}, {"_id": "y", "items": ["a"], "max": 10.0}]
    assert list(database.sales.aggregate([{"$match": {"item": "a"}}, {"$count": "n"}])) == [{"n": 2}]
    assert list(database.sales.aggregate([
        {"$sort": {"_id": -1}}, {"$skip": 1}, {"$limit": 1}, {"$set": {"total": {"$multiply": ["$qty", "$price"]}}},
        {"$unset": ["date", "tags"]},
    ])) == [{"_id": 2, "item": "b", "qty": 1, "price": 20.0, "total": 20.0}]
    with pytest.raises(OperationFailure) as caught:
        list(database.sales.aggregate([{"$nonsense": {}}]))
    assert caught.value.code == 40324
    with pytest.raises(OperationFailure) as caught:
        list(database.sales.aggregate([{"$group": {"_id": {"$month": "$item"}}}]))
    assert caught.value.code == 16006


def test_distinct_and_counts(database):
    database.c.insert_many([{"a": 1}, {"a": [1, 2]}, {"a": "x"}, {}])
    assert database.c.distinct("a") == [1, 2, "x"]
    assert database.c.distinct("a", {"a": {"$type": "string"}}) == ["x"]
    assert database.c.count_documents({}) == 4
    assert database.c.count_documents({"a": 1}, skip=1) == 1


def test_indexes_are_used_and_shown(database):
    collection = database.c
    collection.insert_many({"_id": i, "a": i % 10, "b": i, "tags": [i, i + 1]} for i in range(200))
    assert collection.create_index([("a", 1), ("b", -1)]) == "a_1_b_-1"
    collection.create_index("tags")
    plan = collection.find({"a": 3, "b": {"$gte": 100}}).explain()["queryPlanner"]["winningPlan"]
    assert plan["stage"] == "FETCH" and plan["inputStage"]["stage"] == "IXSCAN"
    assert plan["inputStage"]["indexName"] == "a_1_b_-1"
    assert plan["inputStage"]["indexBounds"]["a"] == ["[3, 3]"]
    assert [d["_id"] for d in collection.find({"a": 3, "b": {"$gte": 170}})] == [193, 183, 173]
    assert collection.find({"tags": 5}).explain()["queryPlanner"]["winningPlan"]["inputStage"]["isMultiKey"] is True
    assert sorted(d["_id"] for d in collection.find({"tags": 5})) == [4, 5]
    assert collection.find({"x": 1}).explain()["queryPlanner"]["winningPlan"]["stage"] == "COLLSCAN"
    assert set(collection.index_information()) == {"_id_", "a_1_b_-1", "tags_1"}
    collection.drop_index("tags_1")
    assert set(collection.index_information()) == {"_id_", "a_1_b_-1"}
    with pytest.raises(OperationFailure) as caught:
        collection.drop_index("nope")
    assert caught.value.code == 27
    with pytest.raises(OperationFailure):
        collection.find_one({"a": 1}, hint="nope")


def test_unique_and_sparse_indexes(database):
    collection = database.c
    collection.create_index("email", unique=True, sparse=True)
    collection.insert_many([{"_id": 1, "email": "a"}, {"_id": 2}, {"_id": 3}])
    with pytest.raises(DuplicateKeyError) as caught:
        collection.insert_one({"email": "a"})
    assert caught.value.details["keyPattern"] == {"email": 1}
    with pytest.raises(DuplicateKeyError):
        collection.update_one({"_id": 2}, {"$set": {"email": "a"}})
    assert collection.find_one({"_id": 2}) == {"_id": 2}
    other = database.other
    other.insert_many([{"a": 1}, {"a": 1}])
    with pytest.raises(DuplicateKeyError):
        other.create_index("a", unique=True)
    assert set(other.index_information()) == {"_id_"}


def test_catalog(database, standalone):
    database.create_collection("made")
    database.used.insert_one({"_id": 1})
    assert sorted(database.list_collection_names()) == ["made", "used"]
    with pytest.raises(OperationFailure) as caught:
        database.command("create", "made", capped=True, size=4096)
    assert caught.value.code == 48
    database.used.rename("renamed")
    assert database.renamed.find_one() == {"_id": 1}
    assert sorted(database.list_collection_names()) == ["made", "renamed"]
    assert database.name in standalone.list_database_names()
    assert database.command("collStats", "renamed")["count"] == 1
    assert database.command("dbStats")["collections"] == 2
    assert database.validate_collection("renamed")["valid"] is True
    database.drop_collection("renamed")
    assert database.list_collection_names() == ["made"]
    standalone.drop_database(database.name)
    assert database.name not in standalone.list_database_names()


def test_dbhash_is_equal_for_equal_data(database, standalone):
    other = standalone[database.name + "_2"]
    for target, order in ((database, (1, 2, 3)), (other, (3, 1, 2))):
        target.c.insert_many({"_id": i, "v": i} for i in order)
    first, second = database.command("dbHash"), other.command("dbHash")
    assert first["collections"] == second["collections"]
    other.c.update_one({"_id": 1}, {"$set": {"v": 2}})
    assert other.command("dbHash")["md5"] != first["md5"]
    standalone.drop_database(other.name)


def test_capped_collection_keeps_the_newest(database):
    database.create_collection("log", capped=True, size=100_000, max=3)
    database.log.insert_many({"_id": i} for i in range(10))
    assert [d["_id"] for d in database.log.find()] == [7, 8, 9]
    assert [d["_id"] for d in database.log.find().sort("$natural", -1)] == [9, 8, 7]


def test_tailable_cursor_sees_what_comes(database):
    database.create_collection("log", capped=True, size=100_000)
    database.log.insert_one({"_id": 1})
    cursor = database.log.find(cursor_type=pymongo.CursorType.TAILABLE_AWAIT).max_await_time_ms(2000)
    assert cursor.next() == {"_id": 1}
    database.log.insert_one({"_id": 2})
    assert cursor.next() == {"_id": 2}
    assert cursor.alive
    cursor.close()


def test_cursors_end_and_die(database):
    database.c.insert_many({"_id": i} for i in range(10))
    cursor = database.c.find(batch_size=2)
    assert cursor.next() == {"_id": 0}
    cursor_id = cursor.cursor_id
    reply = database.command("killCursors", "c", cursors=[cursor_id, bson.Int64(1)])
    assert (reply["cursorsKilled"], reply["cursorsNotFound"]) == ([cursor_id], [1])
    with pytest.raises(pymongo.errors.CursorNotFound) as caught:
        list(cursor)
    assert caught.value.code == 43


def test_unacknowledged_writes_arrive(database):
    unacknowledged = database.get_collection("c", write_concern=pymongo.WriteConcern(w=0))
    assert unacknowledged.insert_one({"_id": 1}).acknowledged is False
    unacknowledged.insert_one({"_id": 1})  # a duplicate nobody hears of
    # The same socket is not promised to be used again, so wait for the effect.
    eventually(lambda: database.c.count_documents({}) == 1)


@pytest.mark.parametrize("command, code", [
    ({"nonsense": 1}, 59),
    ({"find": 5}, 73),
    ({"find": "c", "filter": 5}, 14),
    ({"find": "c", "nonsense": 1}, 40415),
    ({"find": "c", "filter": {"$nonsense": 1}}, 2),
    ({"find": "c", "filter": {"a": {"$nonsense": 1}}}, 2),
    ({"find": "c", "limit": "x"}, 14),
    ({"find": "c", "sort": {"a": 7}}, 15975),
    ({"find": ""}, 73),
    ({"find": "a..b"}, 73),
    ({"find": "a$b"}, 73),
    ({"insert": "c", "documents": []}, 16),
    ({"insert": "c", "documents": [{"_id": [1]}]}, None),
    ({"insert": "c"}, 40414),
    ({"update": "c", "updates": [{"q": {}, "u": {"$nonsense": {"a": 1}}}]}, None),
    ({"aggregate": "c", "pipeline": [{"$nonsense": 1}], "cursor": {}}, 40324),
    ({"aggregate": "c", "pipeline": []}, 9),
    ({"getMore": 5, "collection": "c"}, 14),
    ({"getMore": bson.Int64(5), "collection": "c"}, 43),
    ({"createIndexes": "c", "indexes": []}, 2),
    ({"createIndexes": "c", "indexes": [{"key": {"a": "nonsense"}, "name": "x"}]}, 67),
    ({"create": "c", "nonsense": 1}, 40415),
    ({"collMod": "missing"}, 26),
    ({"dropIndexes": "missing", "index": "*"}, 26),
    ({"renameCollection": "a.b", "to": "a.c"}, 13),
    ({"distinct": "c", "key": 5}, 14),
    ({"findAndModify": "c"}, 9),
])
def test_bad_commands_get_mongodb_codes(database, command, code):
    reply = database.command(command, check=False)
    if code is None:
        assert reply["ok"] == 1 and reply["writeErrors"][0]["code"] in (2, 9, 53), reply
    else:
        assert reply["ok"] == 0 and reply["code"] == code, reply
        assert reply["errmsg"] and reply["codeName"]


def test_documents_that_are_too_large_or_too_deep(database):
    with pytest.raises((WriteError, OperationFailure, pymongo.errors.DocumentTooLarge)):
        database.c.insert_one({"x": "y" * (16 * 1024 * 1024)})
    deep = {}
    for _ in range(150):
        deep = {"a": deep}
    with pytest.raises((WriteError, OperationFailure)):
        database.c.insert_one(deep)
    assert database.c.count_documents({}) == 0
