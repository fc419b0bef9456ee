"""A sharded cluster of one process a node, when routers, shards and config servers fail."""
import threading

import pymongo
import pytest
from conftest import code_of, eventually
from pymongo.write_concern import WriteConcern
from sharded_cluster import ShardedCluster


@pytest.fixture(scope="module")
def module_cluster():
    cluster = ShardedCluster(shards=2, members=3, config_members=1, routers=2)
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(module_cluster):
    module_cluster.mend()
    return module_cluster


def sharded(cluster, name, key="key"):
    client = cluster.client()
    client.admin.command("shardCollection", f"{name}.c", key={key: "hashed"})
    return client[name].c


def test_a_client_goes_on_with_the_other_router(cluster, database_name):
    collection = sharded(cluster, database_name)
    collection.insert_many([{"_id": n, "key": n} for n in range(100)])
    for router in cluster.routers:
        router.kill()
        # Retried by the driver, once, at the other router.
        for number in range(20):
            collection.update_one({"key": number}, {"$inc": {"n": 1}})
        assert collection.count_documents({}) == 100
        router.start()
    assert collection.count_documents({"n": 2}) == 20


def test_a_shard_fails_over_under_reads_and_writes(cluster, database_name):
    collection = sharded(cluster, database_name).with_options(write_concern=WriteConcern("majority"))
    acknowledged, errors, stop = [], [], threading.Event()

    def write(worker):
        number = 0
        while not stop.is_set():
            key = worker * 1_000_000 + number
            try:
                collection.insert_one({"_id": key, "key": key})
                acknowledged.append(key)
            except pymongo.errors.PyMongoError as error:
                errors.append(error)
            number += 1

    def read():
        while not stop.is_set():
            try:
                seen = len(acknowledged)
                assert collection.count_documents({}) >= seen
            except pymongo.errors.PyMongoError as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(acknowledged) > 100)
        for shard in cluster.shards:
            old = shard.primary
            old.kill()
            eventually(lambda: shard.find_primary() not in (None, old))
            reached = len(acknowledged)
            eventually(lambda: len(acknowledged) > reached + 100)
            shard.mend()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # What was acknowledged is there, once; a retryable write that met a failover was sent again by router or driver.
    assert not errors
    found = [one["_id"] for one in collection.find({}, {"_id": 1})]
    assert len(found) == len(set(found))
    assert set(acknowledged) == set(found)


def test_reads_go_to_secondaries_that_the_preference_allows(cluster, database_name):
    collection = sharded(cluster, database_name).with_options(write_concern=WriteConcern(3))
    collection.insert_many([{"_id": n, "key": n} for n in range(100)])
    secondary = collection.with_options(read_preference=pymongo.ReadPreference.SECONDARY)
    before = [shard.primary.command("serverStatus")["opcounters"]["query"] for shard in cluster.shards]
    for _ in range(20):
        assert len(list(secondary.find({"_id": {"$gte": 0}}))) == 100
    after = [shard.primary.command("serverStatus")["opcounters"]["query"] for shard in cluster.shards]
    assert before == after


def test_routing_goes_on_without_config_servers(cluster, database_name):
    collection = sharded(cluster, database_name)
    collection.insert_many([{"_id": n, "key": n} for n in range(100)])
    assert collection.count_documents({}) == 100
    client = cluster.client(f"mongodb://{cluster.routers[0].host}/")
    assert client[database_name].c.count_documents({}) == 100
    cluster.config.members[0].pause()
    try:
        assert client[database_name].c.count_documents({}) == 100
        client[database_name].c.insert_one({"_id": 1000, "key": 1000})
        assert code_of(
            client.admin.command, "shardCollection", f"{database_name}.d", key={"a": 1}, maxTimeMS=2000) in (6, 50, 133)
    finally:
        cluster.config.members[0].resume()
    assert client[database_name].c.count_documents({}) == 101


def test_a_router_of_another_cluster_is_refused(cluster):
    other = ShardedCluster(shards=1, members=1)
    try:
        shard = cluster.shards[0]
        hosts = ",".join(member.host for member in shard.members)
        with pytest.raises(pymongo.errors.OperationFailure):
            other.client().admin.command("addShard", f"{shard.name}/{hosts}")
    finally:
        other.close()
