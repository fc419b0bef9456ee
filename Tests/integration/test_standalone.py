"""What users try beyond the basic commands: reads, writes and the catalog of a standalone."""
import datetime
import threading
import time

import bson
import pymongo
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from pymongo.errors import DuplicateKeyError, OperationFailure, WriteError


def failure(code):
    """Expects an error with that code."""
    class Expectation:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, _):
            assert isinstance(error, OperationFailure), f"expected error {code}, got {error!r}"
            found = error.code
            if isinstance(error, pymongo.errors.BulkWriteError):
                found = error.details["writeErrors"][0]["code"]
            assert found == code, f"expected error {code}, got {error!r}"
            return True
    return Expectation()


# MARK: Reads


def test_lookup_by_equality(database):
    database.orders.insert_many([
        {"_id": 1, "item": "a"}, {"_id": 2, "item": "c"}, {"_id": 3}, {"_id": 4, "item": ["a", "b"]}])
    database.stock.insert_many([{"_id": 1, "sku": "a"}, {"_id": 2, "sku": "b"}, {"_id": 3, "sku": None}])
    found = list(database.orders.aggregate([
        {"$lookup": {"from": "stock", "localField": "item", "foreignField": "sku", "as": "s.found"}},
        {"$sort": {"_id": 1}}]))
    assert [[one["_id"] for one in order["s"]["found"]] for order in found] == [[1], [], [3], [1, 2]]
    assert list(database.orders.aggregate([
        {"$match": {"_id": 1}},
        {"$lookup": {"from": "stock", "localField": "item", "foreignField": "sku", "as": "item"}}, {"$unwind": "$item"},
    ])) == [{"_id": 1, "item": {"_id": 1, "sku": "a"}}]


def test_lookup_by_pipeline(database):
    database.orders.insert_many([{"_id": 1, "min": 2}, {"_id": 2, "min": 9}])
    database.stock.insert_many({"_id": i, "n": i} for i in range(5))
    assert list(database.orders.aggregate([
        {"$lookup": {"from": "stock", "let": {"least": "$min"}, "as": "enough", "pipeline": [
            {"$match": {"$expr": {"$gte": ["$n", "$$least"]}}}, {"$project": {"_id": 0}}]}},
        {"$project": {"enough": 1}}, {"$sort": {"_id": 1}},
    ])) == [{"_id": 1, "enough": [{"n": 2}, {"n": 3}, {"n": 4}]}, {"_id": 2, "enough": []}]
    with failure(40324):
        database.orders.aggregate([{"$lookup": {"from": "stock", "as": "x", "pipeline": [{"$nonsense": 1}]}}])
    with failure(9):
        database.orders.aggregate([{"$lookup": {"from": "stock", "localField": "a", "as": "x"}}])


def test_union_with(database):
    database.a.insert_many({"_id": i} for i in range(3))
    database.b.insert_many({"_id": 10 + i} for i in range(300))
    union = {"$unionWith": {"coll": "b", "pipeline": [{"$match": {"_id": {"$gte": 12}}}]}}
    found = list(database.a.aggregate([union], batchSize=7))
    assert [one["_id"] for one in found] == [0, 1, 2] + list(range(12, 310))
    assert list(database.a.aggregate([{"$unionWith": "b"}, {"$count": "n"}])) == [{"n": 303}]
    assert len(list(database.a.aggregate([{"$unionWith": "b"}, {"$limit": 5}]))) == 5


