"""Every pair of stages through the wire: in batches of one, to the end and broken off. (What they give is compared with
arrays in memory by the grid of DataTests.)"""
import itertools

import pytest

JOIN = {"$lookup": {"from": "stock", "localField": "a", "foreignField": "_id", "as": "s"}}
STAGES = {
    "match": {"$match": {"a": {"$lt": 3}}},
    "set": {"$set": {"b": {"$ifNull": ["$a", 0]}}},
    "group": {"$group": {"_id": "$a", "n": {"$sum": 1}}},
    "sort": {"$sort": {"a": -1, "_id": 1}},
    "limit": {"$limit": 3},
    "skip": {"$skip": 2},
    "unwind": {"$unwind": {"path": "$t", "preserveNullAndEmptyArrays": True}},
    "count": {"$count": "n"},
    "lookup": JOIN,
    "lookup by pipeline": {"$lookup": {"from": "stock", "pipeline": [JOIN, {"$limit": 2}], "as": "p"}},
    "union": {"$unionWith": {"coll": "stock", "pipeline": [{"$skip": 1}]}},
    "documents": {"$unionWith": {"pipeline": [{"$documents": [{"_id": "made", "a": 1}]}]}},
    "facet": {"$facet": {"x": [JOIN, {"$limit": 1}], "y": [{"$unionWith": "stock"}, {"$count": "n"}]}},
    "windows": {"$setWindowFields": {"partitionBy": "$a", "sortBy": {"_id": 1}, "output": {
        "w": {"$push": "$_id", "window": {"documents": [-1, 1]}}}}},
    "buckets": {"$bucketAuto": {"groupBy": "$_id", "buckets": 3, "output": {"ids": {"$push": "$_id"}}}},
    "fill": {"$fill": {"sortBy": {"_id": 1}, "output": {"a": {"method": "locf"}, "b": {"value": 0}}}},
    "redact": {"$redact": {"$cond": [{"$eq": ["$a", 3]}, "$$PRUNE", "$$DESCEND"]}},
    "graph": {"$graphLookup": {"from": "stock", "startWith": "$a", "connectFromField": "_id", "connectToField": "_id",
                               "as": "g"}},
    "sample": {"$sample": {"size": 1000}},
}


def open_cursors(database):
    return database.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"]


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_pairs_of_stages_give_the_same_in_small_batches_and_can_be_broken_off(database, count):
    database.stock.insert_many([{"_id": i} for i in range(4)])
    if count:
        database.c.insert_many([{"_id": i, "a": i % 5, "t": [i, -i]} for i in range(count)])
    before = open_cursors(database)
    for (one, first), (two, second) in itertools.product(STAGES.items(), repeat=2):
        whole = list(database.c.aggregate([first, second]))
        small = []
        cursor = database.c.aggregate([first, second], batchSize=1)
        for _ in range(8):
            small.extend(itertools.islice(cursor, 1))
        assert small == whole[:8], (one, two)
        cursor.close()
        assert open_cursors(database) == before, (one, two)
        nothing = database.c.aggregate([first, second], batchSize=0)
        assert list(nothing) == whole, (one, two)
    assert open_cursors(database) == before
