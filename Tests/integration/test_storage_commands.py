"""Commands that restores and operators send: capped conversions, sizes, applyOps, index options, collMod."""
import bson
import pymongo
import pytest
from bson import Code, Decimal128, Int64, Timestamp
from conftest import code_of, eventually


def ids(collection):
    return [document["_id"] for document in collection.find()]


# MARK: Capped collections


def test_a_collection_is_made_capped_and_keeps_its_newest(database):
    things = database.things
    things.insert_many([{"_id": n, "p": "x" * 1000} for n in range(500)])
    things.create_index("p")
    assert database.command("convertToCapped", "things", size=16384)["ok"] == 1
    assert things.options() == {"capped": True, "size": 16384}
    assert list(things.index_information()) == ["_id_"]
    left = ids(things)
    assert left == list(range(500 - len(left), 500)) and 10 < len(left) <= 16
    things.insert_one({"_id": 1000, "p": "x" * 1000})
    assert ids(things)[-1] == 1000
    assert database.command("validate", "things")["valid"]
    assert code_of(database.command, "convertToCapped", "nothing", size=4096) == 26
    assert code_of(database.command, "convertToCapped", "things", size=0) == 72
    assert code_of(database.command, "convertToCapped", "things") == 40414


def test_a_collection_is_copied_into_a_capped_one(database):
    database.things.insert_many([{"_id": n, "p": "x" * 1000} for n in range(300)])
    database.command("cloneCollectionAsCapped", "things", toCollection="ring", size=16384)
    left = ids(database.ring)
    assert left == list(range(300 - len(left), 300)) and 5 < len(left) <= 16
    assert database.things.count_documents({}) == 300
    assert code_of(database.command, "cloneCollectionAsCapped", "things", toCollection="ring", size=16384) == 48
    assert code_of(database.command, "cloneCollectionAsCapped", "none", toCollection="other", size=16384) == 26


def test_members_agree_on_a_converted_collection(replica_set, database_name):
    database = replica_set.client()[database_name]
    database.things.insert_many([{"_id": n, "p": "x" * 100} for n in range(3000)])
    database.things.create_index("p")
    database.command("convertToCapped", "things", size=50_000, writeConcern={"w": 3})
    replica_set.wait_for_equal_data(database_name)
    for member in replica_set.members:
        assert list(member.direct[database_name].things.index_information()) == ["_id_"]
        assert member.direct[database_name].command("validate", "things")["valid"]


# MARK: Sizes and the like


def test_data_size_counts_all_or_a_range(database):
    documents = [{"_id": n, "k": n % 10, "p": "x" * n} for n in range(1000)]
    database.things.insert_many(documents)
    name = f"{database.name}.things"
    size = sum(len(bson.encode(document)) for document in documents)
    answer = database.command("dataSize", name)
    assert (answer["size"], answer["numObjects"]) == (size, 1000)
    part = [document for document in documents if 100 <= document["_id"] < 200]
    answer = database.command("dataSize", name, keyPattern={"_id": 1}, min={"_id": 100}, max={"_id": 200})
    assert (answer["size"], answer["numObjects"]) == (sum(len(bson.encode(d)) for d in part), 100)
    answer = database.command(
        "dataSize", name, keyPattern={"k": 1, "_id": 1}, min={"k": 3, "_id": 500}, max={"k": 4, "_id": bson.MinKey()})
    assert answer["numObjects"] == 50
    assert database.command("dataSize", f"{database.name}.none")["numObjects"] == 0
    assert code_of(database.command, "dataSize", name, min={"_id": 1}) == 2
    assert code_of(database.command, "dataSize", name, other=1) == 40415


