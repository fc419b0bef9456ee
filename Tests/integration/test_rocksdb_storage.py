"""Members whose data are larger than their memory, over RocksDB: programs that were built with it only."""
import contextlib
import pathlib
import random
import shutil
import subprocess
import threading

import pymongo
import pytest
from conftest import PROGRAM, Process, close_client, eventually
from test_file_storage import client_of, free_ports, refusal


def is_built_in():
    with contextlib.suppress(OSError):
        listed = subprocess.run([PROGRAM, "plugins"], capture_output=True, text=True, timeout=60)
        return "  rocksdb:" in listed.stdout
    return False


BUILT_IN = is_built_in()
needs_rocksdb = pytest.mark.skipif(not BUILT_IN, reason="the program was built without the trait RocksDB")
STORAGE = ("--storage", "rocksdb")
SMALL = (*STORAGE, "--set", "rocksdb.cache-mb=8")


def start_node(directory, *arguments, storage=SMALL):
    return Process(
        "node", "--port", 0, "--data", directory, "--log-level", "info", *storage, *arguments,
        ready=r"mongodb://127\.0\.0\.1:(\d+)/")


@pytest.mark.skipif(BUILT_IN, reason="the program was built with the trait RocksDB")
def test_a_program_without_it_says_how_to_build_one_with_it():
    status, line = refusal("node", "--port", 0, *STORAGE)
    assert status == 64 and "--traits RocksDB" in line and "librocksdb-dev" in line


@needs_rocksdb
def test_a_standalone_finds_everything_again(tmp_path):
    process = start_node(tmp_path / "data")
    client = client_of(process)
    things = client.test.things
    things.create_index([("n", -1), ("word", 1)], name="by_n")
    things.create_index("word", unique=True, sparse=True)
    client.test.create_collection("capped", capped=True, size=100_000, max=50)
    things.insert_many([{"_id": i, "n": i % 100, "word": f"w{i}", "bulk": b"x" * 1000} for i in range(20_000)])
    things.update_many({"n": 7}, {"$set": {"seven": True}, "$inc": {"m": 2}})
    things.delete_many({"n": {"$lt": 5}})
    client.test.capped.insert_many([{"i": i} for i in range(80)])
    client.test.drop_me.insert_one({})
    client.test.drop_collection("drop_me")
    before = client.test.command("dbHash")["collections"]
    close_client(client)
    assert process.stop() == 0

    process = start_node(tmp_path / "data")
    assert "was not closed" not in process.errors()
    client = client_of(process)
    assert client.test.command("dbHash")["collections"] == before
    client.test.things.delete_many({"n": 50})
    # An acknowledged write with j takes along what was written before it.
    client.test.get_collection("last", write_concern=pymongo.WriteConcern(j=True)).insert_one({"_id": 1})
    before = client.test.command("dbHash")["collections"]
    close_client(client)
    process.kill()

    process = start_node(tmp_path / "data")
    assert "was not closed" in process.errors()
    client = client_of(process)
    assert client.test.command("dbHash")["collections"] == before
    assert client.test.things.count_documents({}) == client.test.command("collStats", "things")["count"] == 18_800
    assert client.test.command("validate", "things")["valid"]
    assert set(client.test.things.index_information()) == {"_id_", "by_n", "word_1"}
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        client.test.things.insert_one({"_id": 6})
    assert client.test.capped.count_documents({}) == 50
    engine = client.admin.command("serverStatus")["storageEngine"]
    assert engine["name"] == "rocksdb"
    close_client(client)
    process.stop()