def test_out_replaces_a_collection(database):
    database.c.insert_many({"_id": i, "n": i % 3} for i in range(300))
    database.made.insert_one({"_id": "old"})
    database.made.create_index("total")
    assert list(database.c.aggregate([
        {"$group": {"_id": "$n", "total": {"$sum": 1}}}, {"$sort": {"_id": 1}}, {"$out": "made"}])) == []
    assert list(database.made.find().sort("_id", 1)) == [{"_id": i, "total": 100} for i in range(3)]
    assert set(database.made.index_information()) == {"_id_", "total_1"}
    other = database.client[database.name + "_2"]
    database.c.aggregate([{"$match": {"_id": 1}}, {"$out": {"db": other.name, "coll": "made"}}])
    assert list(other.made.find()) == [{"_id": 1, "n": 1}]
    database.client.drop_database(other)
    with failure(11000):
        database.c.aggregate([{"$project": {"_id": {"$literal": 1}}}, {"$out": "made"}])
    assert database.made.count_documents({}) == 3
    assert sorted(database.list_collection_names()) == ["c", "made"]
    with failure(40601):
        database.c.aggregate([{"$out": "x"}, {"$match": {}}])


@pytest.mark.parametrize("matched, unmatched, expected", [
    ("replace", "insert", [{"_id": 1, "n": 10}, {"_id": 2, "n": 20}, {"_id": 3, "m": 3}]),
    ("merge", "insert", [{"_id": 1, "m": 1, "n": 10}, {"_id": 2, "n": 20}, {"_id": 3, "m": 3}]),
    ("keepExisting", "insert", [{"_id": 1, "m": 1}, {"_id": 2, "n": 20}, {"_id": 3, "m": 3}]),
    ("merge", "discard", [{"_id": 1, "m": 1, "n": 10}, {"_id": 3, "m": 3}]),
    ([{"$set": {"sum": {"$add": ["$m", "$$new.n"]}}}], "insert",
     [{"_id": 1, "m": 1, "sum": 11}, {"_id": 2, "n": 20}, {"_id": 3, "m": 3}]),
    ("fail", "insert", 11000),
    ("merge", "fail", 13113),
])
def test_merge_into_a_collection(database, matched, unmatched, expected):
    database.c.insert_many([{"_id": 1, "n": 10}, {"_id": 2, "n": 20}])
    database.made.insert_many([{"_id": 1, "m": 1}, {"_id": 3, "m": 3}])
    stage = {"$merge": {"into": "made", "whenMatched": matched, "whenNotMatched": unmatched}}
    if isinstance(expected, int):
        with failure(expected):
            database.c.aggregate([{"$sort": {"_id": 1}}, stage])
    else:
        assert list(database.c.aggregate([stage])) == []
        assert list(database.made.find().sort("_id", 1)) == expected


def test_aggregation_cursors(database):
    database.c.insert_many({"_id": i} for i in range(500))
    cursor = database.c.aggregate([{"$match": {"_id": {"$gte": 100}}}, {"$set": {"x": 1}}], batchSize=10)
    assert [one["_id"] for one in cursor] == list(range(100, 500))
    assert database.c.aggregate([{"$match": {"_id": 1}}], batchSize=0).next() == {"_id": 1}
    assert database.missing.aggregate([{"$group": {"_id": None}}]).to_list() == []


def test_sources_that_are_no_documents(database, standalone):
    database.c.insert_many({"_id": i} for i in range(3))
    assert database.c.aggregate([{"$collStats": {"count": {}}}]).next()["count"] == 3
    assert database.c.aggregate([{"$indexStats": {}}]).next()["name"] == "_id_"
    assert database.aggregate([{"$documents": [{"a": 1}, {"a": 2}]}, {"$match": {"a": 2}}]).to_list() == [{"a": 2}]
    assert standalone.admin.aggregate([{"$currentOp": {}}]).next()["type"] == "op"
    assert standalone.admin.command("currentOp")["inprog"]
    assert len(list(database.c.aggregate([{"$sample": {"size": 2}}]))) == 2
    with failure(73):
        database.aggregate([{"$match": {}}])
    with failure(40602):
        database.c.aggregate([{"$match": {}}, {"$collStats": {"count": {}}}])
    with failure(40573):
        database.c.watch()


