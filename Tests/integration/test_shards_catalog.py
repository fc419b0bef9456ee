"""Config servers and shards by their commands, as a router sends them."""
import bson
import pymongo
import pytest
from bson import MaxKey, MinKey, Timestamp
from cluster_peer import CommandError, Peer
from conftest import ReplicaSet, code_of, eventually
from shard_cluster import UNSHARDED, Cluster


@pytest.fixture(scope="module")
def cluster():
    made = Cluster(shards=2, members=1)
    try:
        made.add_shards()
        made.admin({"balancerStop": 1})
        yield made
    finally:
        made.close()


def refused(cluster, command, name="cfg", database="admin"):
    with pytest.raises(CommandError) as caught:
        cluster.peer(name).run(command, database)
    return caught.value


def test_the_shards_are_listed_with_all_their_members(cluster):
    listed = cluster.admin({"listShards": 1})["shards"]
    assert [shard["_id"] for shard in listed] == ["shard0", "shard1"]
    assert all(shard["state"] == 1 and shard["host"].startswith(shard["_id"] + "/127.0.0.1:") for shard in listed)
    # Once more is no error.
    assert cluster.admin({"addShard": listed[0]["host"]})["shardAdded"] == "shard0"


def test_what_is_no_shard_is_not_added(cluster):
    config = cluster.sets["cfg"].members[0].host
    assert refused(cluster, {"addShard": f"cfg/{config}"}).code == 96
    assert refused(cluster, {"addShard": "nowhere/127.0.0.1:1"}).code == 133
    assert refused(cluster, {"addShard": config}).code == 96
    plain = ReplicaSet(1, "plain")
    try:
        plain.initiate()
        error = refused(cluster, {"addShard": f"plain/{plain.members[0].host}"})
        assert error.code == 96 and "--role shard" in str(error)
        assert refused(cluster, {"addShard": f"other/{plain.members[0].host}"}).code in (96, 133)
    finally:
        for member in plain.members:
            member.close()
    assert len(cluster.admin({"listShards": 1})["shards"]) == 2


def test_a_shard_with_a_database_that_is_elsewhere_is_not_added(cluster):
    cluster.admin({"enableSharding": "taken", "primaryShard": "shard0"})
    other = ReplicaSet(1, "late", ("--role", "shard"))
    try:
        other.initiate()
        other.primary.direct.taken.c.insert_one({})
        error = refused(cluster, {"addShard": f"late/{other.members[0].host}"})
        assert error.code == 96 and "taken" in str(error)
        other.primary.direct.drop_database("taken")
        other.primary.direct.own.c.insert_one({"_id": 1})
        cluster.admin({"addShard": f"late/{other.members[0].host}"})
        assert cluster.catalog("databases").find_one({"_id": "own"})["primary"] == "late"
        # It has a database, so it is drained, and stays until that is gone.
        assert cluster.admin({"removeShard": "late"})["state"] == "started"
        assert cluster.admin({"removeShard": "late"})["state"] == "ongoing"
        cluster.admin({"_configsvrDropDatabase": 1, "db": "own"})
        assert cluster.admin({"removeShard": "late"})["state"] == "completed"
        assert refused(cluster, {"removeShard": "late"}).code == 70
    finally:
        for member in other.members:
            member.close()


def test_a_member_of_another_cluster_is_refused(cluster):
    port = cluster.sets["shard0"].primary.port
    with pytest.raises(CommandError) as caught:
        Peer(port, cluster_id=bson.ObjectId())
    assert caught.value.code == 13
    other = Cluster(shards=0)
    try:
        host = cluster.sets["shard0"].members[0].host
        eventually(lambda: other.catalog("version").find_one())
        with pytest.raises(CommandError) as caught:
            other.admin({"addShard": f"shard0/{host}"})
        assert caught.value.code in (13, 20, 133)
        assert other.admin({"listShards": 1})["shards"] == []
    finally:
        other.close()


