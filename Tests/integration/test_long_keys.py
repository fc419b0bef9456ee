"""Index keys of megabytes: MongoDB has had no limit for them since 4.2."""
import pytest
from conftest import code_of
from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError

MB = 1024 * 1024


def test_ids_and_keys_of_megabytes_are_found_changed_and_replicated(make_replica_set, database_name):
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(replica_set.PATIENT))
    database = replica_set.client()[database_name]
    all_of_it = database.get_collection("c", write_concern=WriteConcern(3, wtimeout=60_000))
    all_of_it.create_index("k")
    ids = ["a" * (8 * MB), "a" * (8 * MB) + "b", "z" * (15 * MB), "small"]
    for number, id in enumerate(ids):
        all_of_it.insert_one({"_id": id, "n": number})
    assert [document["n"] for document in all_of_it.find({}, {"n": 1, "_id": 0}).sort("_id", 1)] == [0, 1, 3, 2]
    for number, id in enumerate(ids):
        assert all_of_it.find_one({"_id": id}, {"n": 1, "_id": 0}) == {"n": number}
    with pytest.raises(DuplicateKeyError) as caught:
        all_of_it.insert_one({"_id": ids[0]})
    assert len(str(caught.value)) < 10_000
    assert code_of(database.command, {
        "findAndModify": "c", "query": {"n": 9}, "update": {"_id": ids[0], "n": 9}, "upsert": True}) == 11000
    # Entries that hold the key beside the document.
    assert all_of_it.replace_one({"_id": ids[0]}, {"k": "k" * (7 * MB)}).modified_count == 1
    assert all_of_it.update_one({"_id": ids[1]}, {"$set": {"k": "k" * (7 * MB) + "1"}}).modified_count == 1
    assert [len(document["_id"]) for document in all_of_it.find({"k": {"$gt": "k" * 1000}}, {"_id": 1}).sort("k", -1)
            ] == [8 * MB + 1, 8 * MB]
    assert all_of_it.update_one({"_id": ids[0]}, {"$unset": {"k": 1}}).modified_count == 1
    replica_set.step_down()
    assert all_of_it.delete_one({"_id": ids[2]}).deleted_count == 1
    assert all_of_it.count_documents({"k": {"$gt": "k" * 1000}}) == 1
    all_of_it.create_index([("n", 1), ("_id", 1)], unique=True)
    assert all_of_it.count_documents({}) == 3
    replica_set.wait_for_equal_data(database_name, 60)
    assert database.command("validate", "c", full=True)["valid"]


def test_keys_that_are_longer_than_a_document_can_be_are_refused(database):
    # Zero bytes of strings count twice in a key.
    assert code_of(database.c.insert_one, {"_id": "\0" * (9 * MB)}) == 17280
    assert database.c.insert_one({"_id": b"\1" * (15 * MB)}).acknowledged
    assert database.c.count_documents({"_id": b"\1" * (15 * MB)}) == 1