def test_compact_plan_cache_and_metadata_answer(database):
    database.things.insert_one({"_id": 1})
    assert database.command("compact", "things")["bytesFreed"] == 0
    assert code_of(database.command, "compact", "none") == 26
    assert database.command("planCacheClear", "things")["ok"] == 1
    assert code_of(database.command, "planCacheClear", "things", sort={"a": 1}) == 2
    answer = database.command("validateDBMetadata", 1, apiParameters={"version": "1", "strict": True}, db=database.name)
    assert answer["apiVersionErrors"] == [] and "hasMoreErrors" not in answer
    database.things.create_index("s", sparse=True)
    answer = database.command("validateDBMetadata", 1, apiParameters={"version": "1", "strict": True}, db=database.name)
    assert [error["code"] for error in answer["apiVersionErrors"]] == [323]


# MARK: applyOps


def test_apply_ops_as_a_restore_sends_them(database):
    name, admin = database.name, database.client.admin
    index = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    answer = admin.command("applyOps", [
        {"op": "c", "ns": f"{name}.$cmd", "o": {"create": "things", "idIndex": index}},
        {"op": "i", "ns": f"{name}.things", "o": {"_id": 1, "a": 1, "t": Timestamp(0, 0)}},
        {"op": "i", "ns": f"{name}.things", "o": {"_id": 1, "a": 2, "t": Timestamp(0, 0)}},
        {"op": "u", "ns": f"{name}.things", "o2": {"_id": 1}, "o": {"$v": 2, "diff": {"u": {"a": 3}, "i": {"b": 1}}}},
        {"op": "u", "ns": f"{name}.things", "o2": {"_id": 1}, "o": {"$v": 1, "$set": {"c": 5}}},
        {"op": "u", "ns": f"{name}.things", "o2": {"_id": 2}, "o": {"_id": 2, "whole": True}},
        {"op": "i", "ns": f"{name}.things", "o": {"_id": 3}},
        {"op": "d", "ns": f"{name}.things", "o": {"_id": 3}},
        {"op": "d", "ns": f"{name}.things", "o": {"_id": 4}},
        {"op": "c", "ns": f"{name}.$cmd", "o": {"createIndexes": "things", "v": 2, "key": {"a": 1}, "name": "a_1"}},
        {"op": "n", "ns": "", "o": {"msg": "nothing"}},
    ])
    assert answer["applied"] == 11 and answer["results"] == [True] * 11
    assert list(database.things.find()) == [
        {"_id": 1, "a": 3, "t": Timestamp(0, 0), "b": 1, "c": 5}, {"_id": 2, "whole": True}]
    assert "a_1" in database.things.index_information()


def test_apply_ops_that_fail_say_how_far_they_came(database):
    name, admin = database.name, database.client.admin
    with pytest.raises(pymongo.errors.OperationFailure) as caught:
        admin.command("applyOps", [
            {"op": "c", "ns": f"{name}.$cmd", "o": {"create": "things"}},
            {"op": "i", "ns": f"{name}.none", "o": {"_id": 1}},
            {"op": "i", "ns": f"{name}.things", "o": {"_id": 1}},
        ])
    assert caught.value.code == 26
    assert (caught.value.details["applied"], caught.value.details["results"]) == (2, [True, False])
    assert ids(database.things) == []
    for bad in ({"ns": "a.b", "o": {}}, {"op": "x", "ns": f"{name}.things", "o": {"_id": 1}}, {"op": "i", "o": {}}):
        assert code_of(admin.command, "applyOps", [bad]) == 9
    assert code_of(admin.command, "applyOps", [], preCondition=[]) == 115
    assert code_of(admin.command, "applyOps", [], allowAtomic=True) == 115
    assert code_of(admin.command, "applyOps", [], other=1) == 40415
    assert code_of(database.command, "applyOps", []) == 13


