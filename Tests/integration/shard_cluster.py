"""A sharded cluster of real processes without a router, and a client that routes by itself."""
import contextlib
import random
import threading
import time
import uuid

import bson
import pymongo
from bson import MaxKey, MinKey, Timestamp
from cluster_peer import CommandError, Peer
from conftest import ReplicaSet, eventually

UNSHARDED = {"t": Timestamp(0, 0), "v": Timestamp(0, 0)}
# Who answered is not who can: another one has to be asked.
LOST = (6, 89, 91, 189, 202, 10107, 11600, 11602, 13435, 13436, 262, 64)


class Cluster:
    """Replica sets that belong together. Members of each set run in processes of their own."""

    def __init__(self, shards=2, members=1, config_members=1, arguments=(), directory=None):
        self.sets = {}
        names = [f"shard{index}" for index in range(shards)]
        for name, count, role in [("cfg", config_members, "config"), *[(name, members, "shard") for name in names]]:
            data = ("--data", f"{directory}/{name}") if directory else ()
            self.sets[name] = ReplicaSet(0, name)
            self.sets[name].members = []
            for index in range(count):
                own = ("--data", f"{directory}/{name}-{index}") if data else ()
                from conftest import Member

                member = Member(index, name, ("--role", role, *own, *(arguments if role == "shard" else ())))
                member.start()
                self.sets[name].members.append(member)
            self.sets[name].initiate()
        self.shards = names
        self.peers = {}

    def close(self):
        for peer in self.peers.values():
            peer.close()
        for replica_set in self.sets.values():
            for member in replica_set.members:
                member.resume()
                member.close()

    def peer(self, name):
        """A connection to the primary of a set, as a router has it."""
        peer = self.peers.get(name)
        if peer is None:
            peer = self.peers[name] = Peer(self.sets[name].primary.port)
        return peer

    def ask(self, name, command, database="admin"):
        """The reply of the set's primary, whatever it is; a connection that was lost counts as one, too."""
        try:
            return self.peer(name).ask(command, database)
        except (OSError, ConnectionError) as error:
            self.peers.pop(name, None)
            return {"ok": 0, "code": 6, "errmsg": str(error)}

    def admin(self, command, seconds=60):
        """Runs an administrative command on the config servers, on whoever leads them."""
        deadline = time.monotonic() + seconds
        while True:
            reply = self.ask("cfg", command)
            if reply.get("ok"):
                return reply
            if reply["code"] not in LOST or time.monotonic() > deadline:
                raise CommandError(reply)
            self.peers.pop("cfg", None)

    def add_shards(self):
        for name in self.shards:
            self.admin({"addShard": f"{name}/{self.sets[name].members[0].host}"})

    def catalog(self, name):
        """A collection of the config servers as a majority has it."""
        return self.sets["cfg"].primary.direct.config.get_collection(
            name, read_concern=pymongo.read_concern.ReadConcern("majority"))

    def direct(self, name):
        """A client of the shard's primary, by no router."""
        return self.sets[name].primary.direct