def test_clients_may_not_say_what_only_nodes_may(cluster):
    client = cluster.direct("shard0")
    assert code_of(client.admin.command, {"_shardsvrLearn": "a.b"}) == 59
    assert code_of(client.shop.command, {"find": "c", "shardVersion": UNSHARDED}) == 13
    assert code_of(cluster.direct("cfg").admin.command, {"listShards": 1}) == 59
    for name in ("shard.ownership", "shard.migrations"):
        assert code_of(client.config[name].insert_one, {"_id": 1}) == 73


def test_databases_are_made_once(cluster):
    first = cluster.admin({"_configsvrCreateDatabase": 1, "db": "once"})
    again = cluster.admin({"_configsvrCreateDatabase": 1, "db": "once"})
    assert (first["primary"], first["version"]) == (again["primary"], again["version"])
    assert refused(cluster, {"enableSharding": "ONCE"}).code == 13297
    assert refused(cluster, {"enableSharding": "config"}).code == 20
    assert refused(cluster, {"enableSharding": "new", "primaryShard": "none"}).code == 70
    assert refused(cluster, {"enableSharding": "a.b"}).code == 73


def test_a_collection_is_sharded_with_its_index_and_chunks(cluster):
    cluster.admin({"enableSharding": "cat", "primaryShard": "shard0"})
    cluster.admin({"shardCollection": "cat.hashed", "key": {"x": "hashed"}, "numInitialChunks": 8})
    entry = cluster.catalog("collections").find_one({"_id": "cat.hashed"})
    chunks = list(cluster.catalog("chunks").find({"uuid": entry["uuid"]}).sort("min", 1))
    assert len(chunks) == 8 and {chunk["shard"] for chunk in chunks} == {"shard0", "shard1"}
    assert chunks[0]["min"] == {"x": MinKey()} and chunks[-1]["max"] == {"x": MaxKey()}
    assert all(one["max"] == next["min"] for one, next in zip(chunks, chunks[1:]))
    for name in cluster.shards:
        assert "x_hashed" in eventually(lambda: cluster.direct(name).cat.hashed.index_information())
        options = cluster.direct(name).cat.command("listCollections", filter={"name": "hashed"})
        assert options["cursor"]["firstBatch"][0]["info"]["uuid"] == entry["uuid"]
    # The same once more is no error; another key is one.
    cluster.admin({"shardCollection": "cat.hashed", "key": {"x": "hashed"}})
    assert refused(cluster, {"shardCollection": "cat.hashed", "key": {"y": 1}}).code == 23


def test_what_cannot_be_sharded_is_refused_and_left_as_it_was(cluster):
    cluster.admin({"enableSharding": "bad", "primaryShard": "shard0"})
    database = cluster.direct("shard0").bad
    database.noindex.insert_one({"x": 1})
    assert refused(cluster, {"shardCollection": "bad.noindex", "key": {"x": 1}}).code == 72
    database.unique.create_index("y", unique=True)
    assert refused(cluster, {"shardCollection": "bad.unique", "key": {"x": 1}}).code == 72
    database.arrays.create_index("x")
    database.arrays.insert_one({"x": [1, 2]})
    assert refused(cluster, {"shardCollection": "bad.arrays", "key": {"x": 1}}).code == 72
    database.create_collection("capped", capped=True, size=1 << 16)
    assert refused(cluster, {"shardCollection": "bad.capped", "key": {"x": 1}}).code == 72
    assert refused(cluster, {"shardCollection": "bad.h", "key": {"x": "hashed"}, "unique": True}).code == 72
    assert refused(cluster, {"shardCollection": "bad.c", "key": {"x": 2}}).code == 2
    assert refused(cluster, {"shardCollection": "bad.c", "key": {}}).code == 2
    assert refused(cluster, {"shardCollection": "config.c", "key": {"x": 1}}).code == 20
    assert refused(cluster, {"shardCollection": "bad.c", "key": {"x": 1}, "strategy": "nobody"}).code == 2
    assert cluster.catalog("collections").count_documents({"_id": {"$regex": "^bad"}}) == 0