def test_let_variables(database):
    database.c.insert_many({"_id": i} for i in range(5))
    big = {"$expr": {"$gte": ["$_id", "$$least"]}}
    assert len(list(database.c.find(big, let={"least": 3}))) == 2
    assert len(list(database.c.find(big, let={"least": {"$add": [1, 1]}}))) == 3
    assert len(list(database.c.aggregate([{"$match": big}], let={"least": 4}))) == 1
    assert database.c.delete_many(big, let={"least": 4}).deleted_count == 1
    with failure(17276):
        database.c.find_one(big)


def test_explain_counts_what_was_read(database):
    database.c.insert_many({"_id": i, "a": i % 10} for i in range(100))
    stats = database.c.find({"a": 3}).explain()["executionStats"]
    assert (stats["nReturned"], stats["totalDocsExamined"], stats["totalKeysExamined"]) == (10, 100, 0)
    database.c.create_index("a")
    stats = database.c.find({"a": 3}).explain()["executionStats"]
    assert (stats["nReturned"], stats["totalDocsExamined"], stats["totalKeysExamined"]) == (10, 10, 10)
    for command in (
        {"count": "c", "query": {"a": 3}}, {"distinct": "c", "key": "a", "query": {"a": 3}},
        {"aggregate": "c", "pipeline": [{"$match": {"a": 3}}], "cursor": {}},
        {"update": "c", "updates": [{"q": {"a": 3}, "u": {"$set": {"x": 1}}, "multi": True}]},
        {"delete": "c", "deletes": [{"q": {"a": 3}, "limit": 0}]},
        {"findAndModify": "c", "query": {"a": 3}, "remove": True},
    ):
        reply = database.command("explain", command, verbosity="queryPlanner")
        assert "IXSCAN" in str(reply["queryPlanner"]["winningPlan"]), command
        assert "executionStats" not in reply
        assert reply["queryPlanner"]["namespace"] == f"{database.name}.c" and reply["serverInfo"]["port"]
    assert database.c.count_documents({}) == 100
    reply = database.command("explain", {
        "aggregate": "c", "pipeline": [{"$match": {"a": 3}}, {"$group": {"_id": 1}}], "cursor": {}})
    assert "$cursor" in reply["stages"][0] and "$group" in reply["stages"][1]
    assert database.command("aggregate", "c", pipeline=[{"$match": {"a": 1}}], explain=True)["queryPlanner"]
    with failure(59):
        database.command("explain", {"ping": 1})
    with failure(2):
        database.command("explain", {"find": "c"}, verbosity="nonsense")


def test_hints(database):
    database.c.insert_many({"_id": i, "a": i, "b": i} for i in range(20))
    database.c.create_index("a")
    database.c.create_index("b")
    plan = database.c.find({"a": 1, "b": 1}).hint("b_1").explain()["queryPlanner"]["winningPlan"]
    assert plan["inputStage"]["indexName"] == "b_1"
    plan = database.c.find({"a": 1}).hint([("$natural", 1)]).explain()["queryPlanner"]["winningPlan"]
    assert plan["stage"] == "COLLSCAN"
    assert database.c.update_one({"a": 1}, {"$set": {"x": 1}}, hint="a_1").modified_count == 1
    for call in (
        lambda: database.c.find_one({}, hint="missing"), lambda: database.c.delete_one({"a": 1}, hint="missing"),
        lambda: database.c.update_one({"a": 1}, {"$set": {"x": 2}}, hint="missing"),
        lambda: database.c.count_documents({"a": 1}, hint="missing"),
        lambda: database.c.find_one_and_delete({"a": 1}, hint="missing"),
    ):
        with failure(2):
            call()


def test_collations_other_than_simple_are_refused(database):
    database.c.insert_one({"a": "x"})
    assert database.c.find_one({"a": "x"}, collation={"locale": "simple"})
    for call in (
        lambda: database.c.find_one({}, collation={"locale": "en"}),
        lambda: database.c.aggregate([], collation={"locale": "en"}),
        lambda: database.c.distinct("a", collation={"locale": "en"}),
        lambda: database.create_collection("d", collation={"locale": "en"}),
        lambda: database.c.delete_many({}, collation={"locale": "en"}),
    ):
        with failure(115):
            call()
    with failure(67):
        database.c.create_index("a", collation={"locale": "en"})
    assert database.c.count_documents({}) == 1


