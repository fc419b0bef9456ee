"""One expression on one document may take any time, and holds nobody up: others are answered, members keep their
office, maxTimeMS ends it."""
import signal
import threading

import pymongo
import pytest
from conftest import Process, code_of, eventually

ELEMENTS = 20_000
TEXT_BYTES = 80_000

LOOPS = {
    "arrayElemAt in map": {"$size": {"$map": {"input": "$a", "in": {"$arrayElemAt": ["$a", "$$this"]}}}},
    "in in filter": {"$size": {"$filter": {"input": "$a", "cond": {"$in": ["$$this", "$a"]}}}},
    "concatArrays in reduce": {
        "$size": {"$reduce": {"input": "$a", "initialValue": [], "in": {"$concatArrays": ["$$value", ["$$this"]]}}}
    },
    "concat in reduce": {
        "$strLenBytes": {
            "$reduce": {"input": "$a", "initialValue": "", "in": {"$concat": ["$$value", {"$toString": "$$this"}]}}
        }
    },
    "regexFindAll": {"$size": {"$regexFindAll": {"input": "$s", "regex": "a"}}},
    "setUnion of all": {"$size": {"$setUnion": ["$a", {"$map": {"input": "$a", "in": {"$add": ["$$this", 7]}}}]}},
    "sortArray": {"$size": {"$sortArray": {"input": "$a", "sortBy": -1}}},
    "zip": {"$size": {"$zip": {"inputs": ["$a", "$a"]}}},
    "split": {"$size": {"$split": ["$s", "a"]}},
}
EXPECTED = {
    "arrayElemAt in map": ELEMENTS,
    "in in filter": ELEMENTS,
    "concatArrays in reduce": ELEMENTS,
    "concat in reduce": sum(len(str(i)) for i in range(ELEMENTS)),
    "regexFindAll": TEXT_BYTES,
    "setUnion of all": ELEMENTS + 7,
    "sortArray": ELEMENTS,
    "zip": ELEMENTS,
    "split": TEXT_BYTES + 1,
}

# Sixteen million turns: more than any machine does within the time that a test gives it.
ENDLESS = {
    "$sum": {
        "$map": {
            "input": {"$range": [0, 4000]},
            "as": "i",
            "in": {"$sum": {"$map": {"input": {"$range": [0, 4000]}, "as": "j", "in": {"$multiply": ["$$i", "$$j"]}}}},
        }
    }
}


def fill(collection):
    collection.insert_one({"_id": 1, "a": list(range(ELEMENTS)), "s": "a" * TEXT_BYTES})


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_over_many_elements_is_linear(database, name):
    fill(database.c)
    [result] = database.c.aggregate([{"$project": {"x": LOOPS[name]}}], maxTimeMS=20_000)
    assert result == {"_id": 1, "x": EXPECTED[name]}


def validated(collection):
    """Has every write wait for a validator that never comes to its end."""
    collection.database.command("collMod", collection.name, validator={"$expr": {"$gte": [ENDLESS, 0]}})
    return collection


def merged(collection, t):
    merge = {"into": "merged", "let": {"x": ENDLESS}, "whenMatched": [{"$set": {"x": "$$x"}}]}
    collection.aggregate([{"$merge": merge}], maxTimeMS=t)


