"""Retryable commands of very many statements, each with an outcome of its own, over a step-down in their middle."""
import threading

import pytest
from conftest import eventually
from pymongo import UpdateOne, WriteConcern
from pymongo.operations import UpdateOne as ClientUpdateOne

COUNT = 30_000


def upserts(namespace=None):
    if namespace:
        return [ClientUpdateOne(filter={"_id": i}, update={"$inc": {"n": 1}}, upsert=True, namespace=namespace)
                for i in range(COUNT)]
    return [UpdateOne({"_id": i}, {"$inc": {"n": 1}}, upsert=True) for i in range(COUNT)]


@pytest.mark.parametrize("of_client", [False, True])
def test_upserts_happen_once_over_a_step_down(make_replica_set, database_name, of_client):
    # A client sends a write once more, and no oftener: there may be no step-down but the one that is meant.
    replica_set = make_replica_set()
    replica_set.initiate(replica_set.config(replica_set.PATIENT))
    client = replica_set.client(retryWrites=True)
    database = client[database_name]
    database.create_collection("c", write_concern=WriteConcern(3))
    results = []

    def write():
        if of_client:
            results.append(client.bulk_write(upserts(f"{database_name}.c"), verbose_results=True))
        else:
            results.append(database.c.bulk_write(upserts()))

    writer = threading.Thread(target=write)
    writer.start()
    old = replica_set.primary
    counted = old.direct[database_name].c
    eventually(lambda: counted.estimated_document_count() > COUNT // 20, what="the first upserts")
    replica_set.step_down()
    writer.join(120)
    result, = results
    assert result.upserted_count == COUNT
    assert result.matched_count == 0
    if of_client:
        ids = {index: one.upserted_id for index, one in result.update_results.items()}
    else:
        ids = result.upserted_ids
    assert ids == {i: i for i in range(COUNT)}
    assert database.c.count_documents({}) == COUNT
    assert database.c.count_documents({"n": {"$ne": 1}}) == 0
    # The session goes on with small commands, which take away what is left of the large one.
    for i in range(20):
        assert database.c.update_one({"_id": i}, {"$inc": {"n": 1}}).modified_count == 1
    database.get_collection("c", write_concern=WriteConcern(3, wtimeout=30_000)).insert_one({"_id": "last"})
    replica_set.wait_for_equal_data(database_name)