def test_a_sort_that_does_not_fit_says_so(database):
    text = "x" * 1_000_000
    for start in range(0, 110, 11):
        database.c.insert_many({"_id": i, "text": text, "n": -i} for i in range(start, start + 11))
    with failure(292):
        list(database.c.find(allow_disk_use=False).sort("n", 1))
    assert [one["_id"] for one in database.c.find({}, {"_id": 1}).sort("n", 1).limit(3)] == [109, 108, 107]
    assert database.c.find().sort("_id", -1).next()["_id"] == 109
    assert sum(1 for _ in database.c.find({}, {"text": 1})) == 110


def test_cursors_with_sort_and_batches(database):
    database.c.insert_many({"_id": i, "n": i * 7 % 100} for i in range(1000))
    assert [one["n"] for one in database.c.find(batch_size=3).sort("n", 1).limit(25)] == [0] * 10 + [1] * 10 + [2] * 5
    assert len(list(database.c.find().skip(990).batch_size(1))) == 10
    reply = database.command("find", "c", batchSize=0)
    assert reply["cursor"]["firstBatch"] == [] and reply["cursor"]["id"] != 0
    more = database.command("getMore", bson.Int64(reply["cursor"]["id"]), collection="c", batchSize=5)
    assert len(more["cursor"]["nextBatch"]) == 5
    assert database.command("find", "c", limit=2, singleBatch=True, batchSize=1)["cursor"]["id"] == 0
    database.command("killCursors", "c", cursors=[reply["cursor"]["id"]])


def test_cursors_belong_to_their_session_and_collection(database, standalone):
    database.c.insert_many({"_id": i} for i in range(10))
    with standalone.start_session() as mine, standalone.start_session() as other:
        cursor_id = database.command("find", "c", batchSize=2, session=mine)["cursor"]["id"]
        with failure(13):
            database.command("getMore", bson.Int64(cursor_id), collection="c", session=other)
        with failure(13):
            database.command("getMore", bson.Int64(cursor_id), collection="d", session=mine)
        assert database.command("getMore", bson.Int64(cursor_id), collection="c", session=mine)["cursor"]["id"] == 0


def test_a_cursor_sees_its_collection_go(database):
    database.c.insert_many({"_id": i} for i in range(500))
    cursor = database.c.find(batch_size=2)
    cursor.next()
    database.c.drop()
    with pytest.raises(OperationFailure) as caught:
        list(cursor)
    assert caught.value.code in (43, 175)


def test_tailable_cursors_need_a_capped_collection(database):
    database.c.insert_one({})
    with failure(2):
        list(database.c.find(cursor_type=pymongo.CursorType.TAILABLE))
    database.create_collection("log", capped=True, size=100_000)
    database.log.insert_one({"_id": 1})
    cursor = database.log.find(cursor_type=pymongo.CursorType.TAILABLE)
    assert [one["_id"] for one in cursor] == [1] and cursor.alive
    waiter = database.log.find(cursor_type=pymongo.CursorType.TAILABLE_AWAIT).max_await_time_ms(120_000)
    assert waiter.next() == {"_id": 1}
    thread = threading.Timer(0.3, lambda: database.log.insert_one({"_id": 2}))
    started = time.monotonic()
    thread.start()
    assert waiter.next() == {"_id": 2}
    # Awake at once: who slept until the wait is over would have slept for two minutes.
    assert time.monotonic() - started < 60
    thread.join()


def test_distinct_and_count_in_corners(database):
    database.c.insert_many([{"a": {"b": [1, 2]}}, {"a": [{"b": 2}, {"b": 3}]}, {"a": None}, {"a": 1.0}, {"a": 1}])
    assert sorted(database.c.distinct("a.b")) == [1, 2, 3]
    assert database.c.distinct("a") == [None, 1.0, {"b": 2}, {"b": 3}, {"b": [1, 2]}]
    assert database.missing.distinct("a") == []
    assert database.c.estimated_document_count() == 5
    assert database.missing.estimated_document_count() == 0
    assert database.command("count", "c", query={"a": 1})["n"] == 2
    assert database.command("count", "c", skip=2, limit=2)["n"] == 2
    with failure(2):
        database.command("count", "c", skip=-1)