class Routed:
    """Routes by itself, as a router does: by the chunks of one collection with the key {x: 1}."""

    def __init__(self, cluster, namespace="shop.r"):
        self.cluster = cluster
        self.peers = {}
        self.namespace = namespace
        self.database, self.name = namespace.split(".", 1)
        self.refresh()

    def refresh(self):
        def read():
            entry = self.cluster.catalog("collections").find_one({"_id": self.namespace})
            chunks = list(self.cluster.catalog("chunks").find({"uuid": entry["uuid"]}))
            return entry, chunks

        entry, self.chunks = eventually(read)
        self.epoch = entry["timestamp"]
        self.majors = {version["shard"]: version["major"] for version in entry["shardVersions"]}

    def owner(self, x):
        for chunk in self.chunks:
            low, high = chunk["min"]["x"], chunk["max"]["x"]
            if (isinstance(low, MinKey) or low <= x) and (isinstance(high, MaxKey) or x < high):
                return chunk["shard"]
        raise AssertionError(f"no chunk for {x}")

    @property
    def owners(self):
        return sorted({chunk["shard"] for chunk in self.chunks})

    def version(self, shard):
        return {"t": self.epoch, "v": Timestamp(self.majors.get(shard, 0), 0)}

    def ask(self, shard, command):
        try:
            if shard not in self.peers:
                self.peers[shard] = Peer(self.cluster.sets[shard].primary.port)
            return self.peers[shard].ask({**command, "shardVersion": self.version(shard)}, self.database)
        except (OSError, ConnectionError, AssertionError) as error:
            self.peers.pop(shard, None)
            return {"ok": 0, "code": 6, "errmsg": str(error)}

    def again(self, shard, reply):
        """Makes ready for another try; raises when none can help."""
        problems = [reply] if not reply.get("ok") else reply.get("writeErrors") or [reply["writeConcernError"]]
        code = problems[0]["code"]
        if code == 13388:
            self.refresh()
        elif code in LOST:
            self.peers.pop(shard, None)
        else:
            raise CommandError(problems[0])

    def write(self, x, command):
        for _ in range(1000):
            shard = self.owner(x)
            reply = self.ask(shard, command)
            if reply.get("ok") and not reply.get("writeErrors") and not reply.get("writeConcernError"):
                return reply
            self.again(shard, reply)
        raise AssertionError(reply)

    def load(self, count, step=1000, size=100):
        for first in range(0, count, step):
            documents = [{"_id": x, "x": x, "p": "y" * size} for x in range(first, min(first + step, count))]
            assert self.write(first, {"insert": self.name, "documents": documents})["n"] == len(documents)

    def read(self, filter=None, concern="local"):
        """All documents that match, of one routing table."""
        for _ in range(1000):
            found = []
            for shard in self.owners:
                reply = self.ask(
                    shard,
                    {"find": self.name, "filter": filter or {}, "batchSize": 10000, "readConcern": {"level": concern}})
                while reply.get("ok"):
                    cursor = reply["cursor"]
                    found += cursor.get("firstBatch", cursor.get("nextBatch"))
                    if not cursor["id"]:
                        break
                    try:
                        reply = self.peers[shard].ask(
                            {"getMore": cursor["id"], "collection": self.name, "batchSize": 10000}, self.database)
                    except (OSError, ConnectionError):
                        reply = {"ok": 0, "code": 6}
                if not reply.get("ok"):
                    # A cursor that died with its member is no error of what is tested.
                    if reply["code"] != 43:
                        self.again(shard, reply)
                    break
            else:
                return found
        raise AssertionError(reply)


class Load:
    """Writers that increment counters by retryable writes, and a reader that counts: until `stop`."""

    def __init__(self, cluster, count, writers=3, seed=1):
        self.cluster = cluster
        self.count = count
        self.acknowledged = 0
        self.problems = []
        self.reads = 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._write, args=(seed * 100 + index,)) for index in range(writers)]
        self.threads.append(threading.Thread(target=self._read))
        for thread in self.threads:
            thread.start()

    def _write(self, seed):
        numbers = random.Random(seed)
        session = {"id": bson.Binary(uuid.UUID(int=numbers.getrandbits(128), version=4).bytes, 4)}
        try:
            routed = Routed(self.cluster)
            for number in range(1, 1 << 30):
                if self.over.is_set():
                    return
                x = numbers.randrange(self.count)
                reply = routed.write(x, {
                    "update": routed.name,
                    "updates": [{"q": {"_id": x, "x": x}, "u": {"$inc": {"n": 1}}}],
                    "lsid": session, "txnNumber": bson.Int64(number),
                    "writeConcern": {"w": "majority", "wtimeout": 5000},
                })
                assert reply["n"] == 1, (reply, x)
                with self.lock:
                    self.acknowledged += 1
        except Exception as error:
            self.problems.append(error)
            raise

    def _read(self):
        try:
            routed = Routed(self.cluster)
            while not self.over.is_set():
                ids = [document["_id"] for document in routed.read()]
                if len(ids) != self.count or len(set(ids)) != self.count:
                    self.problems.append(f"a read has {len(ids)} documents, {len(set(ids))} of them different")
                    return
                self.reads += 1
        except Exception as error:
            self.problems.append(error)
            raise

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.problems, self.problems

    def check(self):
        """Every increment that was acknowledged is there once, every document once."""
        documents = Routed(self.cluster).read(concern="majority")
        assert len(documents) == self.count
        assert {document["_id"] for document in documents} == set(range(self.count))
        assert sum(document.get("n", 0) for document in documents) == self.acknowledged


@contextlib.contextmanager
def cluster(**options):
    made = Cluster(**options)
    try:
        yield made
    finally:
        made.close()
