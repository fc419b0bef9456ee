"""bulkWrite: what it refuses, and results that are more than one reply holds."""
import pymongo.monitoring
import pytest
from conftest import code_of
from pymongo import InsertOne, UpdateOne
from pymongo.errors import ClientBulkWriteException


@pytest.fixture
def bulk(standalone, database):
    """Sends a bulkWrite to the collection `c` of an empty database."""

    def send(ops, **options):
        return standalone.admin.command({
            "bulkWrite": 1, "ops": ops, "nsInfo": [{"ns": f"{database.name}.c"}], **options})

    return send


def results_of(client, reply):
    """All results, over as many batches as it takes; and how many those were."""
    cursor = reply["cursor"]
    assert cursor["ns"] == "admin.$cmd.bulkWrite"
    results, batches = cursor["firstBatch"], 1
    while cursor["id"]:
        cursor = client.admin.command("getMore", cursor["id"], collection="$cmd.bulkWrite")["cursor"]
        assert cursor["ns"] == "admin.$cmd.bulkWrite"
        results += cursor["nextBatch"]
        batches += 1
    return results, batches


def test_results_come_in_batches_of_the_size_that_was_asked_for(standalone, bulk):
    reply = bulk([{"insert": 0, "document": {"_id": number}} for number in range(25)], cursor={"batchSize": 10})
    assert [result["idx"] for result in reply["cursor"]["firstBatch"]] == list(range(10))
    cursor = reply["cursor"]["id"]
    more = standalone.admin.command("getMore", cursor, collection="$cmd.bulkWrite", batchSize=10)["cursor"]
    assert [result["idx"] for result in more["nextBatch"]] == list(range(10, 20)) and more["id"] == cursor
    rest = standalone.admin.command("getMore", cursor, collection="$cmd.bulkWrite")["cursor"]
    assert [result["idx"] for result in rest["nextBatch"]] == list(range(20, 25)) and rest["id"] == 0
    assert code_of(standalone.admin.command, "getMore", cursor, collection="$cmd.bulkWrite") == 43


def test_a_cursor_of_results_belongs_to_its_name_and_can_be_killed(standalone, bulk):
    cursor = bulk([{"insert": 0, "document": {}} for _ in range(3)], cursor={"batchSize": 1})["cursor"]["id"]
    assert cursor != 0
    assert code_of(standalone.admin.command, "getMore", cursor, collection="$cmd.aggregate") == 13
    assert code_of(standalone.admin.command, "getMore", cursor, collection="a$b") == 73
    reply = standalone.admin.command("killCursors", "$cmd.bulkWrite", cursors=[cursor])
    assert reply["cursorsKilled"] == [cursor]
    assert code_of(standalone.admin.command, "getMore", cursor, collection="$cmd.bulkWrite") == 43


def test_a_cursor_over_no_collection_goes_on_as_well(standalone):
    admin = standalone.admin
    cursor = admin.command("aggregate", 1, pipeline=[{"$currentOp": {}}], cursor={"batchSize": 0})["cursor"]
    assert cursor["id"] and cursor["ns"] == "admin.$cmd.aggregate"
    more = admin.command("getMore", cursor["id"], collection="$cmd.aggregate")["cursor"]
    assert more["nextBatch"] and more["ns"] == "admin.$cmd.aggregate"


class Names(pymongo.monitoring.CommandListener):
    """The names of the commands that a client has sent."""

    def __init__(self):
        self.seen = []

    def started(self, event):
        self.seen.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def test_results_of_more_than_a_message_come_in_several(replica_set, database_name):
    names = Names()
    client = replica_set.client(event_listeners=[names], retryWrites=False)
    ids = [f"{number:060000}" for number in range(300)]
    namespace = f"{database_name}.c"
    models = [
        UpdateOne(namespace=namespace, filter={"_id": one}, update={"$set": {"x": 1}}, upsert=True) for one in ids]
    result = client.bulk_write(models, verbose_results=True)
    assert [result.update_results[number].upserted_id for number in range(300)] == ids
    assert names.seen.count("bulkWrite") == 1 and names.seen.count("getMore") == 1


