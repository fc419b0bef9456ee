"""Oplogs of which only the newest part is in memory: read by clients and by members that were away, over restarts."""
import os

import pymongo
import pytest
from bson import Timestamp
from conftest import eventually
from test_file_storage import FileSet

DOCUMENT = 100_000
BATCH = 50


@pytest.fixture
def paged_set(tmp_path):
    replica_set = FileSet(
        tmp_path, arguments=(
            "--oplog-size", "1000", "--set", "file.oplog-memory=1", "--set", "file.checkpoint-journal=8"))
    replica_set.initiate()
    yield replica_set
    replica_set.close()


def write(things, first, count):
    for start in range(first, first + count, BATCH):
        things.insert_many([{"_id": i, "noise": os.urandom(DOCUMENT)} for i in range(start, start + BATCH)])


def engine(member):
    return member.direct.admin.command("serverStatus")["storageEngine"]["statistics"]


def inserted(entry):
    """The documents' ids, of an entry that has one or many of them."""
    operations = entry["o"].get("applyOps", [entry])
    return [operation["o"]["_id"] for operation in operations if operation["ns"] == "shop.things"]


# Without what was inserted but its id.
SHORT = {"ts": 1, "t": 1, "ns": 1, "op": 1, "o._id": 1, "o.applyOps.ns": 1, "o.applyOps.o._id": 1}


def ids_of(entries):
    found = []
    for entry in entries:
        if entry["op"] == "i" or entry.get("o", {}).get("applyOps"):
            found += [i for i in inserted(entry)]
    return found


def check_oplog(member, ids):
    """What the oplog holds is what was written, in both directions, and from any place in it."""
    oplog = member.direct.local["oplog.rs"]
    forwards = list(oplog.find({}, SHORT).sort("$natural", 1))
    assert ids_of(forwards) == ids
    backwards = list(oplog.find({}, SHORT).sort("$natural", -1))
    times = [entry["ts"] for entry in forwards]
    assert times == sorted(set(times))
    behind = backwards[-1]["ts"]
    assert behind == times[0]
    # Entries may have come meanwhile.
    assert [entry["ts"] for entry in reversed(backwards)][: len(times)] == times
    for place in (len(times) // 5, len(times) // 2):
        found = list(oplog.find({"ts": {"$gte": times[place]}}, {"ts": 1}).limit(5))
        assert [entry["ts"] for entry in found] == times[place : place + 5]
        assert oplog.find_one({"ts": times[place]}, {"ts": 1})["ts"] == times[place]
        before = oplog.find({"ts": {"$lt": times[place]}}, {"ts": 1}).sort("$natural", -1).limit(5)
        assert [entry["ts"] for entry in before] == times[place - 5 : place][::-1]
    tail = oplog.find(
        {"ts": {"$gte": times[1]}}, {"ts": 1}, cursor_type=pymongo.CursorType.TAILABLE_AWAIT, batch_size=20)
    assert [next(tail)["ts"] for _ in range(100)] == times[1:101]
    tail.close()
    return forwards


def test_an_oplog_of_300_mb_is_read_from_its_files(paged_set):
    things = paged_set.client().shop.get_collection("things", write_concern=pymongo.WriteConcern("majority"))
    write(things, 0, 1000)
    away = next(member for member in paged_set.members if member.host != paged_set.primary.host)
    first = away.direct.local["oplog.rs"].find_one(sort=[("$natural", 1)], projection={"ts": 1})["ts"]
    away.kill()
    write(things, 1000, 2000)
    primary = paged_set.primary
    assert engine(primary)["oplogSegmentsInFilesOnly"] > 2
    # What is above the commit point, or in the last segment, is in memory in any case.
    assert engine(primary)["oplogMemoryBytes"] < 150 << 20

    away.start()
    away.forget_connections()
    ids = list(range(3000))
    eventually(lambda: away.direct.shop.things.count_documents({}) == 3000, 120)
    # It has gone on where it was, and was not cloned anew.
    assert away.direct.local["oplog.rs"].find_one(sort=[("$natural", 1)], projection={"ts": 1})["ts"] == first
    for member in (primary, away):
        check_oplog(member, ids)
        assert engine(member)["oplogReads"] > 0
    assert len({m.direct.shop.command("dbHash")["md5"] for m in paged_set.members}) == 1

    for member in paged_set.members:
        member.kill()
    for member in paged_set.members:
        member.start()
        member.forget_connections()
    paged_set.wait_until_healthy()
    for member in paged_set.members:
        assert engine(member)["oplogSegmentsInFilesOnly"] > 2
    check_oplog(paged_set.members[0], ids)
    # Asked for something that the log never had.
    assert paged_set.members[0].direct.local["oplog.rs"].find_one({"ts": Timestamp(5, 5)}) is None
