import Quorate

// Three members in this process, ready in milliseconds. They keep their data in memory and need no ports.
let set = try await ReplicaSet("rs0", members: 3).start()
let orders = set.client["shop"]["orders"]
try await orders.insert(["_id": 1, "item": "tea", "total": 59.99], writeConcern: .majority)

// The primary dies. What a majority has acknowledged is still there, and writes go on.
let old = try await set.primary
await old.kill()
try await orders.insert(["_id": 2, "item": "cake", "total": 4.5], writeConcern: .majority)
print("orders:", try await orders.count(), "new primary:", try await set.primary.endpoint)

// The member comes back empty, copies the others, and counts again.
try await old.restart()
try await orders.insert(["_id": 3, "item": "jam", "total": 3.25], writeConcern: .w(3))

// A primary that is cut off cannot confirm anything to a majority; the others elect another one.
let cutOff = try await set.primary
try set.partition([cutOff], set.members.filter { $0 !== cutOff })
set.heal()
await set.stop()

// A set of chosen members and parts, on ports that PyMongo can connect to.
let chosen = try await ReplicaSet("rs1") {
    Member(priority: 2, tags: ["dc": "ny"])
    Member(tags: ["dc": "sf"])
    Member.arbiter
}
.transport(.socket())
.elections(.mongodb)
.timing(heartbeatInterval: .milliseconds(100), electionTimeout: .milliseconds(500))
.start()
print(chosen.connectionString)
await chosen.stop()