def test_apply_ops_do_not_change_an_id(replica_set, database_name):
    client = replica_set.client()
    things = client[database_name].things
    things.insert_one({"_id": 1, "a": 1})
    for diff in ({"u": {"_id": 2}}, {"d": {"_id": False}}):
        operation = {"op": "u", "ns": f"{database_name}.things", "o2": {"_id": 1}, "o": {"$v": 2, "diff": diff}}
        assert code_of(client.admin.command, "applyOps", [operation]) == 66
    assert things.delete_one({"_id": 1}).deleted_count == 1
    replica_set.wait_for_equal_data(database_name)


def test_apply_ops_reach_the_other_members(replica_set, database_name):
    client = replica_set.client()
    client[database_name].things.insert_one({"_id": 0})
    client.admin.command(
        "applyOps", [{"op": "i", "ns": f"{database_name}.things", "o": {"_id": n, "n": n}} for n in range(1, 2000)],
        writeConcern={"w": 3})
    assert client[database_name].things.count_documents({}) == 2000
    replica_set.wait_for_equal_data(database_name)


# MARK: Indexes


def test_unknown_index_options_are_left_out_when_asked_to(database):
    database.command(
        "createIndexes", "c", indexes=[{"key": {"k": 1}, "unique": True, "ns": "old.c", "name": "k", "madeUp": 5}],
        ignoreUnknownIndexOptions=True)
    found = database.c.index_information()["k"]
    assert found["unique"] is True and "madeUp" not in found and "ns" not in found
    index = {"key": {"y": 1}, "name": "y", "madeUp": 5}
    assert code_of(database.command, "createIndexes", "c", indexes=[index]) == 197
    assert code_of(database.command, "createIndexes", "c", indexes=[{"key": {"y": 1}, "name": "y"}], other=1) == 40415
    for option in ("unique", "sparse", "prepareUnique"):
        assert code_of(database.c.create_index, "_id", **{option: True}) == 197


def test_an_index_becomes_unique_in_two_steps(database):
    c = database.c
    c.create_index("k")
    c.insert_many([{"_id": n, "k": n} for n in range(3000)])
    modify = lambda **index: database.command("collMod", "c", index={"keyPattern": {"k": 1}, **index})
    assert code_of(modify, unique=True) == 72
    assert code_of(modify, prepareUnique=True, hidden=True) == 72
    assert code_of(modify) == 72
    assert code_of(modify, other=1) == 40415
    assert code_of(database.command, "collMod", "c", other=1) == 40415
    c.insert_many([{"_id": "x", "k": 5}, {"_id": "y", "k": [7, 8]}])
    answer = modify(prepareUnique=True)
    assert (answer["prepareUnique_old"], answer["prepareUnique_new"]) == (False, True)
    assert c.index_information()["k_1"]["prepareUnique"] is True
    with pytest.raises(pymongo.errors.DuplicateKeyError) as caught:
        c.insert_one({"_id": "z", "k": [100_000, 9]})
    assert caught.value.details["keyValue"] == {"k": 9}
    assert code_of(c.update_one, {"_id": 1}, {"$set": {"k": 2}}) == 11000
    c.update_one({"_id": 1}, {"$set": {"other": 1}})
    with pytest.raises(pymongo.errors.OperationFailure) as caught:
        modify(unique=True)
    assert caught.value.code == 359
    assert [violation["ids"] for violation in caught.value.details["violations"]] == [[5, "x"], [7, "y"], [8, "y"]]
    assert code_of(database.command, "collMod", "c", index={"name": "k_1", "unique": True}, dryRun=True) == 359
    c.delete_many({"_id": {"$in": ["x", "y"]}})
    assert database.command("collMod", "c", index={"name": "k_1", "unique": True}, dryRun=True)["ok"] == 1
    assert "unique" not in c.index_information()["k_1"]
    assert modify(unique=True)["unique_new"] is True
    found = c.index_information()["k_1"]
    assert found["unique"] is True and "prepareUnique" not in found
    assert code_of(c.insert_one, {"_id": "z", "k": 9}) == 11000
    assert code_of(c.update_many, {"_id": {"$lt": 2}}, {"$set": {"k": -1}}) == 11000
    assert c.count_documents({"k": {"$gte": 0}}, hint="k_1") == 2999
    assert database.command("validate", "c", full=True)["valid"]