# MARK: Values


def test_values_survive_in_documents_and_queries(database):
    when = datetime.datetime(1969, 12, 31, 23, 59, 59, 999000)
    values = {
        "null": None, "text": "žluťoučký 🐎 \u0000 end", "empty": "", "decimal": bson.Decimal128("-1.2300E+10"),
        "nan": bson.Decimal128("NaN"), "date": when, "far": datetime.datetime(9999, 1, 1), "long": bson.Int64(2 ** 62),
        "nested": {"a": [[], {}, [None, [1]]]}, "": "empty name", "a b": 1, "ключ": 2, "binary": b"\x00\xff",
        "uuid": bson.Binary(b"0" * 16, 4), "code": bson.Code("f()"), "regex": bson.Regex("^a", "i"),
        "min": bson.MinKey(), "max": bson.MaxKey(), "stamp": bson.Timestamp(5, 6),
    }
    database.c.insert_one({"_id": 1, **values})
    found = database.c.find_one()
    for key, value in values.items():
        assert found[key] == value or key == "nan" and str(found[key]) == "NaN", key
    for key in ("text", "decimal", "date", "long", "nested", "ключ", "binary", "uuid", "stamp"):
        assert database.c.count_documents({key: values[key]}) == 1, key
    before_the_epoch = {"$lt": datetime.datetime(1970, 1, 1)}
    assert database.c.count_documents({"null": None, "missing": None, "date": before_the_epoch}) == 1
    assert database.c.count_documents({"missing": {"$exists": True}}) == 0
    database.c.insert_one({"_id": 2, "n": 1})
    for same in (1, 1.0, bson.Int64(1), bson.Decimal128("1.0")):
        assert database.c.find_one({"n": same})["_id"] == 2
        with pytest.raises(DuplicateKeyError):
            database.c.insert_one({"_id": same})


def test_documents_up_to_the_limits(database):
    database.c.insert_one({"_id": 1, "x": "y" * (16 * 1024 * 1024 - 64)})
    assert len(database.c.find_one()["x"]) == 16 * 1024 * 1024 - 64
    with failure(17419):
        database.c.update_one({"_id": 1}, {"$set": {"z": "y" * 100}})
    deep = {"leaf": 1}
    for _ in range(90):
        deep = {"a": deep}
    database.d.insert_one({"_id": 1, **deep})
    assert database.d.find_one({".".join(["a"] * 90 + ["leaf"]): 1})["_id"] == 1
    database.e.insert_many({"_id": i, "x": "y" * 1_000_000} for i in range(40))
    assert sum(len(one["x"]) for one in database.e.find()) == 40_000_000


# MARK: Writes


def test_retried_and_unusual_writes(database):
    with failure(11000):
        database.c.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}])
    assert database.c.count_documents({}) == 1
    with failure(66):
        database.c.update_one({"_id": 1}, {"$set": {"_id": 2}})
    with failure(28):
        database.c.insert_one({"_id": 5, "a": 1})
        database.c.update_one({"_id": 5}, {"$set": {"a.b": 1}})
    with failure(40):
        database.c.update_one({"_id": 5}, {"$set": {"a": 1}, "$inc": {"a": 1}})
    with failure(9):
        database.c.update_many({}, {"$nonsense": {"x": 1}})
    reply = database.command("update", "c", updates=[{"q": {"_id": 5}, "u": {"b": 1}, "multi": True}], check=False)
    assert reply["writeErrors"][0]["code"] == 9
    assert database.c.update_one({"_id": 5}, [{"$set": {"sum": {"$add": ["$a", 1]}}}]).modified_count == 1
    assert database.c.find_one({"_id": 5}) == {"_id": 5, "a": 1, "sum": 2}


