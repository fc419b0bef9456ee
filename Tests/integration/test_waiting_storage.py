"""Nodes whose storage is larger than memory: no read finds anything there that was not prefetched for it."""
import pymongo
import pytest
from conftest import Process, eventually

WAITING = ("--storage", "memory-paged", "--set", "memory-paged.one-in=1")


@pytest.fixture(scope="module")
def waiting():
    process = Process(
        "node", "--port", 0, "--set", "enableTestCommands=1", *WAITING, ready=r"mongodb://127\.0\.0\.1:(\d+)/")
    client = pymongo.MongoClient("127.0.0.1", int(process.match.group(1)), directConnection=True)
    yield client
    client.close()
    assert process.process.poll() is None, process.errors()
    process.stop()


def test_many_documents(waiting):
    """More than one slice can do, by every way to read and to write them."""
    orders = waiting.shop.orders
    orders.create_index("rank")
    orders.insert_many([{"_id": i, "rank": i % 10, "tags": [i % 3, "x"]} for i in range(3000)])
    orders.create_index([("tags", 1)])
    assert orders.count_documents({"rank": 3}) == 300
    assert [d["_id"] for d in orders.find({"rank": 4}).sort("_id", -1).limit(3)] == [2994, 2984, 2974]
    assert orders.update_many({"rank": 7}, {"$inc": {"rank": 100}}).modified_count == 300
    assert sorted(orders.distinct("rank")) == [0, 1, 2, 3, 4, 5, 6, 8, 9, 107]
    groups = orders.aggregate([{"$group": {"_id": "$rank", "n": {"$sum": 1}}}])
    assert {g["_id"]: g["n"] for g in groups}[107] == 300
    joined = list(orders.aggregate([
        {"$match": {"_id": {"$lt": 5}}},
        {"$lookup": {"from": "orders", "localField": "_id", "foreignField": "_id", "as": "self"}}]))
    assert [len(d["self"]) for d in joined] == [1] * 5
    assert orders.delete_many({"tags": 2}).deleted_count == 1000
    assert orders.count_documents({}) == 2000
    assert waiting.shop.command("validate", "orders")["valid"]
    list(orders.aggregate([{"$match": {"rank": 1}}, {"$out": "copy"}]))
    assert waiting.shop.copy.count_documents({}) == 200


def test_statements_are_carried_out_once(waiting):
    """A short command that waits in its middle goes on there, and does not begin again."""
    lists = waiting.shop.lists
    lists.insert_many([{"_id": i, "n": 0} for i in range(10)])
    result = lists.bulk_write([pymongo.UpdateOne({"_id": i % 10}, {"$inc": {"n": 1}}) for i in range(15)])
    assert result.modified_count == 15
    assert [d["n"] for d in lists.find().sort("_id", 1)] == [2] * 5 + [1] * 5
    assert lists.find_one_and_update({"_id": 3}, {"$inc": {"n": 1}}, return_document=True)["n"] == 3
    with pytest.raises(pymongo.errors.BulkWriteError) as caught:
        lists.insert_many([{"_id": 100}, {"_id": 1}, {"_id": 101}], ordered=False)
    assert caught.value.details["nInserted"] == 2
    assert lists.count_documents({}) == 12


def test_capped_collection(waiting):
    capped = waiting.shop.create_collection("capped", capped=True, size=4096, max=4)
    for i in range(20):
        capped.insert_one({"_id": i})
    assert [d["_id"] for d in capped.find()] == [16, 17, 18, 19]


def test_replica_set(make_replica_set):
    """Secondaries that wait for their storage follow, elect, and are cloned anew after a kill."""
    replica_set = make_replica_set(3, name="waiting", arguments=WAITING)
    replica_set.initiate()
    client = replica_set.client(w="majority")
    orders = client.shop.orders
    orders.create_index("rank", unique=True)
    orders.insert_many([{"_id": i, "rank": i} for i in range(500)])
    orders.update_many({"rank": {"$gte": 250}}, {"$inc": {"rank": 1000}})
    replica_set.wait_for_equal_data("shop", seconds=60)
    replica_set.step_down()
    orders.insert_one({"_id": 500, "rank": 500})
    orders.create_index([("rank", -1), ("_id", 1)])
    victim = replica_set.secondaries[0]
    victim.kill()
    orders.delete_many({"_id": {"$lt": 100}})
    replica_set.mend()
    replica_set.wait_for_equal_data("shop", seconds=60)
    secondary = replica_set.client(readPreference="secondary").shop.orders
    assert eventually(lambda: secondary.count_documents({"rank": {"$gte": 500}}) == 251)
    for member in replica_set.members:
        assert member.direct.shop.command("validate", "orders")["valid"]
