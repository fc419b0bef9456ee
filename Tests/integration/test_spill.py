"""Stages whose memory is used up go on in temporary tables; none is left behind, whatever way a pipeline ends."""
import threading

import pymongo
import pytest
from conftest import code_of

PAD = "x" * 50_000
COUNT = 2400  # 120 MB: a stage may hold 100


@pytest.fixture(scope="module")
def large(standalone):
    standalone.drop_database("spilling")
    database = standalone.spilling
    for start in range(0, COUNT, 200):
        database.c.insert_many([{"_id": i, "k": i * 7919 % COUNT, "g": i % 3, "pad": PAD}
                                for i in range(start, start + 200)])
    yield database
    standalone.drop_database("spilling")


SORTS = {
    "aggregate": lambda c, **options: c.aggregate([{"$sort": {"k": 1}}, {"$project": {"k": 1}}], **options),
    "after a set": lambda c, **options: c.aggregate(
        [{"$set": {"n": 1}}, {"$sort": {"k": 1}}, {"$project": {"k": 1}}], **options),
    "find": lambda c, allowDiskUse=True: c.find({}, {"k": 1}, allow_disk_use=allowDiskUse).sort("k", 1),
    "windows": lambda c, **options: c.aggregate(
        [{"$setWindowFields": {"sortBy": {"k": 1}, "output": {
            "n": {"$sum": 1, "window": {"documents": ["unbounded", "unbounded"]}}}}},
         {"$project": {"k": 1, "n": 1}}], **options),
}


@pytest.mark.parametrize("name", SORTS)
def test_a_sort_of_more_than_the_memory_is_a_sort(large, name):
    found = list(SORTS[name](large.c))
    assert [document["k"] for document in found] == list(range(COUNT))
    if name == "windows":
        assert {document["n"] for document in found} == {COUNT}


@pytest.mark.parametrize("name", SORTS)
def test_without_the_disk_it_is_refused(large, name):
    assert code_of(lambda: list(SORTS[name](large.c, allowDiskUse=False))) == 292


def test_groups_and_buckets_of_more_than_the_memory(large):
    groups = list(large.c.aggregate([
        {"$group": {"_id": {"$concat": [{"$toString": "$k"}, "$pad"]}, "n": {"$sum": 1}, "g": {"$first": "$g"}}},
        {"$group": {"_id": None, "n": {"$sum": "$n"}, "groups": {"$sum": 1}, "g": {"$sum": "$g"}}}]))
    assert groups == [{"_id": None, "n": COUNT, "groups": COUNT, "g": COUNT}]
    buckets = list(large.c.aggregate([{"$bucketAuto": {"groupBy": "$k", "buckets": 4, "output": {
        "n": {"$sum": 1}, "longest": {"$max": {"$strLenBytes": "$pad"}}}}}]))
    assert [bucket["n"] for bucket in buckets] == [600] * 4


def test_others_are_served_while_a_sort_spills_and_time_limits_hold(large):
    served = []
    done = threading.Event()

    def ask():
        with pymongo.MongoClient(*large.client.address, directConnection=True) as other:
            while not done.is_set():
                served.append(other.admin.command("ping")["ok"])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert sum(1 for _ in SORTS["aggregate"](large.c)) == COUNT
        assert code_of(lambda: list(large.c.aggregate([{"$sort": {"pad": 1, "k": 1}}], maxTimeMS=1))) == 50
    finally:
        done.set()
        asking.join()
    assert served


def test_a_cursor_that_is_closed_early_leaves_nothing(large):
    before = large.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"]
    for _ in range(3):
        cursor = large.c.aggregate([{"$sort": {"k": -1}}, {"$project": {"k": 1}}], batchSize=2)
        assert next(cursor)["k"] == COUNT - 1
        cursor.close()
    assert large.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"] == before