@needs_rocksdb
def test_a_set_whose_data_are_ten_times_its_memory(tmp_path, make_replica_set):
    """Reads, sorts and secondaries, a member that is killed, and all of them: the same data in the end."""
    replica_set = make_replica_set(0)
    from conftest import Member

    replica_set.members = [
        Member(index, replica_set.name, (*SMALL, "--data", str(tmp_path / f"m{index}"))) for index in range(3)]
    for member in replica_set.members:
        member.start()
    replica_set.initiate()
    client = replica_set.client(w="majority")
    orders = client.shop.orders
    orders.create_index([("rank", 1)])
    count = 20_000
    seed = random.Random(1)
    # Bytes that do not compress to nothing.
    for start in range(0, count, 1000):
        orders.insert_many([
            {"_id": i, "rank": i * 7919 % count, "text": seed.randbytes(8).hex(), "bulk": seed.randbytes(4000),
             "group": i % 11}
            for i in range(start, start + 1000)])
    assert orders.count_documents({"group": 3}) == len(range(3, count, 11))
    by_rank = orders.find({"rank": {"$gte": 1000, "$lt": 1300}}, {"_id": 0, "rank": 1}).sort("rank", -1)
    assert [d["rank"] for d in by_rank] == list(range(1299, 999, -1))
    assert [d["_id"] for d in orders.find({}, {"_id": 1}).sort([("text", 1), ("_id", 1)]).limit(3)] == [
        d["_id"] for d in orders.find({}, {"_id": 1}).sort([("text", -1), ("_id", -1)])][-1:-4:-1]
    groups = orders.aggregate([{"$group": {"_id": "$group", "n": {"$sum": 1}}}])
    assert {g["_id"]: g["n"] for g in groups} == {g: len(range(g, count, 11)) for g in range(11)}
    assert orders.update_many({"group": 5}, {"$set": {"marked": True}}).modified_count == len(range(5, count, 11))
    assert orders.delete_many({"rank": {"$lt": 2000}}).deleted_count == 2000
    for _ in range(200):
        wanted = seed.randrange(count)
        found = orders.find_one({"_id": wanted})
        assert (found is None) == (wanted * 7919 % count < 2000)

    for member in replica_set.members:
        engine = member.command("serverStatus")["storageEngine"]["statistics"]
        assert engine["fileBytes"] > 4 * engine["cacheBytes"], engine
    secondary = replica_set.client(readPreference="secondary").shop.orders
    assert eventually(lambda: secondary.count_documents({"marked": True}) == orders.count_documents({"marked": True}))
    assert [d["rank"] for d in secondary.find({"rank": {"$lt": 2100}}).sort("rank", 1)] == list(range(2000, 2100))
    engine = replica_set.secondaries[0].command("serverStatus")["storageEngine"]["statistics"]
    assert engine["notResident"] > 0

    victim = replica_set.secondaries[0]
    victim.kill()
    orders.insert_many([{"_id": count + i, "rank": count + i} for i in range(2000)])
    victim.start()
    replica_set.wait_until_healthy(60)
    victim.forget_connections()
    assert "initial sync" not in victim.process.errors()
    for member in replica_set.members:
        member.kill()
    for member in replica_set.members:
        member.start()
        member.forget_connections()
    replica_set.wait_until_healthy(60)
    replica_set.wait_for_equal_data("shop", seconds=120)
    assert orders.count_documents({}) == count
    for member in replica_set.members:
        answer = member.direct.shop.command("validate", "orders")
        assert answer["valid"] and answer["nrecords"] == count


@needs_rocksdb
def test_the_whole_set_killed_at_once_keeps_what_a_majority_acknowledged(tmp_path, make_replica_set):
    replica_set = make_replica_set(0)
    from conftest import Member

    replica_set.members = [
        Member(index, replica_set.name, (*SMALL, "--data", str(tmp_path / f"m{index}"))) for index in range(3)]
    for member in replica_set.members:
        member.start()
    replica_set.initiate()
    acknowledged = set()
    for round_number in range(3):
        client = replica_set.client(retryWrites=False, connectTimeoutMS=1000, serverSelectionTimeoutMS=1000)
        things = client.test.get_collection("things", write_concern=pymongo.WriteConcern("majority", wtimeout=5000))
        stop = threading.Event()

        def write(number):
            count = 0
            while not stop.is_set():
                name = f"{round_number}-{number}-{count}"
                count += 1
                with contextlib.suppress(pymongo.errors.PyMongoError):
                    things.insert_one({"_id": name, "bulk": "x" * 300})
                    acknowledged.add(name)

        goal = len(acknowledged) + 300
        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        eventually(lambda: len(acknowledged) >= goal, 60, "writes")
        for member in replica_set.members:
            member.kill()
        stop.set()
        for writer in writers:
            writer.join()
        for member in replica_set.members:
            member.start()
            member.forget_connections()
        replica_set.wait_until_healthy(60)
        found = {document["_id"] for document in replica_set.primary.direct.test.things.find()}
        assert acknowledged <= found
        replica_set.wait_for_equal_data("test")


