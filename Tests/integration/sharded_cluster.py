"""Sharded clusters of real processes, for the tests: config servers, shards and routers, each a process."""
import pymongo
from conftest import Process, ReplicaSet, close_client, eventually


class Router:
    """The place of one router, through kills and restarts of its process."""

    def __init__(self, config):
        self.config = config
        self.port = 0
        self.process = None

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        seeds = ",".join(member.host for member in self.config.members)
        self.process = Process(
            "router", "--configdb", f"{self.config.name}/{seeds}", "--port", self.port, "--set",
            "enableTestCommands=1", ready=r"mongodb://127\.0\.0\.1:(\d+)/")
        self.port = int(self.process.match.group(1))

    def kill(self):
        self.process.kill()
        self.process = None

    def close(self):
        if self.process is not None:
            self.process.kill()


class ShardedCluster:
    """Config servers, shards and routers, made a cluster by the administrative commands."""

    def __init__(self, shards=2, members=3, config_members=1, routers=1):
        self.config = ReplicaSet(config_members, "config", ("--role", "config"))
        self.shards = [ReplicaSet(members, f"shard{i}", ("--role", "shard")) for i in range(shards)]
        for replica_set in [self.config, *self.shards]:
            replica_set.initiate()
        self.routers = [Router(self.config) for _ in range(routers)]
        self.clients = []
        for router in self.routers:
            router.start()
        client = self.client()
        for shard in self.shards:
            hosts = ",".join(member.host for member in shard.members)
            client.admin.command("addShard", f"{shard.name}/{hosts}", name=shard.name)

    @property
    def uri(self):
        return f"mongodb://{','.join(router.host for router in self.routers)}/"

    def client(self, uri=None, **options):
        options = {"serverSelectionTimeoutMS": 20000, **options}
        client = pymongo.MongoClient(uri or self.uri, **options)
        self.clients.append(client)
        return client

    def mend(self):
        """Whatever a test did: everybody runs again and takes part."""
        for replica_set in [self.config, *self.shards]:
            replica_set.mend()
        for router in self.routers:
            if router.process is None:
                router.start()
        eventually(lambda: self.client().admin.command("ping")["ok"] == 1)

    def close(self):
        for client in self.clients:
            close_client(client)
        for router in self.routers:
            router.close()
        for replica_set in [self.config, *self.shards]:
            for client in replica_set.clients:
                close_client(client)
            for member in replica_set.members:
                member.close()