def test_members_agree_on_an_index_that_became_unique(replica_set, database_name):
    database = replica_set.client()[database_name]
    database.c.create_index("k")
    database.c.insert_many([{"_id": n, "k": n} for n in range(500)])
    database.command("collMod", "c", index={"name": "k_1", "prepareUnique": True})
    database.command("collMod", "c", index={"name": "k_1", "unique": True}, writeConcern={"w": 3})
    replica_set.step_down()
    eventually(lambda: code_of(database.c.insert_one, {"_id": "x", "k": 9}) == 11000)
    database.c.update_one({"_id": 9}, {"$set": {"k": 1000}})
    database.c.insert_one({"_id": "x", "k": 9})
    replica_set.wait_for_equal_data(database_name)
    for member in replica_set.members:
        assert member.direct[database_name].command("validate", "c")["valid"]


def test_commit_quorum(replica_set, standalone, database_name):
    database = replica_set.client()[database_name]
    database.c.insert_many([{"_id": n, "a": n} for n in range(500)])

    def create(quorum):
        index = {"key": {"a": 1}, "name": "a"}
        return database.command("createIndexes", "c", indexes=[index], commitQuorum=quorum, maxTimeMS=20_000)

    for quorum in (0, 1, 2, 3, "majority", "votingMembers"):
        assert create(quorum)["numIndexesAfter"] == 2
        if quorum in (3, "votingMembers"):
            for member in replica_set.members:
                assert "a" in member.direct[database_name].c.index_information()
        database.c.drop_indexes()
    for quorum, code in ((7, 278), ("nowhere", 278), (-1, 9), (51, 9), (True, 14)):
        assert code_of(create, quorum) == code
        assert list(database.c.index_information()) == ["_id_"]
    set_quorum = lambda: database.command("setIndexCommitQuorum", "c", indexNames=["a"], commitQuorum=1)
    assert code_of(set_quorum) == 27
    index = {"key": {"a": 1}, "name": "a"}
    assert code_of(standalone[database_name].command, "createIndexes", "c", indexes=[index], commitQuorum=1) == 2


def test_what_create_cannot_do_is_refused_by_name(database):
    for options, code in (
        ({"expireAfterSeconds": 5}, 72), ({"size": 4096}, 72), ({"max": 5}, 72), ({"capped": False, "size": 4096}, 72),
        ({"changeStreamPreAndPostImages": {"enabled": True}}, 115), ({"encryptedFields": {"fields": []}}, 115),
        ({"storageEngine": {"wiredTiger": {"configString": "x"}}}, 115), ({"timeseries": {"timeField": "t"}}, 115),
        ({"autoIndexId": False}, 115), ({"madeUp": 1}, 40415), ({"idIndex": {"key": {"a": 1}, "name": "x"}}, 2),
    ):
        assert code_of(database.command, "create", "c", **options) == code, options
    database.command("create", "c", changeStreamPreAndPostImages={"enabled": False}, storageEngine={})
    assert database.c.options() == {}


# MARK: Duplicate keys


