"""Views: read by every command that reads, refused by those that write, and there on every member."""
import pymongo
import pytest
from conftest import code_of, eventually
from pymongo import ReadPreference, WriteConcern


@pytest.fixture
def shop(database):
    database.goods.insert_many([{"_id": i, "n": i % 5, "t": [i, i % 3]} for i in range(500)])
    database.command("create", "even", viewOn="goods", pipeline=[{"$match": {"n": {"$in": [0, 2, 4]}}}])
    database.command("create", "zero", viewOn="even", pipeline=[{"$match": {"n": 0}}, {"$set": {"z": "$n"}}])
    return database


def test_every_kind_of_read_goes_through_the_view(shop):
    assert shop.even.count_documents({}) == 300
    assert shop.command("count", "even", query={"n": 2}, skip=10, limit=50)["n"] == 50
    assert shop.command("count", "zero", query={"n": 1})["n"] == 0
    assert sorted(shop.even.distinct("n")) == [0, 2, 4]
    assert sorted(shop.zero.distinct("t", {"_id": {"$lt": 10}})) == [0, 2, 5]
    found = list(shop.zero.find({"_id": {"$gt": 100}}, {"z": 1}).sort("_id", -1).skip(1).limit(3))
    assert found == [{"_id": 490, "z": 0}, {"_id": 485, "z": 0}, {"_id": 480, "z": 0}]
    assert shop.even.find_one({"_id": 7}) == {"_id": 7, "n": 2, "t": [7, 1]}
    assert shop.even.find_one({"_id": 8}) is None
    assert list(shop.zero.aggregate([{"$group": {"_id": "$z", "n": {"$sum": 1}}}])) == [{"_id": 0, "n": 100}]
    assert shop.command("explain", {"find": "zero"})["ok"] == 1
    assert shop.command("explain", {"count": "zero", "query": {"n": 1}})["ok"] == 1


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_cursor_over_a_view_comes_in_batches_under_the_views_name(shop, size):
    reply = shop.command("find", "even", batchSize=size, sort={"_id": 1})
    assert reply["cursor"]["ns"] == f"{shop.name}.even"
    ids = [document["_id"] for document in shop.even.find(batch_size=size).sort("_id", 1)]
    assert ids == [i for i in range(500) if i % 5 in (0, 2, 4)]


def test_stages_join_with_views(shop):
    join = {"$lookup": {"from": "zero", "localField": "_id", "foreignField": "_id", "as": "z"}}
    joined = list(shop.goods.aggregate([{"$match": {"_id": {"$lt": 6}}}, {"$sort": {"_id": 1}}, join]))
    assert [len(document["z"]) for document in joined] == [1, 0, 0, 0, 0, 1]
    assert joined[5]["z"][0]["z"] == 0
    union = list(shop.zero.aggregate([{"$unionWith": {"coll": "even", "pipeline": [{"$match": {"n": 2}}]}}]))
    assert len(union) == 200
    graph = {"$graphLookup": {"from": "zero", "startWith": "$_id", "connectFromField": "n", "connectToField": "_id",
                              "as": "g"}}
    assert [len(d["g"]) for d in shop.goods.aggregate([{"$match": {"_id": {"$in": [5, 6]}}}, graph])] == [2, 0]


@pytest.mark.parametrize("write", [
    lambda view: view.insert_one({}), lambda view: view.update_one({}, {"$set": {"a": 1}}),
    lambda view: view.update_one({"_id": 1000}, {"$set": {"a": 1}}, upsert=True), lambda view: view.delete_many({}),
    lambda view: view.find_one_and_delete({}), lambda view: view.create_index("n"),
    lambda view: view.drop_index("n_1"), lambda view: list(view.list_indexes()),
    lambda view: view.database.command("convertToCapped", view.name, size=10000),
    lambda view: view.database.command("validate", view.name),
    lambda view: view.rename("other"), lambda view: list(view.database.goods.aggregate([{"$out": view.name}])),
    lambda view: list(view.database.goods.aggregate([{"$merge": {"into": view.name}}])),
])
def test_writes_are_refused(shop, write):
    assert code_of(write, shop.even) == 166
    assert shop.even.count_documents({}) == 300


def test_a_view_is_listed_changed_and_dropped(shop):
    listed = {entry["name"]: entry for entry in shop.list_collections()}
    assert listed["zero"]["type"] == "view" and listed["zero"]["info"]["readOnly"] is True
    assert listed["zero"]["options"] == {
        "viewOn": "even", "pipeline": [{"$match": {"n": 0}}, {"$set": {"z": "$n"}}]}
    assert listed["system.views"]["type"] == "collection"
    assert {entry["name"] for entry in shop.list_collections(filter={"type": "view"})} == {"even", "zero"}
    shop.command("collMod", "zero", viewOn="goods", pipeline=[{"$limit": 3}])
    assert shop.zero.count_documents({}) == 3
    shop.command("collMod", "zero", pipeline=[])
    assert shop.zero.count_documents({}) == 500
    assert code_of(shop.command, "collMod", "goods", viewOn="even", pipeline=[]) == 72
    assert code_of(shop.goods.rename, "even") == 48
    shop.drop_collection("zero")
    assert "zero" not in shop.list_collection_names()
    shop.zero.insert_one({"_id": 1})  # the name is free
    assert shop.zero.count_documents({}) == 1
    shop.goods.drop()
    assert list(shop.even.find()) == []


