"""A sharded collection through a router: documents, order, batches, pipelines, compared with a replica set."""
import json

import pymongo
import pytest
from bson import json_util
from conftest import Process, code_of
from pymongo import DeleteOne, InsertOne, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

COUNT = 30_000


def document(number):
    return {
        "_id": number, "student": number % 1000, "score": number * 7919 % 101, "x": number / 7,
        "k": {"z": number % 7}, "tags": [f"a{number % 3}", f"b{number % 5}"],
    }


@pytest.fixture(scope="module")
def process():
    made = Process(
        "up", "sharded", "--shards", 3, "--members", 1, "--routers", 2, "--port", 0, "--set", "enableTestCommands=1",
        ready=r"ready: (mongodb://\S+)")
    yield made
    assert made.process.poll() is None, f"the cluster died: {made.errors()}"
    assert made.stop() == 0


@pytest.fixture(scope="module")
def client(process):
    with pymongo.MongoClient(process.match.group(1), serverSelectionTimeoutMS=20000) as made:
        yield made


@pytest.fixture(scope="module")
def scores(client):
    """Three shards, thirty thousand documents."""
    client.admin.command("shardCollection", "school.scores", key={"student": "hashed"})
    collection = client.school.scores
    collection.insert_many([document(number) for number in range(COUNT)], ordered=False)
    client.school.names.insert_many([{"_id": i, "name": f"s{i}", "group": i % 10} for i in range(1000)])
    return collection


@pytest.fixture
def collection(client, database_name):
    """An empty collection with a hashed key, the test's own."""
    name = f"{database_name}.c"
    client.admin.command("shardCollection", name, key={"key": "hashed"})
    yield client[database_name].c
    client.drop_database(database_name)


def test_a_router_says_what_it_is(client):
    hello = client.admin.command("hello")
    assert hello["msg"] == "isdbgrid" and hello["isWritablePrimary"]
    assert "setName" not in hello
    assert client.topology_description.topology_type_name == "Sharded"
    assert [shard["_id"] for shard in client.admin.command("listShards")["shards"]] == ["shard0", "shard1", "shard2"]


def test_every_shard_has_documents(client, scores):
    stats = client.school.command("collStats", "scores")
    assert stats["sharded"] and stats["count"] == COUNT
    assert all(shard["count"] > COUNT / 10 for shard in stats["shards"].values())
    assert len(stats["shards"]) == 3
    assert client.school.command("dbStats")["objects"] == COUNT + 1000


def test_a_query_by_the_key_goes_to_one_shard(client, scores):
    assert sorted(found["_id"] for found in scores.find({"student": 5})) == list(range(5, COUNT, 1000))
    plan = client.school.command("explain", {"find": "scores", "filter": {"student": 5}})
    assert plan["queryPlanner"]["winningPlan"]["stage"] == "SINGLE_SHARD"
    plan = client.school.command("explain", {"find": "scores", "filter": {"score": 5}})["queryPlanner"]["winningPlan"]
    assert plan["stage"] == "SHARD_MERGE" and len(plan["shards"]) == 3


def test_a_sort_merges_the_shards(scores):
    expected = sorted(((document(i)["score"], -i) for i in range(COUNT)))
    found = scores.find({}, {"x": 1}).sort([("score", 1), ("_id", -1)]).batch_size(1000)
    assert [one["_id"] for one in found] == [-number for _, number in expected]


def test_skip_and_limit_are_the_merges(scores):
    expected = [-number for _, number in sorted((document(i)["score"], -i) for i in range(COUNT))]
    found = scores.find({}, {"_id": 1}).sort([("score", 1), ("_id", -1)]).skip(17).limit(20_000)
    assert [one["_id"] for one in found] == expected[17:20_017]
    assert len(list(scores.find().skip(COUNT - 5))) == 5
    assert len(list(scores.find().limit(7))) == 7
    assert scores.count_documents({"score": {"$lt": 50}}, skip=10, limit=100) == 100


def test_counts_and_distinct_values(scores):
    assert scores.estimated_document_count() == COUNT
    assert scores.count_documents({}) == COUNT
    assert scores.distinct("score") == list(range(101))
    assert scores.distinct("k.z", {"student": 3}) == scores.distinct("k.z", {"student": {"$in": [3]}})


