"""Members on a real disk that loses its power: what was not synced is gone, what was acknowledged is there."""
import random
import subprocess
import sys
import threading

import pymongo
import pytest
from conftest import Member, ReplicaSet, close_client, eventually
from power_cut import Disk, compile_library
from test_file_storage import client_of, start_node


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return compile_library(tmp_path_factory.mktemp("library"))


WRITES = """
import os
root = os.environ["POWER_CUT_ROOT"]
def sync(path):
    place = os.open(path, os.O_RDONLY)
    os.fsync(place)
    os.close(place)
def write(name, *parts):
    file = os.open(f"{root}/{name}", os.O_RDWR | os.O_CREAT)
    at = 0
    for part in parts:
        if part is None:
            os.fdatasync(file)
        else:
            os.pwrite(file, part, at)
            at += len(part)
    return file
os.mkdir(root)
os.mkdir(f"{root}/inner")
write("whole", b"abc", b"def", None)
write("begun", b"abc", None, b"def")
write("inner/deep", b"xyz", None)
write("old", b"1", None)
sync(f"{root}/inner")
sync(root)
write("nameless", b"abc", None)
os.rename(f"{root}/old", f"{root}/new")
over = write("whole", b"ABC")
"""


OPENS_AGAIN = "import os; open(os.environ['POWER_CUT_ROOT'] + '/whole', 'r+b').close()"


def test_a_power_cut_takes_what_was_not_synced(library, tmp_path):
    disk = Disk(library, tmp_path / "disk")
    # A directory that is there already keeps what a cut has left.
    for program in (WRITES, OPENS_AGAIN):
        subprocess.run([sys.executable, "-c", program], check=True, env=disk.environment)
        disk.cut()
        found = {str(path.relative_to(disk.root)): path.read_bytes() for path in disk.root.rglob("*") if path.is_file()}
        assert found == {"whole": b"abcdef", "begun": b"abc", "inner/deep": b"xyz", "old": b"1"}


# Cuts come in the middle of checkpoints, too.
OFTEN = ("--set", "file.checkpoint-journal=1")


class DiskMember(Member):
    def __init__(self, index, disk):
        super().__init__(index, "rs0", ("--data", str(disk.root), *OFTEN))
        self.disk = disk
        self.environment = disk.environment

    def cut(self):
        self.kill()
        self.disk.cut()


class DiskSet(ReplicaSet):
    def __init__(self, library, directory, count=3):
        super().__init__(0, "rs0")
        self.members = [DiskMember(index, Disk(library, directory / f"d{index}")) for index in range(count)]
        for member in self.members:
            member.start()


@pytest.fixture
def disk_set(library, tmp_path):
    replica_set = DiskSet(library, tmp_path)
    replica_set.initiate()
    yield replica_set
    replica_set.close()


class Writers:
    """Clients that insert, update and delete, and know what they were promised."""

    def __init__(self, replica_set, concern, first, count=4):
        self.promised = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.client = replica_set.client(retryWrites=False, connectTimeoutMS=1000, serverSelectionTimeoutMS=1000)
        self.things = self.client.test.get_collection("things", write_concern=concern)
        self.threads = [
            threading.Thread(target=self._write, args=(f"{first}-{number}", random.Random(number)))
            for number in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def _write(self, name, draw):
        count = 0
        while not self.ended.is_set():
            identity = f"{name}-{count}"
            count += 1
            try:
                self.things.insert_one({"_id": identity, "n": 0, "bulk": "x" * draw.randrange(10, 5000)})
                value = 0
                with self.lock:
                    self.promised[identity] = {0, 1}
                self.things.update_one({"_id": identity}, {"$set": {"n": 1}})
                with self.lock:
                    self.promised[identity] = {1}
            except pymongo.errors.PyMongoError:
                continue

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        return self.promised


@pytest.mark.parametrize("victims", [1, 2, 3])
def test_what_a_majority_acknowledged_survives_power_cuts(disk_set, victims):
    draw = random.Random(victims)
    promised = {}
    for number in range(4):
        writers = Writers(disk_set, pymongo.WriteConcern("majority", wtimeout=5000), f"{victims}-{number}")
        goal = draw.randrange(100, 400)
        eventually(lambda: len(writers.promised) >= goal, 120, "writes")
        chosen = draw.sample(disk_set.members, victims)
        for member in chosen:
            member.cut()
        promised |= writers.end()
        for member in chosen:
            member.start()
        for member in disk_set.members:
            member.forget_connections()
        disk_set.wait_until_healthy(60)
        found = {document["_id"]: document["n"] for document in disk_set.primary.direct.test.things.find()}
        lost = {key for key, values in promised.items() if found.get(key) not in values}
        assert not lost
        disk_set.wait_for_equal_data("test")
    for member in disk_set.members:
        assert member.direct.test.command("validate", "things")["valid"]


def test_what_one_member_acknowledged_with_j_survives_power_cuts(library, tmp_path):
    disk = Disk(library, tmp_path / "disk")
    draw = random.Random(9)
    promised = 0
    for number in range(5):
        process = start_node(disk.root, *OFTEN, environment=disk.environment)
        client = client_of(process)
        things = client.test.get_collection("things", write_concern=pymongo.WriteConcern(j=True))
        found = things.count_documents({})
        assert promised <= found <= promised + 1
        assert number == 0 or client.test.command("validate", "things")["valid"]
        first = found
        for count in range(draw.randrange(20, 200)):
            things.insert_one({"_id": first + count, "bulk": "x" * draw.randrange(10, 20_000)})
            promised = first + count + 1
        # One more, of which nothing is known.
        client.test.get_collection("things", write_concern=pymongo.WriteConcern(w=1)).insert_one({"_id": promised})
        process.kill()
        disk.cut()
        close_client(client)
