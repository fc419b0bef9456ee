"""Ranges that move between shards while clients read and write, and while members die."""
import random
import threading

import pytest
from cluster_peer import CommandError
from conftest import eventually
from shard_cluster import Load, Routed, cluster

COUNT = 20_000


def prepare(made, count):
    made.add_shards()
    made.admin({"balancerStop": 1})
    made.admin({"enableSharding": "shop", "primaryShard": "shard0"})
    made.admin({"shardCollection": "shop.r", "key": {"x": 1}})
    routed = Routed(made)
    routed.load(count)
    made.admin({"split": "shop.r", "middle": {"x": count // 2}})
    return routed


def move(made, count, to, seconds=60):
    """Moves the upper half; asks again when another move is under way or one was given up."""

    def moved():
        try:
            return made.admin({"moveRange": "shop.r", "min": {"x": count // 2}, "toShard": to}, seconds)["ok"]
        except CommandError as error:
            assert error.code in (117, 96), error
            return False

    eventually(moved, seconds)


def test_a_range_moves_there_and_back_under_load():
    with cluster(arguments=("--set", "orphanCleanupDelaySecs=0")) as made:
        routed = prepare(made, COUNT)
        load = Load(made, COUNT)
        for to in ("shard1", "shard0", "shard1"):
            move(made, COUNT, to)
        load.stop()
        load.check()
        routed.refresh()
        assert routed.owner(COUNT - 1) == "shard1" and routed.owner(0) == "shard0"
        # What was left behind goes away.
        eventually(lambda: made.direct("shard0").shop.r.estimated_document_count() == COUNT // 2)
        assert made.direct("shard1").shop.r.count_documents({"x": {"$lt": COUNT // 2}}) == 0


def test_what_is_left_behind_is_seen_by_nobody():
    with cluster() as made:
        routed = prepare(made, 2000)
        move(made, 2000, "shard1")
        assert made.direct("shard0").shop.r.count_documents({}) == 2000
        routed.refresh()
        assert len(routed.read()) == 2000 and len(routed.read(concern="majority")) == 2000
        reply = routed.ask("shard0", {"count": "r", "query": {}})
        assert reply["n"] == 1000
        reply = routed.ask("shard0", {"update": "r", "updates": [{"q": {}, "u": {"$set": {"s": 1}}, "multi": True}]})
        assert reply["nModified"] == 1000
        assert routed.ask("shard0", {"delete": "r", "deletes": [{"q": {"_id": 1500}, "limit": 1}]})["n"] == 0
        # A range that comes back meets nothing of what was left behind.
        move(made, 2000, "shard0")
        routed.refresh()
        assert sorted(document["_id"] for document in routed.read()) == list(range(2000))


def test_a_retried_write_is_known_where_the_range_went():
    with cluster() as made:
        routed = prepare(made, 1000)
        import bson

        session = {"id": bson.Binary(b"0123456789abcdef", 4)}
        command = {
            "update": "r", "updates": [{"q": {"_id": 900, "x": 900}, "u": {"$inc": {"n": 1}}}],
            "lsid": session, "txnNumber": bson.Int64(7),
        }
        assert routed.write(900, command)["nModified"] == 1
        move(made, 1000, "shard1")
        routed.refresh()
        assert routed.owner(900) == "shard1"
        assert routed.write(900, command)["nModified"] == 1
        assert routed.read({"_id": 900})[0]["n"] == 1


def test_a_move_that_cannot_be_is_refused_and_changes_nothing():
    with cluster() as made:
        prepare(made, 100)
        before = list(made.catalog("chunks").find().sort("_id", 1))
        for command, code in [
            ({"moveRange": "shop.r", "min": {"x": 0}, "toShard": "none"}, 70),
            ({"moveRange": "shop.none", "min": {"x": 0}, "toShard": "shard1"}, 118),
            ({"moveRange": "shop.r", "min": {"x": 0}, "max": {"x": 99}, "toShard": "shard1"}, 2),
            ({"moveRange": "shop.r", "toShard": "shard1"}, 2),
            ({"moveChunk": "shop.r", "bounds": [{"x": 1}, {"x": 2}], "to": "shard1"}, 2),
        ]:
            with pytest.raises(CommandError) as caught:
                made.admin(command)
            assert caught.value.code == code, command
        made.admin({"setAllowMigrations": "shop.r", "allowMigrations": False})
        with pytest.raises(CommandError) as caught:
            made.admin({"moveChunk": "shop.r", "find": {"x": 1}, "to": "shard1"})
        assert caught.value.code == 117
        assert list(made.catalog("chunks").find().sort("_id", 1)) == before
        # To where it is, it has moved.
        made.admin({"moveChunk": "shop.r", "find": {"x": 1}, "to": "shard0"})


def test_a_document_in_the_way_aborts_the_move():
    with cluster() as made:
        routed = prepare(made, 100)
        made.admin({"moveRange": "shop.r", "min": {"x": 50}, "toShard": "shard1"})
        routed.refresh()
        # The same _id twice, in two ranges: only one shard can have both ranges.
        routed.write(10, {"insert": "r", "documents": [{"_id": "twice", "x": 10}]})
        routed.write(60, {"insert": "r", "documents": [{"_id": "twice", "x": 60}]})
        with pytest.raises(CommandError) as caught:
            made.admin({"moveRange": "shop.r", "min": {"x": 50}, "toShard": "shard0"})
        assert caught.value.code == 96 and "twice" in str(caught.value)
        assert len(routed.read()) == 102
        routed.write(60, {"update": "r", "updates": [{"q": {"_id": "twice"}, "u": {"$set": {"open": 1}}}]})


@pytest.mark.parametrize("victims", [("shard0", "shard1"), ("cfg",)])
def test_moves_survive_the_death_of_primaries(victims, tmp_path):
    count = 3000
    with cluster(members=3, config_members=3, directory=tmp_path) as made:
        prepare(made, count)
        load = Load(made, count)
        numbers = random.Random(5)
        for number in range(4):
            mover = threading.Thread(target=move, args=(made, count, ("shard1", "shard0")[number % 2]))
            mover.start()
            victim = made.sets[victims[number % len(victims)]]
            primary = victim.primary
            # Somewhere in the course of the move; what is tested holds wherever that is.
            threading.Event().wait(numbers.random() / 2)
            primary.kill()
            eventually(victim.find_primary)
            primary.start()
            mover.join()
        load.stop()
        load.check()
        for name in made.shards:
            eventually(lambda: made.direct(name).config["shard.migrations"].count_documents({}) == 0)


def test_everything_on_one_shard_is_spread_and_a_shard_is_drained():
    with cluster(shards=3) as made:
        made.add_shards()
        made.admin({"balancerStop": 1})
        made.admin({"enableSharding": "shop", "primaryShard": "shard0"})
        made.admin({"shardCollection": "shop.r", "key": {"x": 1}})
        made.admin({"configureCollectionBalancing": "shop.r", "chunkSize": 1})
        routed = Routed(made)
        routed.load(12_000, size=1000)
        assert not made.admin({"balancerCollectionStatus": "shop.r"})["balancerCompliant"]
        load = Load(made, 12_000, writers=1)
        made.admin({"balancerStart": 1})
        eventually(lambda: made.admin({"balancerCollectionStatus": "shop.r"})["balancerCompliant"], 120)
        routed.refresh()
        assert routed.owners == ["shard0", "shard1", "shard2"]
        assert made.admin({"removeShard": "shard2"})["state"] == "started"
        eventually(lambda: made.admin({"removeShard": "shard2"})["state"] == "completed", 120)
        load.stop()
        load.check()
        routed.refresh()
        assert routed.owners == ["shard0", "shard1"]
