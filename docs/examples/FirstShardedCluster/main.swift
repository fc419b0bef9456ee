import Quorate

// Two shards of three members, three config servers and two routers in this process.
let cluster = try await ShardedCluster {
    Shard("east") {
        Member(priority: 2, tags: ["dc": "ny"])
        Member(tags: ["dc": "bos"])
        Member(tags: ["dc": "bos"])
    }
    Shard("west", members: 3)
    ConfigServers(3)
    Routers(2)
}
.start()
_ = try await cluster.client["admin"].run(["shardCollection": "shop.orders", "key": ["customer": "hashed"]])
let orders = cluster.client["shop"]["orders"]
try await orders.insert((0..<100).map { ["_id": .int32($0), "customer": .int32($0 % 10)] })

// A router dies; the client goes on with the other. A shard's primary dies; the router finds the next one.
await cluster.routers[0].kill()
let old = try await cluster.shards[0].primary
await old.kill()
try await orders.insert(["_id": 100, "customer": 3], writeConcern: .majority)
print("orders:", try await orders.count())
await cluster.stop()