@needs_rocksdb
def test_a_set_in_one_process_is_found_as_it_was(tmp_path):
    arguments = ("up", "replica-set", "--port", free_ports(3), "--data", tmp_path / "set", *SMALL)
    up = Process(*arguments, ready=r"ready: (mongodb://\S+)")
    client = pymongo.MongoClient(up.match.group(1))
    client.test.things.with_options(write_concern=pymongo.WriteConcern("majority")).insert_many(
        [{"_id": i} for i in range(5000)])
    close_client(client)
    assert up.stop() == 0
    up = Process(*arguments, ready=r"ready: (mongodb://\S+)")
    client = pymongo.MongoClient(up.match.group(1))
    assert client.test.things.count_documents({}) == 5000
    close_client(client)
    assert up.stop() == 0


@needs_rocksdb
def test_directories_that_cannot_be_used_are_left_alone(tmp_path):
    status, line = refusal("node", "--port", 0, *STORAGE)
    assert status == 64 and "needs a directory" in line
    status, line = refusal("node", "--port", 0, "--data", tmp_path, *STORAGE, "--set", "rocksdb.cache-mb=0")
    assert status == 64 and "rocksdb.cache-mb" in line
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "photo.jpg").write_bytes(b"x")
    status, line = refusal("node", "--port", 0, "--data", strange, *STORAGE)
    assert status == 64 and "not a data directory" in line and "photo.jpg" in line
    a_file = tmp_path / "file"
    a_file.write_text("x")
    status, line = refusal("node", "--port", 0, "--data", a_file, *STORAGE)
    assert status == 64 and str(a_file) in line

    process = start_node(tmp_path / "data", "--replset", "rs0")
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", *STORAGE)
    assert status == 64 and "is in use" in line
    client = client_of(process)
    client.admin.command("replSetInitiate")
    close_client(client)
    process.stop()
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", *STORAGE)
    assert status == 64 and "--replset rs0" in line
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", "--storage", "file", "--replset", "rs0")
    assert status == 64 and "not a data directory" in line
    other = Process("node", "--port", 0, "--data", tmp_path / "other", "--storage", "file", ready=r":(\d+)/")
    other.stop()
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "other", *STORAGE)
    assert status == 64 and "--storage file" in line

    current = tmp_path / "data" / "data" / "CURRENT"
    current.unlink()
    status, line = refusal("node", "--port", 0, "--data", tmp_path / "data", *STORAGE, "--replset", "rs0")
    assert status == 64 and "CURRENT" in line


@needs_rocksdb
def test_a_disk_that_becomes_full_refuses_writes_and_serves_reads(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here: " + mounted.stderr.strip())
    try:
        ballast = disk / "ballast"
        process = start_node(disk / "data")
        client = client_of(process)
        things = client.test.things
        things.insert_one({"_id": 0})
        ballast.write_bytes(b"x" * (64 << 20))
        seed = random.Random(1)
        with pytest.raises(pymongo.errors.PyMongoError) as caught:
            for i in range(1, 100_000):
                things.insert_one({"_id": i, "bulk": seed.randbytes(50_000)})
        assert caught.value.code == 14031, caught.value
        # What is there is still served.
        assert things.find_one({"_id": 0}) == {"_id": 0}
        close_client(client)
        process.kill()
        ballast.unlink()
        process = start_node(disk / "data")
        client = client_of(process)
        assert client.test.things.find_one({"_id": 0}) == {"_id": 0}
        client.test.things.with_options(write_concern=pymongo.WriteConcern(j=True)).insert_one({"_id": "more"})
        close_client(client)
        process.kill()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)
        shutil.rmtree(pathlib.Path(disk), ignore_errors=True)