def test_a_duplicate_key_error_names_the_key_that_collides(database):
    c = database.c
    c.create_index("emails.address", unique=True)
    c.create_index("tags", unique=True, sparse=True)
    c.create_index([("org", 1), ("members", -1)], unique=True, sparse=True)
    emails = [{"address": "a"}, {"address": "b"}]
    c.insert_one({"_id": 1, "emails": emails, "tags": ["p", "q"], "org": 1, "members": [10, 11]})
    c.insert_one({"_id": 2, "emails": {"address": "m"}})

    def fails(call, value, text):
        with pytest.raises(pymongo.errors.PyMongoError) as caught:
            call()
        details = caught.value.details
        details = details["writeErrors"][0] if "writeErrors" in details else details
        assert details["code"] == 11000 and details["keyValue"] == value
        assert details["errmsg"].endswith(f"dup key: {text}"), details["errmsg"]

    b, text = {"emails.address": "b"}, '{ emails.address: "b" }'
    new = {"emails": [{"address": "x"}, {"address": "b"}]}
    fails(lambda: c.insert_one({"_id": 3, **new}), b, text)
    fails(lambda: c.update_one({"_id": 2}, {"$set": new}), b, text)
    fails(lambda: c.update_one({"_id": 3}, {"$set": new}, upsert=True), b, text)
    fails(lambda: c.replace_one({"_id": 2}, new), b, text)
    fails(lambda: c.find_one_and_update({"_id": 2}, {"$set": new}), b, text)
    fails(lambda: c.bulk_write([pymongo.InsertOne({"_id": 3, **new})]), b, text)
    database.source.insert_one({"_id": 3, **new})
    with pytest.raises(pymongo.errors.OperationFailure) as caught:
        database.source.aggregate([{"$merge": {"into": "c"}}])
    assert caught.value.code == 11000 and text in str(caught.value)
    other = {"emails": [{"address": "z"}]}
    fails(lambda: c.insert_one({"_id": 3, **other, "tags": ["r", "q"]}), {"tags": "q"}, '{ tags: "q" }')
    fails(lambda: c.insert_one({"_id": 3, **other, "org": 1, "members": [12, 11]}),
          {"org": 1, "members": 11}, "{ org: 1, members: 11 }")
    database.d.insert_many([{"k": [1, 2]}, {"k": [3, 2]}])
    fails(lambda: database.d.create_index("k", unique=True), {"k": 2}, "{ k: 2 }")


@pytest.mark.parametrize("value, text", [
    ("x", '"x"'), (1, "1"), (Int64(2), "2"), (None, "null"), (True, "true"), (Decimal128("1.50"), "1.50"),
    (Code("f()"), "f()"), (bson.ObjectId("6" * 24), f"ObjectId('{'6' * 24}')"), (Timestamp(5, 6), "Timestamp(5, 6)"),
    ({"a": {"b": 1}}, "{ a: { b: 1 } }"), (bson.Regex("a", "i"), "/a/i"), (b"\x01\xab", "BinData(0, 01AB)"),
    (bson.MinKey(), "MinKey"), (bson.datetime_ms.DatetimeMS(5), "new Date(5)"),
])
def test_values_in_duplicate_key_errors(database, value, text):
    database.c.create_index("k", unique=True)
    database.c.insert_one({"k": value})
    with pytest.raises(pymongo.errors.DuplicateKeyError) as caught:
        database.c.insert_one({"k": value})
    assert caught.value.details["errmsg"].endswith(f"dup key: {{ k: {text} }}")


# MARK: Updates


def test_empty_timestamps_are_filled_in_by_inserts_and_replacements(database):
    c, empty = database.c, Timestamp(0, 0)
    c.insert_many([{"_id": 1, "t": empty, "d": {"t": empty}}, {"_id": 2}, {"_id": empty}])
    c.replace_one({"_id": 2}, {"t": empty})
    c.replace_one({"_id": 3}, {"t": empty}, upsert=True)
    c.find_one_and_replace({"_id": 4}, {"t": empty}, upsert=True)
    for document in c.find({"_id": {"$in": [1, 2, 3, 4]}}):
        assert document["t"] != empty
    assert c.find_one({"_id": 1})["d"]["t"] == empty and c.count_documents({"_id": empty}) == 1
    c.update_one({"_id": 2}, {"$set": {"t": empty}})
    assert c.find_one({"_id": 2})["t"] == empty
    keeps = {"bypassEmptyTsReplacement": True}
    database.command("insert", "c", documents=[{"_id": 5, "t": empty}], **keeps)
    database.command("update", "c", updates=[{"q": {"_id": 3}, "u": {"t": empty}}], **keeps)
    database.command("findAndModify", "c", query={"_id": 4}, update={"t": empty}, **keeps)
    database.client.admin.command(
        "bulkWrite", 1, ops=[{"insert": 0, "document": {"_id": 6, "t": empty}}],
        nsInfo=[{"ns": f"{database.name}.c"}], **keeps)
    assert c.count_documents({"t": empty}) == 5
    assert code_of(database.command, "insert", "c", documents=[{"_id": 7}], bypassEmptyTsReplacement="x") == 14
    database.command("insert", "c", documents=[{"_id": 8, "t": empty}], bypassEmptyTsReplacement=False)
    assert c.find_one({"_id": 8})["t"] != empty