WAYS = {
    "project": lambda c, t: list(c.aggregate([{"$project": {"x": ENDLESS}}], maxTimeMS=t)),
    "match": lambda c, t: list(c.aggregate([{"$match": {"$expr": ENDLESS}}], maxTimeMS=t)),
    "group": lambda c, t: list(c.aggregate([{"$group": {"_id": ENDLESS}}], maxTimeMS=t)),
    "facet": lambda c, t: list(c.aggregate([{"$facet": {"f": [{"$set": {"x": ENDLESS}}]}}], maxTimeMS=t)),
    "find": lambda c, t: list(c.find({"$expr": ENDLESS}, max_time_ms=t)),
    "find projection": lambda c, t: list(c.find({}, {"x": ENDLESS}, max_time_ms=t)),
    "sorted find": lambda c, t: list(c.find({"$expr": ENDLESS}, max_time_ms=t).sort("a", 1)),
    "count": lambda c, t: c.database.command("count", c.name, query={"$expr": ENDLESS}, maxTimeMS=t),
    "distinct": lambda c, t: c.database.command("distinct", c.name, key="s", query={"$expr": ENDLESS}, maxTimeMS=t),
    "update": lambda c, t: c.database.command(
        {"update": c.name, "updates": [{"q": {"_id": 1}, "u": [{"$set": {"x": ENDLESS}}]}], "maxTimeMS": t}
    ),
    "update many": lambda c, t: c.database.command(
        {"update": c.name, "updates": [{"q": {}, "u": [{"$set": {"x": ENDLESS}}], "multi": True}], "maxTimeMS": t}
    ),
    "delete": lambda c, t: c.database.command(
        {"delete": c.name, "deletes": [{"q": {"$expr": ENDLESS}, "limit": 0}], "maxTimeMS": t}
    ),
    "findAndModify": lambda c, t: c.database.command(
        {"findAndModify": c.name, "query": {"_id": 1}, "update": [{"$set": {"x": ENDLESS}}], "maxTimeMS": t}
    ),
    "projection of findAndModify": lambda c, t: c.database.command({
        "findAndModify": c.name, "query": {"_id": 1}, "update": {"$set": {"a": 1}}, "fields": {"x": ENDLESS},
        "maxTimeMS": t
    }),
    "upsert": lambda c, t: c.database.command({
        "update": c.name, "updates": [{"q": {"_id": 2}, "u": [{"$set": {"x": ENDLESS}}], "upsert": True}],
        "maxTimeMS": t
    }),
    "let of find": lambda c, t: c.database.command({"find": c.name, "let": {"x": ENDLESS}, "maxTimeMS": t}),
    "let of update": lambda c, t: c.database.command(
        {"update": c.name, "updates": [{"q": {"_id": 1}, "u": {"a": 2}}], "let": {"x": ENDLESS}, "maxTimeMS": t}
    ),
    "let of explain": lambda c, t: c.database.command(
        {"explain": {"find": c.name, "let": {"x": ENDLESS}}, "maxTimeMS": t}
    ),
    "let of merge": merged,
    "validated insert": lambda c, t: validated(c).database.command(
        {"insert": c.name, "documents": [{"_id": 2}], "maxTimeMS": t}
    ),
    "validated inserts": lambda c, t: validated(c).database.command(
        {"insert": c.name, "documents": [{"_id": 2}, {"_id": 3}], "ordered": False, "maxTimeMS": t}
    ),
    "validated update": lambda c, t: validated(c).database.command(
        {"update": c.name, "updates": [{"q": {"_id": 1}, "u": {"$set": {"a": 2}}}], "maxTimeMS": t}
    ),
    "validated upsert": lambda c, t: validated(c).database.command(
        {"update": c.name, "updates": [{"q": {"_id": 2}, "u": {"a": 2}, "upsert": True}], "maxTimeMS": t}
    ),
    "validated findAndModify": lambda c, t: validated(c).database.command(
        {"findAndModify": c.name, "query": {"_id": 1}, "update": {"a": 2}, "maxTimeMS": t}
    ),
    "validated bulkWrite": lambda c, t: validated(c).database.client.admin.command({
        "bulkWrite": 1, "ops": [{"insert": 0, "document": {"_id": 2}}],
        "nsInfo": [{"ns": f"{c.database.name}.{c.name}"}], "maxTimeMS": t
    }),
    "validated applyOps": lambda c, t: validated(c).database.client.admin.command({
        "applyOps": [{"op": "i", "ns": f"{c.database.name}.{c.name}", "o": {"_id": 2}}], "maxTimeMS": t
    }),
}


@pytest.mark.parametrize("way", WAYS)
def test_max_time_ends_an_evaluation_inside_a_document(database, way):
    database.c.insert_one({"_id": 1, "a": 1, "s": "x"})
    assert code_of(WAYS[way], database.c, 300) == 50
    assert database.c.find_one() == {"_id": 1, "a": 1, "s": "x"}


@pytest.mark.parametrize("way", WAYS)
def test_others_are_answered_while_one_document_is_evaluated(database, standalone, way):
    database.c.insert_one({"_id": 1, "a": 1, "s": "x"})
    answered = []
    started, ended = threading.Event(), threading.Event()

    def ping():
        with pymongo.MongoClient(*standalone.address, directConnection=True) as other:
            other.admin.command("ping")
            started.set()
            while not ended.is_set():
                other.admin.command("ping")
                answered.append(None)

    thread = threading.Thread(target=ping)
    thread.start()
    started.wait()
    before = len(answered)
    try:
        assert code_of(WAYS[way], database.c, 1000) == 50
        during = len(answered) - before
    finally:
        ended.set()
        thread.join()
    # One that holds the loop for its second lets two through at most.
    assert during > 5