def test_the_cursor_is_the_routers(process, scores):
    # Of two routers each has cursors of its own.
    one, _ = process.match.group(1).removeprefix("mongodb://").rstrip("/").split(",")
    with pymongo.MongoClient(one) as client:
        cursor = client.school.scores.find(batch_size=10)
        next(cursor)
        assert client.school.command("killCursors", "scores", cursors=[cursor.cursor_id])["cursorsKilled"]
        assert code_of(lambda: list(cursor)) == 43


PIPELINES = [
    [{"$match": {"score": {"$gt": 50}}}, {"$count": "n"}],
    [
        {"$group": {
            "_id": "$score", "n": {"$sum": 1}, "mean": {"$avg": "$x"}, "most": {"$max": "$_id"},
            "least": {"$min": "$_id"}, "spread": {"$stdDevPop": "$student"}}},
        {"$sort": {"_id": 1}},
    ],
    [
        {"$group": {"_id": {"z": "$k.z"}, "all": {"$addToSet": "$score"}}},
        {"$project": {"n": {"$size": "$all"}}}, {"$sort": {"_id": 1}},
    ],
    [{"$sort": {"score": -1, "_id": 1}}, {"$skip": 10}, {"$limit": 20}, {"$project": {"score": 1}}],
    [{"$unwind": "$tags"}, {"$sortByCount": "$tags"}, {"$sort": {"count": -1, "_id": 1}}],
    [{"$bucket": {
        "groupBy": "$score", "boundaries": [0, 25, 50, 75, 102],
        "output": {"n": {"$sum": 1}, "top": {"$topN": {"n": 2, "sortBy": {"_id": 1}, "output": "$_id"}}}}}],
    [{"$bucketAuto": {"groupBy": "$_id", "buckets": 4}}],
    [
        {"$match": {"_id": {"$lt": 40}}},
        {"$lookup": {"from": "names", "localField": "student", "foreignField": "_id", "as": "who"}},
        {"$sort": {"_id": 1}},
    ],
    [
        {"$match": {"_id": {"$lt": 10}}},
        {"$lookup": {
            "from": "names", "let": {"s": "$student"},
            "pipeline": [{"$match": {"$expr": {"$eq": ["$_id", "$$s"]}}}, {"$project": {"name": 1, "v": "$$s"}}],
            "as": "who"}},
        {"$sort": {"_id": 1}},
    ],
    [
        {"$match": {"_id": {"$lt": 5}}},
        {"$unionWith": {"coll": "names", "pipeline": [{"$match": {"_id": {"$lt": 5}}}]}},
        {"$sort": {"_id": 1, "name": 1}},
    ],
    [{"$facet": {
        "a": [{"$match": {"score": 3}}, {"$count": "n"}], "b": [{"$group": {"_id": None, "sum": {"$sum": "$_id"}}}]}}],
    [{"$group": {"_id": None, "median": {"$median": {"input": "$score", "method": "approximate"}}}}],
    [
        {"$setWindowFields": {
            "partitionBy": "$k.z", "sortBy": {"_id": 1},
            "output": {"c": {"$sum": 1, "window": {"documents": ["unbounded", "current"]}}}}},
        {"$sort": {"_id": 1}}, {"$limit": 30},
    ],
    [{"$match": {"student": 5}}, {"$group": {"_id": None, "n": {"$sum": 1}}}],
    [
        {"$match": {"_id": 1}},
        {"$graphLookup": {
            "from": "names", "startWith": "$student", "connectFromField": "group", "connectToField": "_id",
            "as": "reached"}},
        {"$project": {"n": {"$size": "$reached"}}},
    ],
]


@pytest.fixture(scope="module")
def plain(standalone):
    """The same documents on one server."""
    database = standalone.sharded_comparison
    standalone.drop_database(database)
    database.scores.insert_many([document(number) for number in range(COUNT)])
    database.names.insert_many([{"_id": i, "name": f"s{i}", "group": i % 10} for i in range(1000)])
    yield database
    standalone.drop_database(database)


def normal(results):
    # Sums of fractions differ in their last bits by the order in which they were added.
    return json.loads(json_util.dumps(results), parse_float=lambda text: round(float(text), 6))


@pytest.mark.parametrize("number", range(len(PIPELINES)))
def test_a_pipeline_gives_what_one_server_gives(scores, plain, number):
    pipeline = PIPELINES[number]
    assert normal(list(scores.aggregate(pipeline))) == normal(list(plain.scores.aggregate(pipeline)))