def test_find_and_modify_reply(database):
    reply = database.command("findAndModify", "c", query={"_id": 1}, update={"$set": {"a": 1}}, upsert=True, new=True)
    assert reply["lastErrorObject"] == {"n": 1, "updatedExisting": False, "upserted": 1}
    assert reply["value"] == {"_id": 1, "a": 1}
    reply = database.command("findAndModify", "c", query={"_id": 1}, remove=True)
    assert reply["lastErrorObject"] == {"n": 1} and reply["value"] == {"_id": 1, "a": 1}
    reply = database.command("findandmodify", "c", query={"_id": 1}, remove=True)
    assert reply["lastErrorObject"] == {"n": 0} and reply["value"] is None
    database.c.insert_many([{"_id": 1, "u": 1}, {"_id": 2, "u": 2}])
    database.c.create_index("u", unique=True)
    with failure(11000):
        database.c.find_one_and_update({"_id": 1}, {"$set": {"u": 2}})
    with failure(40415):
        database.command("findAndModify", "c", nonsense=1, remove=True)


@pytest.mark.skipif(pymongo.version_tuple < (4, 9), reason="MongoClient.bulk_write came with PyMongo 4.9")
def test_client_bulk_write(database, standalone):
    a, b = f"{database.name}.a", f"{database.name}.b"
    result = standalone.bulk_write([
        pymongo.InsertOne({"_id": 1}, namespace=a), pymongo.InsertOne({"_id": 1}, namespace=b),
        pymongo.UpdateOne({"_id": 1}, {"$set": {"x": 1}}, namespace=a),
        pymongo.UpdateOne({"_id": 7}, {"$set": {"x": 1}}, upsert=True, namespace=b),
        pymongo.ReplaceOne({"_id": 1}, {"y": 1}, namespace=b), pymongo.DeleteMany({"x": 1}, namespace=b),
    ], verbose_results=True)
    assert (result.inserted_count, result.matched_count, result.modified_count) == (2, 2, 2)
    assert (result.upserted_count, result.deleted_count) == (1, 1)
    assert result.update_results[3].upserted_id == 7
    with pytest.raises(pymongo.errors.ClientBulkWriteException) as caught:
        standalone.bulk_write([
            pymongo.InsertOne({"_id": 1}, namespace=a), pymongo.InsertOne({"_id": 2}, namespace=a)], ordered=False)
    assert [one["code"] for one in caught.value.write_errors] == [11000]
    assert list(database.a.find()) == [{"_id": 1, "x": 1}, {"_id": 2}]
    assert list(database.b.find()) == [{"_id": 1, "y": 1}]


def test_validators_are_enforced(database):
    database.create_collection("c", validator={"x": {"$type": "string"}})
    with failure(121):
        database.c.insert_one({"_id": 1, "x": 1})
    database.c.insert_one({"_id": 1, "x": "text"})
    with pytest.raises(WriteError) as caught:
        database.c.update_one({"_id": 1}, {"$set": {"x": 1}})
    assert caught.value.details["errInfo"]["failingDocumentId"] == 1
    with failure(121):
        database.c.find_one_and_replace({"_id": 1}, {"x": 2})
    with failure(121):
        database.c.update_one({"_id": 2}, {"$set": {"x": 1}}, upsert=True)
    passing = database.get_collection("c")
    passing.insert_one({"_id": 3, "x": 3}, bypass_document_validation=True)
    with failure(121):
        database.c.update_one({"_id": 3}, {"$set": {"y": 1}})
    database.command("collMod", "c", validationLevel="moderate")
    database.c.update_one({"_id": 3}, {"$set": {"y": 1}})
    database.command("collMod", "c", validationAction="warn")
    database.c.insert_one({"_id": 4, "x": 4})
    with failure(2):
        database.command("collMod", "c", validator={"$nonsense": 1})
    assert database.c.options()["validator"] == {"x": {"$type": "string"}}