def test_what_makes_no_view_is_refused(shop):
    def create(name, **options):
        return code_of(shop.command, "create", name, **options)

    assert create("even", viewOn="goods", pipeline=[]) == 48
    assert create("goods", viewOn="even", pipeline=[]) == 48
    assert create("even") == 48
    shop.command("create", "even", viewOn="goods", pipeline=[{"$match": {"n": {"$in": [0, 2, 4]}}}])  # the same
    assert create("v", pipeline=[]) == 72
    assert create("v", viewOn="") == 2
    assert create("v", viewOn=1) == 14
    assert create("v", viewOn="goods", pipeline=[{"$nothing": 1}]) == 40324
    assert create("v", viewOn="goods", pipeline=[{"$out": "x"}]) == 167
    assert create("v", viewOn="goods", pipeline=[{"$documents": []}]) == 73
    assert create("v", viewOn="goods", pipeline=[{"$match": {"a": {"$nothing": 1}}}]) == 2
    assert code_of(shop["system.views"].insert_one, {"_id": f"{shop.name}.v", "viewOn": "v", "pipeline": []}) == 73


def test_a_view_cannot_read_itself_by_any_way(shop):
    def change(**options):
        return code_of(shop.command, "collMod", "even", **options)

    assert change(viewOn="even", pipeline=[]) == 5
    assert change(viewOn="zero", pipeline=[]) == 5
    assert change(pipeline=[{"$lookup": {"from": "zero", "pipeline": [], "as": "x"}}]) == 5
    assert change(pipeline=[{"$facet": {"f": [{"$unionWith": "zero"}]}}]) == 5
    shop.command("create", "v0", viewOn="goods", pipeline=[])
    for i in range(1, 20):
        shop.command("create", f"v{i}", viewOn=f"v{i - 1}", pipeline=[])
    assert shop.v19.count_documents({}) == 500
    assert code_of(shop.command, "create", "v20", viewOn="v19", pipeline=[]) == 165


def test_views_go_with_their_database(shop):
    shop.client.drop_database(shop.name)
    assert shop.list_collection_names() == []


def test_views_are_on_every_member_and_survive_a_failover(replica_set, database_name):
    client = replica_set.client()
    shop = client.get_database(database_name, write_concern=WriteConcern(3))
    shop.goods.insert_many([{"_id": i} for i in range(10)])
    shop.command("create", "v", viewOn="goods", pipeline=[{"$match": {"_id": {"$gt": 6}}}], writeConcern={"w": 3})
    for member in replica_set.members:
        direct = member.direct.get_database(database_name, read_preference=ReadPreference.NEAREST)
        assert [d["_id"] for d in direct.v.find().sort("_id", 1)] == [7, 8, 9]
        assert direct.v.count_documents({}) == 3
    replica_set.step_down()
    eventually(lambda: shop.v.count_documents({}) == 3, what="the view at the new primary")
    shop.command("collMod", "v", pipeline=[{"$match": {"_id": 1}}], writeConcern={"w": 3})
    for member in replica_set.members:
        direct = member.direct.get_database(database_name, read_preference=ReadPreference.NEAREST)
        assert [d["_id"] for d in direct.v.find()] == [1]


def test_a_new_member_gets_the_views_and_a_rollback_takes_them_back(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config({"electionTimeoutMillis": 2000}))
    client = replica_set.client()
    shop = client.get_database("shop", write_concern=WriteConcern(3))
    shop.goods.insert_many([{"_id": i} for i in range(10)])
    shop.command("create", "kept", viewOn="goods", pipeline=[{"$limit": 2}], writeConcern={"w": 3})
    old, others = replica_set.primary, replica_set.secondaries
    for member in others:
        member.pause()
    alone = old.direct.shop
    alone.goods.with_options(write_concern=WriteConcern(1)).insert_one({"_id": "bait"})
    alone.command("create", "lost", viewOn="goods", pipeline=[], writeConcern={"w": 1})
    alone.command("collMod", "kept", pipeline=[{"$limit": 1}], writeConcern={"w": 1})
    old.pause()
    for member in others:
        member.resume()
    eventually(lambda: any(m.hello().get("isWritablePrimary") for m in others), what="another primary")
    old.resume()
    replica_set.wait_until_healthy()
    replica_set.wait_for_equal_data("shop")
    back = old.direct.get_database("shop", read_preference=ReadPreference.NEAREST)
    names = set(back.list_collection_names())
    count = back.kept.count_documents({})
    # The request for entries that was open may have brought the bait, and the view behind it, to a secondary.
    others_names = {frozenset(m.direct.get_database("shop").list_collection_names()) for m in replica_set.members}
    assert others_names == {frozenset(names)}
    assert count == (1 if "lost" in names else 2)
    restarted = next(member for member in replica_set.secondaries)
    restarted.kill()
    restarted.start()
    restarted.forget_connections()
    replica_set.wait_until_healthy()
    cloned = restarted.direct.get_database("shop", read_preference=ReadPreference.NEAREST)
    assert set(cloned.list_collection_names()) == names
    assert cloned.kept.count_documents({}) == count