def test_a_pipeline_over_what_is_not_sharded_looks_up_what_is(client, scores, plain):
    pipeline = [
        {"$match": {"_id": {"$lt": 6}}},
        {"$lookup": {"from": "scores", "localField": "_id", "foreignField": "student", "as": "all"}},
        {"$project": {"n": {"$size": "$all"}, "sum": {"$sum": "$all.score"}}}, {"$sort": {"_id": 1}},
    ]
    assert list(client.school.names.aggregate(pipeline)) == list(plain.names.aggregate(pipeline))


def test_variables_reach_shards_and_merge(scores):
    pipeline = [
        {"$match": {"$expr": {"$lt": ["$_id", "$$most"]}}}, {"$group": {"_id": None, "n": {"$sum": 1}}},
        {"$set": {"most": "$$most"}},
    ]
    assert list(scores.aggregate(pipeline, let={"most": 100})) == [{"_id": None, "n": 100, "most": 100}]


def test_a_sample_takes_documents_of_all_shards(scores):
    sample = list(scores.aggregate([{"$sample": {"size": 300}}]))
    assert len(sample) == 300 and len({one["_id"] for one in sample}) == 300


def test_a_batch_keeps_the_clients_indexes(collection):
    collection.insert_one({"_id": "there", "key": 7})
    operations = [InsertOne({"_id": n, "key": n}) for n in range(50)]
    operations.insert(20, InsertOne({"_id": "there", "key": 7}))
    operations += [UpdateOne({"key": 3}, {"$set": {"a": 1}}), DeleteOne({"_id": 4, "key": 4}),
                   UpdateMany({}, {"$set": {"b": 1}})]
    with pytest.raises(BulkWriteError) as caught:
        collection.bulk_write(operations, ordered=False)
    details = caught.value.details
    assert [(error["index"], error["code"]) for error in details["writeErrors"]] == [(20, 11000)]
    assert (details["nInserted"], details["nRemoved"], details["nMatched"]) == (50, 1, 52)
    assert collection.count_documents({"b": 1}) == 50


def test_an_ordered_batch_ends_at_its_error(collection):
    documents = [{"_id": n, "key": n} for n in range(40)]
    documents.insert(25, {"_id": 3, "key": 3})
    with pytest.raises(BulkWriteError) as caught:
        collection.insert_many(documents)
    assert [error["index"] for error in caught.value.details["writeErrors"]] == [25]
    assert sorted(found["_id"] for found in collection.find()) == list(range(25))


def test_one_document_is_changed_wherever_it_is(collection):
    collection.insert_many([{"_id": n, "key": n, "group": n % 10} for n in range(200)])
    # With the key, with the `_id`, with neither.
    assert collection.update_one({"key": 5}, {"$inc": {"n": 1}}).modified_count == 1
    assert collection.update_one({"_id": 6}, {"$inc": {"n": 1}}).modified_count == 1
    assert collection.update_one({"group": 7}, {"$inc": {"n": 1}}).modified_count == 1
    assert collection.count_documents({"n": 1}) == 3
    assert collection.delete_one({"group": 8}).deleted_count == 1
    assert collection.update_one({"group": 77}, {"$inc": {"n": 1}}).matched_count == 0
    assert collection.find_one_and_update({"group": 9}, {"$set": {"m": 1}}, sort=[("_id", -1)])["_id"] == 199
    assert collection.find_one_and_delete({"key": 1})["_id"] == 1
    assert collection.find_one_and_delete({"group": 77}) is None
    assert collection.count_documents({}) == 198


def test_all_documents_are_changed_wherever_they_are(collection):
    collection.insert_many([{"_id": n, "key": n} for n in range(500)])
    assert collection.update_many({"key": {"$lt": 300}}, {"$set": {"a": 1}}).modified_count == 300
    assert collection.delete_many({"a": 1}).deleted_count == 300
    assert collection.count_documents({}) == 200


def test_an_upsert_needs_the_key(collection):
    assert collection.update_one({"key": 1, "_id": "new"}, {"$set": {"a": 1}}, upsert=True).upserted_id == "new"
    assert code_of(collection.update_one, {"a": 5}, {"$set": {"b": 1}}, upsert=True) == 61
    assert collection.count_documents({}) == 1


