"""Commands that write more than the oplog holds: they wait for the majority on their way, and end whole."""
import threading

import pytest
from conftest import eventually
from pymongo import InsertOne, UpdateOne
from pymongo.write_concern import WriteConcern

DOCUMENTS = 20_000
# A hundred thousand inserts and more: several times the 64 MB that waits for a majority at most.
TEXT = "y" * 4000


@pytest.fixture
def things(replica_set_in_one_process, database_name):
    client = replica_set_in_one_process.client(socketTimeoutMS=120_000)
    yield client[database_name].get_collection("things", write_concern=WriteConcern(w=1))
    client.drop_database(database_name)
    # What waits for a majority of this test is not the next one's.
    eventually(lambda: not client.admin.command("serverStatus")["flowControl"]["isLagged"], 60)


def fill(things, count=DOCUMENTS):
    things.insert_many([{"_id": number, "n": number} for number in range(count)], ordered=False)


def test_one_update_of_everything_ends_whole(things):
    fill(things)
    result = things.update_many({}, {"$set": {"g": TEXT}})
    assert (result.matched_count, result.modified_count) == (DOCUMENTS, DOCUMENTS)
    assert things.count_documents({"g": TEXT}) == DOCUMENTS


def test_one_insert_of_much_more_than_the_oplog_ends_whole(things):
    result = things.insert_many([{"_id": number, "text": "x" * 1000} for number in range(100_000)])
    assert len(result.inserted_ids) == 100_000
    assert things.count_documents({}) == 100_000


def test_many_updates_in_one_command_end_whole(things):
    fill(things)
    result = things.bulk_write(
        [UpdateOne({"_id": number}, {"$set": {"g": TEXT}}) for number in range(DOCUMENTS)], ordered=True)
    assert result.modified_count == DOCUMENTS


def test_one_aggregation_that_copies_everything_ends_whole(things):
    things.bulk_write([InsertOne({"_id": number}) for number in range(DOCUMENTS)], ordered=False)
    things.aggregate([{"$set": {"g": TEXT}}, {"$out": "copy"}])
    assert things.database.copy.count_documents({"g": TEXT}) == DOCUMENTS


def test_writers_at_one_time_all_end_whole(things):
    fill(things, 1000)
    failures = []

    def write(number):
        try:
            collection = things.database.get_collection(f"of{number}", write_concern=WriteConcern(w=1))
            collection.insert_many([{"text": "z" * 20_000} for _ in range(800)])
        except Exception as error:  # Reported below.
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        things.update_one({"_id": 1}, {"$inc": {"n": 1}})
    for thread in threads:
        thread.join()
    assert not failures