def test_paths_into_arrays(database):
    c = database.c
    c.insert_one({"_id": 1, "x": [True, 5], "a": 1, "s": 1})
    c.update_one({"_id": 1}, {"$set": {"x.0000004": "n", "x.0000": False}})
    assert c.find_one({"_id": 1})["x"] == [False, 5, None, None, "n"]
    for rename in ({"a": "x.0"}, {"a": "x.9"}, {"a": "x.b"}):
        assert code_of(c.update_one, {"_id": 1}, {"$rename": rename}) == 2
    assert code_of(c.update_one, {"_id": 1}, {"$rename": {"s.b": "c"}}) == 28
    assert c.update_one({"_id": 1}, {"$rename": {"missing": "x.0"}}).modified_count == 0
    assert c.find_one({"_id": 1}) == {"_id": 1, "x": [False, 5, None, None, "n"], "a": 1, "s": 1}


def test_the_oplog_has_what_an_update_changed(replica_set, database_name):
    client = replica_set.client()
    c = client[database_name].c

    def logged(document, update):
        c.delete_many({})
        c.insert_one({"_id": 1, **document})
        (c.replace_one if not isinstance(update, list) and not next(iter(update)).startswith("$") else c.update_one)(
            {"_id": 1}, update)
        entries = client.local["oplog.rs"].find({"op": "u", "ns": c.full_name}).sort("$natural", -1).limit(1)
        return next(entries)["o"]

    def delta(**diff):
        return {"$v": 2, "diff": diff}

    assert logged({"s": "new", "old": 1}, {"$set": {"s": "paid", "by": 1}, "$unset": {"old": 1}}) == delta(
        d={"old": False}, u={"s": "paid"}, i={"by": 1})
    assert logged({}, {"$inc": {"n": 1}}) == delta(i={"n": 1})
    assert logged({"a": {"b": 1}}, {"$set": {"a.b": 2}}) == delta(sa={"u": {"b": 2}})
    assert logged({"a": {"b": 1}}, {"$set": {"a": {"b": 2}}}) == delta(u={"a": {"b": 2}})
    assert logged({"a": [1]}, {"$push": {"a": 2}}) == delta(sa={"a": True, "u1": 2})
    assert logged({"a": []}, {"$push": {"a": 2}}) == delta(sa={"a": True, "u0": 2})
    assert logged({"a": [1, 2]}, {"$pull": {"a": 1}}) == delta(u={"a": [2]})
    assert logged({"a": [{"b": 1}, {"b": 2}]}, {"$set": {"a.1.b": 3}}) == delta(sa={"a": True, "s1": {"u": {"b": 3}}})
    assert logged({"a": [{"b": 1}]}, {"$inc": {"a.$[].b": 3}}) == delta(sa={"a": True, "s0": {"u": {"b": 4}}})
    assert logged({"big": "x" * 100, "n": 1}, [{"$set": {"n": 2}}]) == delta(u={"n": 2})
    assert logged({"n": 1}, {"n": 2}) == {"_id": 1, "n": 2}
    replica_set.wait_for_equal_data(database_name)