def test_unique_indexes_begin_with_the_shard_key(cluster):
    cluster.admin({"enableSharding": "uniq", "primaryShard": "shard0"})
    cluster.admin({"shardCollection": "uniq.c", "key": {"x": 1}, "unique": True})
    collection = cluster.direct("shard0").uniq.c
    assert collection.index_information()["x_1"]["unique"]
    assert code_of(collection.create_index, "y", unique=True) == 67
    collection.create_index([("x", 1), ("y", 1)], unique=True)
    assert code_of(collection.drop_indexes) == 303
    collection.drop_index("x_1")
    assert code_of(collection.drop_index, "x_1_y_1") == 303
    assert code_of(collection.rename, "d") == 20


def test_splits_and_merges_change_no_version_of_a_shard(cluster):
    cluster.admin({"enableSharding": "cut", "primaryShard": "shard0"})
    cluster.admin({"shardCollection": "cut.c", "key": {"x": 1}})
    before = cluster.catalog("collections").find_one({"_id": "cut.c"})["shardVersions"]
    for x in (10, 20, 30):
        cluster.admin({"split": "cut.c", "middle": {"x": x}})
    entry = cluster.catalog("collections").find_one({"_id": "cut.c"})
    bounds = [chunk["min"]["x"] for chunk in cluster.catalog("chunks").find({"uuid": entry["uuid"]}).sort("min", 1)]
    assert bounds[1:] == [10, 20, 30] and entry["shardVersions"] == before
    assert refused(cluster, {"split": "cut.c", "middle": {"x": 20}}).code == 2
    assert refused(cluster, {"split": "cut.c", "middle": {"y": 20}}).code == 2
    assert refused(cluster, {"split": "cut.none", "middle": {"x": 1}}).code == 118
    assert refused(cluster, {"split": "cut.c", "find": {"x": 1}}).code == 87
    assert refused(cluster, {"mergeChunks": "cut.c", "bounds": [{"x": 10}, {"x": 25}]}).code == 2


def test_zones_do_not_overlap_and_need_a_shard(cluster):
    assert refused(
        cluster, {"updateZoneKeyRange": "z.c", "min": {"x": 1}, "max": {"x": 5}, "zone": "EU"}).code == 177
    cluster.admin({"addShardToZone": "shard0", "zone": "EU"})
    cluster.admin({"updateZoneKeyRange": "z.c", "min": {"x": 1}, "max": {"x": 5}, "zone": "EU"})
    assert refused(
        cluster, {"updateZoneKeyRange": "z.c", "min": {"x": 4}, "max": {"x": 9}, "zone": "EU"}).code == 178
    assert refused(cluster, {"removeShardFromZone": "shard0", "zone": "EU"}).code == 163
    cluster.admin({"updateZoneKeyRange": "z.c", "min": {"x": 1}, "max": {"x": 5}, "zone": None})
    cluster.admin({"removeShardFromZone": "shard0", "zone": "EU"})
    assert cluster.catalog("tags").count_documents({}) == 0


def test_a_request_is_checked_against_what_the_shard_owns(cluster):
    cluster.admin({"enableSharding": "ver", "primaryShard": "shard0"})
    cluster.admin({"shardCollection": "ver.c", "key": {"x": 1}})
    entry = cluster.catalog("collections").find_one({"_id": "ver.c"})
    known = {"t": entry["timestamp"], "v": Timestamp(1, 0)}
    peer = cluster.peer("shard0")
    assert peer.run({"insert": "c", "documents": [{"_id": 1, "x": 1}], "shardVersion": known}, "ver")["n"] == 1
    old = refused(
        cluster, {"find": "c", "shardVersion": {"t": entry["timestamp"], "v": Timestamp(0, 0)}}, "shard0", "ver")
    assert old.code == 13388 and old.reply["vWanted"] == known and old.reply["shardId"] == "shard0"
    # The other shard has nothing of it, and finds out that this is so.
    other = {"t": entry["timestamp"], "v": Timestamp(0, 0)}
    reply = cluster.peer("shard1").run({"insert": "c", "documents": [{"x": 1}], "shardVersion": other}, "ver")
    assert reply["n"] == 0 and reply["writeErrors"][0]["code"] == 13388
    assert reply["writeErrors"][0]["errInfo"]["ns"] == "ver.c"
    plan = peer.run({"explain": {"find": "c", "filter": {"y": 1}}, "shardVersion": known}, "ver")
    assert plan["queryPlanner"]["winningPlan"]["stage"] == "SHARDING_FILTER"
    assert "SHARDING_FILTER" not in str(cluster.direct("shard0").ver.c.find({"y": 1}).explain())