def test_errors_of_more_than_a_command_are_all_told(replica_set, database_name):
    client = replica_set.client()
    limit = client.admin.command("hello")["maxWriteBatchSize"]
    client[database_name].c.insert_one({"_id": 1})
    models = [InsertOne(namespace=f"{database_name}.c", document={"_id": 1})] * (limit + 1)
    with pytest.raises(ClientBulkWriteException) as caught:
        client.bulk_write(models, ordered=False)
    errors = caught.value.write_errors
    assert {error["code"] for error in errors} == {11000}
    assert [error["idx"] for error in errors] == list(range(limit + 1))
    with pytest.raises(ClientBulkWriteException) as caught:
        client.bulk_write(models[:10], ordered=True)
    assert [error["idx"] for error in caught.value.write_errors] == [0]
    assert client[database_name].c.count_documents({}) == 1


def test_verbose_results_of_many_operations_are_all_there(replica_set, database_name):
    client = replica_set.client()
    namespace = f"{database_name}.c"
    models = [InsertOne(namespace=namespace, document={"_id": number}) for number in range(10_000)]
    models += [UpdateOne(namespace=namespace, filter={"_id": n}, update={"$set": {"x": 1}}) for n in range(10_000)]
    result = client.bulk_write(models, verbose_results=True)
    assert (result.inserted_count, result.modified_count) == (10_000, 10_000)
    assert sorted(result.insert_results) == list(range(10_000))
    assert sorted(result.update_results) == list(range(10_000, 20_000))


INSERT = {"insert": 0, "document": {"_id": "first"}}


@pytest.mark.parametrize("change, code", [
    ({"ops": [INSERT, {"insert": 0, "document": {}, "colour": 1}]}, 40415),
    ({"ops": [INSERT, {"update": 0, "filter": {}, "updateMods": {"$set": {"a": 1}}, "q": {}}]}, 40415),
    ({"ops": [INSERT, {"delete": 0, "filter": {}, "limit": 1}]}, 40415),
    ({"ops": [INSERT, {"delete": 0, "filter": {}, "upsert": True}]}, 40415),
    ({"ops": [INSERT, {"insert": 1, "document": {}}]}, 2),
    ({"ops": [INSERT, {"replace": 0}]}, 9),
    ({"nsInfo": [{"ns": "test.c", "colour": 1}]}, 40415),
    ({"nsInfo": [{"ns": 5}]}, 14),
    ({"nsInfo": [{}]}, 40414),
    ({"cursor": {"batchSize": 1, "colour": 1}}, 40415),
    ({"cursor": {"batchSize": -1}}, 2),
    ({"cursor": {"batchSize": "one"}}, 14),
    ({"cursor": 5}, 14),
    ({"errorsOnly": "yes"}, 14),
    ({"colour": 1}, 40415),
], ids=str)
def test_what_is_wrong_in_form_is_refused_and_nothing_is_done(standalone, database, change, code):
    command = {"bulkWrite": 1, "ops": [INSERT], "nsInfo": [{"ns": f"{database.name}.c"}], **change}
    assert code_of(standalone.admin.command, command) == code
    assert database.c.count_documents({}) == 0


def test_errors_only_are_all_that_is_told(standalone, bulk):
    ops = [{"insert": 0, "document": {"_id": number // 2}} for number in range(6)]
    reply = bulk(ops, errorsOnly=True, ordered=False)
    results, _ = results_of(standalone, reply)
    assert [(result["ok"], result["idx"], result["code"]) for result in results] == [
        (0, 1, 11000), (0, 3, 11000), (0, 5, 11000)]
    assert (reply["nErrors"], reply["nInserted"]) == (3, 3)