def test_a_schema_is_enforced_and_explains_itself(database):
    schema = {"required": ["n"], "properties": {"n": {"bsonType": "int", "minimum": 1}}}
    database.create_collection("c", validator={"$jsonSchema": schema})
    database.c.insert_one({"_id": 1, "n": 1})
    with pytest.raises(WriteError) as caught:
        database.c.update_one({"_id": 1}, {"$set": {"n": 0}})
    assert caught.value.code == 121
    details = caught.value.details["errInfo"]["details"]
    assert details["operatorName"] == "$jsonSchema"
    properties = details["schemaRulesNotSatisfied"][0]["propertiesNotSatisfied"]
    assert properties[0]["details"][0]["specifiedAs"] == {"minimum": 1}
    assert database.c.count_documents({"$jsonSchema": schema}) == 1
    assert list(database.c.aggregate([{"$match": {"$nor": [{"$jsonSchema": schema}]}}])) == []
    # So many failures that their details do not fit one reply: the last ones have their code alone.
    wrong = [{"_id": f"wrong{i}", "text": "x" * 1000} for i in range(13_000)]
    database.command("collMod", "c", validator={"text": {"$type": "int"}})
    reply = database.command("insert", "c", documents=wrong, ordered=False)
    assert len(reply["writeErrors"]) == 13_000
    assert "errInfo" in reply["writeErrors"][0] and "errInfo" not in reply["writeErrors"][-1]
    assert {error["code"] for error in reply["writeErrors"]} == {121}


# MARK: Dates


def test_dates_know_named_zones_and_the_ends_of_64_bits(database):
    aware = database.with_options(CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS))
    ends = [-(2**63), 2**63 - 1, 1_720_000_000_000]
    aware.c.insert_many([{"_id": i, "at": DatetimeMS(end)} for i, end in enumerate(ends)])
    parts = {"$dateToParts": {"date": "$at", "timezone": "America/New_York"}}
    found = [d["p"] for d in aware.c.aggregate([{"$sort": {"_id": 1}}, {"$project": {"p": parts}}])]
    assert [p["year"] for p in found] == [-292275055, 292278994, 2024]
    assert (found[2]["day"], found[2]["hour"], found[2]["minute"]) == (3, 5, 46)
    with failure(18537):
        list(aware.c.aggregate([{"$project": {"t": {"$toString": "$at"}}}]))
    with failure(40485):
        list(aware.c.aggregate([{"$project": {"h": {"$hour": {"date": "$at", "timezone": "../Europe/Berlin"}}}}]))
    month = {"$group": {"_id": {"$dateTrunc": {"date": "$at", "unit": "month", "timezone": "Europe/Berlin"}}}}
    stages = [{"$match": {"_id": 2}}, month]
    assert [d["_id"] for d in aware.c.aggregate(stages)] == [DatetimeMS(1_719_784_800_000)]


# MARK: Catalog


def test_create_indexes_in_all_ways(database):
    collection = database.c
    collection.create_index("a", name="first")
    collection.create_index("a", name="first")
    with failure(85):
        collection.create_index("a", name="second")
    with failure(86):
        collection.create_index("b", name="first")
    with failure(86):
        collection.create_index("a", name="first", unique=True)
    for bad in ({"a": 0}, {"a": "2d"}, {"a": "text"}, {"": 1}, {"$a": 1}, {}):
        with failure(67):
            database.command("createIndexes", "c", indexes=[{"key": bad, "name": "bad"}])
    with failure(9):
        database.command("createIndexes", "c", indexes=[{"key": {"a": 1}}])
    with failure(197):
        database.command("createIndexes", "c", indexes=[{"key": {"q": 1}, "name": "q", "nonsense": 1}])
    reply = database.command("createIndexes", "c", indexes=[{"key": {"a": 1}, "name": "first"}])
    assert reply["numIndexesBefore"] == reply["numIndexesAfter"] == 2 and reply["note"] == "all indexes already exist"
    reply = database.command("createIndexes", "new", indexes=[{"key": {"a": 1}, "name": "a_1"}])
    assert reply["createdCollectionAutomatically"] is True
    assert collection.create_indexes([pymongo.IndexModel("x"), pymongo.IndexModel([("y", -1)])]) == ["x_1", "y_-1"]
    database.p.create_index("a", unique=True, partialFilterExpression={"a": {"$gt": 5}})
    database.p.insert_many([{"a": 1}, {"a": 1}, {"a": 6}])
    with pytest.raises(DuplicateKeyError):
        database.p.insert_one({"a": 6})
    with failure(72):
        collection.drop_index("_id_")
    collection.drop_indexes()
    assert list(collection.index_information()) == ["_id_"]