def test_definitions_change_on_all_shards(client, collection):
    collection.insert_many([{"_id": n, "key": n, "a": n % 5} for n in range(100)])
    collection.create_index([("a", 1)])
    assert "a_1" in collection.index_information()
    plans = client[collection.database.name].command("explain", {"find": "c", "filter": {"a": 3}})
    shards = plans["queryPlanner"]["winningPlan"]["shards"]
    assert len(shards) == 3 and all("a_1" in str(shard) for shard in shards)
    collection.drop_index("a_1")
    assert "a_1" not in collection.index_information()
    assert code_of(collection.drop_index, [("key", "hashed")]) == 265


def test_a_collection_that_was_dropped_can_be_made_again(client, collection):
    name = f"{collection.database.name}.c"
    collection.insert_many([{"_id": n, "key": n} for n in range(100)])
    collection.drop()
    assert collection.count_documents({}) == 0
    collection.insert_one({"_id": 1})
    assert collection.count_documents({}) == 1
    collection.drop()
    client.admin.command("shardCollection", name, key={"key": 1})
    collection.insert_many([{"_id": n, "key": n} for n in range(100)])
    assert collection.count_documents({}) == 100


def test_a_router_defines_nothing_by_what_another_has_dropped(process, client, collection):
    one, other = process.match.group(1).removeprefix("mongodb://").rstrip("/").split(",")
    with pymongo.MongoClient(one) as first, pymongo.MongoClient(other) as second:
        name = collection.database.name
        for _ in range(2):
            assert second[name].c.count_documents({}) == 0
            first[name].drop_collection("c")
            first[name].c.insert_one({"_id": 1})
            # To this one it is sharded still.
            second[name].drop_collection("c")
            assert first[name].c.count_documents({}) == 0
            first.admin.command("shardCollection", f"{name}.c", key={"key": 1})
        assert second[name].c.count_documents({}) == 0
        first[name].drop_collection("c")
        assert second[name].create_collection("c", capped=True, size=4096).options()["capped"]
        assert code_of(first[name].command, "create", "c", capped=True, size=8192) == 48


def test_the_other_router_learns_what_this_one_did(process, client, collection):
    one, other = process.match.group(1).removeprefix("mongodb://").rstrip("/").split(",")
    with pymongo.MongoClient(one) as first, pymongo.MongoClient(other) as second:
        name = collection.database.name
        second[name].c.insert_many([{"_id": n, "key": n} for n in range(100)])
        assert first[name].c.count_documents({}) == 100
        first[name].c.drop()
        assert second[name].c.count_documents({}) == 0
        second[name].c.insert_one({"_id": 1})
        assert [found["_id"] for found in first[name].c.find()] == [1]
        first[name].c.drop()
        first.admin.command("shardCollection", f"{name}.c", key={"key": 1})
        second[name].c.insert_many([{"_id": n, "key": n} for n in range(50)])
        assert first[name].c.count_documents({}) == 50


def test_operations_on_several_collections_at_once(client, collection):
    name = f"{collection.database.name}"
    result = client.bulk_write([
        InsertOne({"_id": 1, "key": 1}, namespace=f"{name}.c"), InsertOne({"_id": 2, "key": 2}, namespace=f"{name}.c"),
        InsertOne({"_id": 1}, namespace=f"{name}.plain"),
        UpdateMany({}, {"$set": {"a": 1}}, namespace=f"{name}.c"),
        DeleteOne({"_id": 1}, namespace=f"{name}.plain"),
    ])
    assert (result.inserted_count, result.modified_count, result.deleted_count) == (3, 2, 1)


def test_what_is_not_there_is_refused_by_name(client, collection):
    name = collection.database.name
    assert code_of(client.admin.command, "replSetGetStatus") == 115
    assert code_of(client.admin.command, "applyOps", []) == 115
    assert code_of(client.admin.command, {"renameCollection": f"{name}.c", "to": f"{name}.d"}) == 20
    assert code_of(client.admin.command, "noSuchCommand") == 59
    assert code_of(client.local.c.insert_one, {}) == 20
    # What only routers may say.
    assert code_of(client[name].command, {"find": "c", "shardVersion": {}}) == 13


def test_causal_sessions_read_their_writes_across_shards(process, collection):
    one, other = process.match.group(1).removeprefix("mongodb://").rstrip("/").split(",")
    with pymongo.MongoClient(f"mongodb://{one},{other}/") as client:
        target = client[collection.database.name].c
        with client.start_session(causal_consistency=True) as session:
            for number in range(30):
                target.insert_one({"_id": number, "key": number}, session=session)
                assert target.count_documents({}, session=session) == number + 1
