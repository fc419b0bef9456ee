"""Clustered collections: in the order of their ids, and expiring by them."""
import datetime

import pytest
from conftest import code_of, eventually

CLUSTERED = {"key": {"_id": 1}, "unique": True}


def test_documents_come_in_the_order_of_their_ids(database):
    database.create_collection("c", clusteredIndex={**CLUSTERED, "name": "by id"})
    ids = [i * 7919 % 1000 for i in range(1000)]
    database.c.insert_many([{"_id": i, "n": -i} for i in ids])
    assert [document["_id"] for document in database.c.find(batch_size=50)] == sorted(ids)
    back = [d["_id"] for d in database.c.find({"n": {"$lt": -990}}).hint([("$natural", -1)])]
    assert back == list(range(999, 990, -1))
    assert [d["_id"] for d in database.c.aggregate([{"$limit": 2}])] == [0, 1]
    database.c.update_many({}, {"$inc": {"n": 1}})
    database.c.delete_many({"_id": {"$gte": 10}})
    assert database.c.count_documents({}) == 10
    assert list(database.c.list_indexes()) == [
        {"v": 2, "key": {"_id": 1}, "name": "by id", "unique": True, "clustered": True}]
    options = next(database.list_collections(filter={"name": "c"}))["options"]
    assert options["clusteredIndex"] == {"v": 2, "key": {"_id": 1}, "name": "by id", "unique": True}


def test_documents_expire_by_their_ids(database):
    database.create_collection("c", clusteredIndex=CLUSTERED, expireAfterSeconds=3600)
    now = datetime.datetime.now(datetime.timezone.utc)
    database.c.insert_many([{"_id": now - datetime.timedelta(hours=2)}, {"_id": now}, {"_id": 1}])
    database.client.admin.command("setParameter", 1, ttlMonitorSleepSecs=1)
    try:
        eventually(lambda: database.c.count_documents({}) == 2, what="the old document to go")
        database.command("collMod", "c", expireAfterSeconds="off")
        assert "expireAfterSeconds" not in next(database.list_collections(filter={"name": "c"}))["options"]
    finally:
        database.client.admin.command("setParameter", 1, ttlMonitorSleepSecs=60)


@pytest.mark.parametrize("options, code", [
    ({"clusteredIndex": True}, 5979703), ({"clusteredIndex": {"key": {"_id": 1}}}, 40414),
    ({"clusteredIndex": {"key": {"_id": 1}, "unique": False}}, 5979700),
    ({"clusteredIndex": {"key": {"a": 1}, "unique": True}}, 197),
    ({"clusteredIndex": {**CLUSTERED, "v": 1}}, 5979704), ({"clusteredIndex": {**CLUSTERED, "more": 1}}, 40415),
    ({"clusteredIndex": CLUSTERED, "capped": True, "size": 4096}, 6049200),
    ({"clusteredIndex": CLUSTERED, "viewOn": "x"}, 6026500), ({"expireAfterSeconds": 1}, 72),
])
def test_what_makes_no_clustered_collection_is_refused(database, options, code):
    assert code_of(database.command, "create", "c", **options) == code
    assert database.list_collection_names() == []


def test_the_clustered_index_stays(database):
    database.create_collection("c", clusteredIndex=CLUSTERED)
    database.c.create_index("a")
    assert code_of(database.command, "dropIndexes", "c", index="_id_") == 5979800
    database.command("dropIndexes", "c", index="*")
    assert [index["name"] for index in database.c.list_indexes()] == ["_id_"]