def test_members_keep_their_office_beside_long_evaluations(replica_set, database_name):
    client = replica_set.client(w=1)
    collection = client[database_name].c
    fill(collection)
    collection.with_options(write_concern=pymongo.WriteConcern("majority")).insert_one({"_id": 2})
    primary, term = replica_set.primary, replica_set.status()["term"]
    # Several times as long as it takes to miss a primary.
    assert code_of(WAYS["project"], collection, 4 * replica_set.FAST["electionTimeoutMillis"]) == 50
    for name, loop in LOOPS.items():
        found = list(collection.aggregate([{"$match": {"_id": 1}}, {"$project": {"x": loop}}]))
        assert found == [{"_id": 1, "x": EXPECTED[name]}]
    assert replica_set.primary is primary
    assert replica_set.status()["term"] == term


def test_a_large_text_holds_nobody_up(make_replica_set):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config({"electionTimeoutMillis": 10_000}))
    client = replica_set.client()
    collection = client.large.c
    collection.insert_one({"_id": 1, "s": "ab" * 7_900_000})
    term = replica_set.status()["term"]
    # A match for every eighth of the text's bytes would take more memory than a value may.
    pipeline = [{"$project": {"x": {"$size": {"$regexFindAll": {"input": "$s", "regex": "(ab){1000}"}}}}}]
    assert list(collection.aggregate(pipeline)) == [{"_id": 1, "x": 7900}]
    many = [{"$project": {"x": {"$size": {"$regexFindAll": {"input": "$s", "regex": "a"}}}}}]
    assert code_of(lambda: list(collection.aggregate(many))) == 146
    # No match, but a thousand steps at every place.
    none = [{"$project": {"x": {"$regexMatch": {"input": "$s", "regex": "(ab){0,500}c"}}}}]
    assert code_of(lambda: list(collection.aggregate(none, maxTimeMS=3000))) == 50
    assert replica_set.status()["term"] == term


def test_an_update_that_takes_many_slices_is_applied_once(database):
    database.c.insert_many({"_id": i, "n": 1, "a": list(range(ELEMENTS))} for i in range(3))
    stage = {"$set": {"n": {"$add": ["$n", 1]}, "a": {"$sum": LOOPS["in in filter"]}}}
    reply = database.c.update_many({}, [stage])
    assert (reply.matched_count, reply.modified_count) == (3, 3)
    assert list(database.c.find({}, {"_id": 0})) == [{"n": 2, "a": ELEMENTS}] * 3


HUNDREDS = [{"x": -i} for i in range(1, 400)]
CHANGES = {
    "pull": ({"$pull": {"a": {"$or": [*HUNDREDS, {"x": {"$gte": 7}}]}}}, None),
    "array filters": (
        {"$unset": {"a.$[e].x": 1}},
        [{"$or": [{"e.x": condition["x"]} for condition in HUNDREDS] + [{"e.x": {"$lt": 7}}]}],
    ),
}


@pytest.mark.parametrize("way", CHANGES)
def test_members_keep_their_office_beside_conditions_on_many_elements(make_replica_set, way):
    replica_set = make_replica_set()
    # One pass over so many elements stops the loop for a moment, which is no reason for an election.
    replica_set.initiate()
    collection = replica_set.client().large.c
    elements = [{"x": i} for i in range(100_000)]
    collection.insert_one({"_id": 1, "a": elements})
    primary, term = replica_set.primary, replica_set.status()["term"]
    update, filters = CHANGES[way]
    reply = collection.update_one({"_id": 1}, update, array_filters=filters)
    assert reply.modified_count == 1
    expected = elements[:7] if way == "pull" else [{}] * 7 + elements[7:]
    assert collection.find_one()["a"] == expected
    # What ends it in the middle leaves the document as it was.
    endless = {"$unset": {"a.$[e]": 1}}
    conditions = [{"$or": [{"e.x": condition["x"]} for condition in HUNDREDS] * 100}]
    statement = {"q": {"_id": 1}, "u": endless, "arrayFilters": conditions}
    if way == "array filters":
        assert code_of(collection.database.command, {"update": "c", "updates": [statement], "maxTimeMS": 300}) == 50
    assert collection.find_one()["a"] == expected
    assert replica_set.primary is primary
    assert replica_set.status()["term"] == term


def test_a_crash_leaves_a_line():
    process = Process("node", "--port", 0, ready=r"mongodb://127\.0\.0\.1:(\d+)/")
    process.signal(signal.SIGSEGV)
    assert process.process.wait(10) == -signal.SIGSEGV
    assert "quorate: ended by SIGSEGV" in process.errors()