def test_an_unsharded_collection_is_on_the_database_s_primary(cluster):
    version = cluster.admin({"_configsvrCreateDatabase": 1, "db": "plain", "primaryShard": "shard1"})["version"]
    command = {"insert": "c", "documents": [{"_id": 1}], "shardVersion": UNSHARDED, "databaseVersion": version}
    assert cluster.peer("shard1").run(command, "plain")["n"] == 1
    error = refused(cluster, command, "shard0", "plain")
    assert error.code == 249 and error.reply["db"] == "plain"
    older = {**version, "timestamp": Timestamp(1, 1)}
    error = refused(cluster, {**command, "databaseVersion": older}, "shard1", "plain")
    assert error.code == 249 and error.reply["vWanted"] == version


def test_a_shard_key_changes_within_its_shard_only(cluster):
    cluster.admin({"enableSharding": "key", "primaryShard": "shard0"})
    cluster.admin({"shardCollection": "key.c", "key": {"x": 1}})
    cluster.admin({"split": "key.c", "middle": {"x": 100}})
    cluster.admin({"moveRange": "key.c", "min": {"x": 100}, "toShard": "shard1"})
    collection = cluster.direct("shard0").key.c
    collection.insert_one({"_id": 1, "x": 1})
    collection.update_one({"_id": 1}, {"$set": {"x": 2}})
    assert code_of(collection.update_one, {"_id": 1}, {"$set": {"x": 200}}) == 20
    assert code_of(collection.update_many, {}, {"$set": {"x": 3}}) == 72
    assert code_of(collection.update_one, {"_id": 1}, {"$set": {"x": [1]}}) == 61
    assert code_of(collection.insert_one, {"_id": 2, "x": 200}) == 13388
    assert collection.find_one() == {"_id": 1, "x": 2}


def test_a_dropped_collection_is_gone_everywhere_and_can_be_made_again(cluster):
    cluster.admin({"enableSharding": "gone", "primaryShard": "shard0"})
    for _ in range(2):
        cluster.admin({"shardCollection": "gone.c", "key": {"x": "hashed"}})
        assert cluster.admin({"_configsvrDropCollection": 1, "ns": "gone.c"})["ns"] == "gone.c"
        for name in cluster.shards:
            assert "c" not in cluster.direct(name).gone.list_collection_names()
            assert cluster.direct(name).config["shard.collections"].count_documents({"ns": "gone.c"}) == 0
    cluster.admin({"shardCollection": "gone.d", "key": {"x": "hashed"}})
    assert cluster.admin({"_configsvrDropDatabase": 1, "db": "gone"})["dropped"] == "gone"
    assert cluster.catalog("databases").find_one({"_id": "gone"}) is None
    assert cluster.catalog("collections").count_documents({"_id": {"$regex": "^gone"}}) == 0
    assert all("gone" not in cluster.direct(name).list_database_names() for name in cluster.shards)


def test_the_balancer_says_what_it_does(cluster):
    assert cluster.admin({"balancerStatus": 1})["mode"] == "off"
    cluster.admin({"balancerStart": 1})
    assert cluster.admin({"balancerStatus": 1})["mode"] == "full"
    cluster.admin({"balancerStop": 1})
    cluster.admin({"enableSharding": "bal", "primaryShard": "shard0"})
    cluster.admin({"shardCollection": "bal.c", "key": {"x": 1}})
    status = cluster.admin({"balancerCollectionStatus": "bal.c"})
    assert status["balancerCompliant"] and status["chunkSize"] == 128
    assert refused(cluster, {"balancerCollectionStatus": "bal.none"}).code == 118