def test_listing(database, standalone):
    database.create_collection("log", capped=True, size=10_000)
    database.c.insert_one({})
    assert database.list_collection_names(filter={"name": "log"}) == ["log"]
    names = {one["name"]: one for one in database.list_collections()}
    assert names["log"]["options"]["capped"] is True and names["c"]["info"]["uuid"].subtype == 4
    assert names["c"]["idIndex"]["key"] == {"_id": 1}
    reply = database.command("listCollections", nameOnly=True)
    assert set(reply["cursor"]["firstBatch"][0]) == {"name", "type"}
    assert [one["name"] for one in standalone.list_databases(filter={"name": database.name})] == [database.name]
    reply = standalone.admin.command("listDatabases", nameOnly=True, filter={"name": database.name})
    assert reply["databases"] == [{"name": database.name}]
    assert list(database.missing.list_indexes()) == []


def test_drop_and_rename(database, standalone):
    database.c.insert_one({"_id": 1})
    database.c.create_index("a")
    assert database.command("drop", "c")["nIndexesWas"] == 2
    assert database.command("drop", "c")["ok"] == 1
    standalone.drop_database("a_database_that_is_not_there")
    database.a.insert_one({"_id": 1})
    database.b.insert_one({"_id": 2})
    with failure(48):
        database.a.rename("b")
    database.a.rename("b", dropTarget=True)
    assert database.b.find_one() == {"_id": 1} and database.list_collection_names() == ["b"]
    with failure(26):
        database.a.rename("c")
    with failure(20):
        standalone.admin.command("renameCollection", f"{database.name}.b", to=f"{database.name}.b")
    for bad in ("system.nonsense", "a$b"):
        with pytest.raises((OperationFailure, pymongo.errors.InvalidName)):
            database.command("create", bad)
    standalone.drop_database(database)
    assert database.b.find_one() is None


def test_statistics(database):
    database.c.insert_many({"_id": i, "a": i} for i in range(10))
    database.c.create_index("a")
    stats = database.command("collStats", "c")
    assert (stats["count"], stats["nindexes"], stats["capped"]) == (10, 2, False)
    assert stats["size"] == 10 * stats["avgObjSize"] and set(stats["indexSizes"]) == {"_id_", "a_1"}
    assert database.command("collStats", "missing")["count"] == 0
    stats = database.command("dbStats")
    assert (stats["objects"], stats["indexes"], stats["collections"]) == (10, 2, 1)
    report = database.validate_collection("c", full=True)
    assert report["keysPerIndex"] == {"_id_": 10, "a_1": 10} and report["nrecords"] == 10
    with failure(26):
        database.command("validate", "missing")
    reply = database.command("dbHash", collections=["c"])
    assert set(reply["collections"]) == set(reply["uuids"]) == {"c"}


def test_capped_collections_keep_their_size(database):
    database.create_collection("log", capped=True, size=4096)
    database.log.insert_many({"_id": i, "text": "x" * 100} for i in range(200))
    stats = database.command("collStats", "log")
    assert stats["capped"] is True and stats["maxSize"] == 4096 and stats["size"] <= 4096
    assert database.log.find().sort("$natural", -1).next()["_id"] == 199
    with failure(72):
        database.create_collection("wrong", capped=True)
