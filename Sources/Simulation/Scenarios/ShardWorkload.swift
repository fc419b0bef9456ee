import BSON
import Core
import DataNode
import ShardKeyStrategies
import Sharding

/// Routes by itself, as a router does: increments of counters by retryable writes, reads of the whole collection, and
/// moves of its upper half between the shards. What it was told is compared with what is there.
public final class ShardWorkload {
    private let cluster: SimulatedCluster
    /// Documents `{_id: x, x, n}` with x below this.
    private let count: Int64
    private var running = 0
    private var isStopped = false
    /// Increments that were acknowledged; none is left without an answer, because each is sent until it has one.
    public private(set) var acknowledged: Int64 = 0
    /// Reads of the whole collection, and moves that have ended well.
    public private(set) var reads = 0
    public private(set) var moves = 0

    public init(_ cluster: SimulatedCluster, count: Int64 = 40) {
        self.cluster = cluster
        self.count = count
    }

    private var outside: SimulatedRuntime { cluster.outside }

    /// Where ranges are, as one of the routers believes.
    private final class Router {
        var entry: CollectionEntry?
        var table: RoutingTable?
        var space: ShardKeySpace?
    }

    // MARK: Running

    /// Stores the documents.
    public func load() throws {
        var isDone = false
        outside.spawn("load") { [self] in
            let router = Router()
            for x in 0..<count {
                let document: Document = ["_id": .int64(x), "x": .int64(x), "n": .int64(0)]
                await write(x, router) { ["insert": "r", "documents": [.document(document)]] }
            }
            isDone = true
        }
        try cluster.world.run(until: { isDone }, atMost: .seconds(120), "the load\n  \(cluster.summary)\n")
    }

    /// Starts writers, a reader and a mover.
    public func start(writers: Int = 3) {
        for number in 0..<writers { task { [self] in await increment(UInt64(number)) } }
        task { [self] in await read() }
        task { [self] in await move() }
    }

    private func task(_ body: @escaping () async -> Void) {
        running += 1
        outside.spawn("workload") { [self] in
            await body()
            running -= 1
        }
    }

    /// Stops and runs the world until everything has its answer.
    public func stop() throws {
        isStopped = true
        try cluster.world.run(
            until: { self.running == 0 }, atMost: .seconds(300), "the end of the workload\n  \(cluster.summary)\n")
    }

    private func pause(_ most: Duration) async {
        await outside.sleep(for: .nanoseconds(Int64(outside.random(below: UInt64(most.nanoseconds)))))
    }

    // MARK: Routing

    private func refresh(_ router: Router) async {
        while true {
            let name = Value.string(SimulatedCluster.collection.fullName)
            let majority: Value = ["level": "majority"]
            let found = await cluster.ask(
                cluster.config, ["find": "collections", "filter": ["_id": name], "readConcern": majority], in: "config")
            if let document = documents(found).first, let entry = try? CollectionEntry(reading: document) {
                let chunks = await cluster.ask(
                    cluster.config,
                    [
                        "find": "chunks", "filter": ["uuid": entry.uuid.value], "batchSize": 1000,
                        "readConcern": majority,
                    ], in: "config")
                if let space = try? ShardKeySpace(MongoDBShardKeys(), pattern: entry.key),
                    let table = try? table(documents(chunks), entry, space)
                {
                    router.entry = entry
                    router.space = space
                    router.table = table
                    return
                }
            }
            await pause(.milliseconds(200))
        }
    }

    private func table(_ documents: [Document], _ entry: CollectionEntry, _ space: ShardKeySpace) throws -> RoutingTable
    {
        var chunks: [Chunk] = []
        for document in documents { chunks.append(try ChunkEntry(reading: document).chunk(in: space, entry.epoch)) }
        return try RoutingTable(entry.name, chunks: chunks, majors: entry.majors)
    }

    private func documents(_ reply: Document) -> [Document] {
        let cursor = reply["cursor"]?.asDocument
        return ((cursor?["firstBatch"] ?? cursor?["nextBatch"])?.asArray ?? []).compactMap(\.asDocument)
    }

    private func ask(_ shard: ShardID, _ command: Document, _ router: Router) async -> Document {
        guard let set = cluster.shard(shard.name), let entry = router.entry else { return ["ok": 0.0, "code": 70] }
        var command = command
        command.append("shardVersion", .document(entry.version(of: shard).document))
        return await cluster.ask(set, command, in: "shop")
    }

    /// Sends a write to who owns the key until it is acknowledged.
    @discardableResult
    private func write(_ x: Int64, _ router: Router, _ command: () -> Document) async -> Document {
        while true {
            if router.table == nil { await refresh(router) }
            guard let table = router.table, let space = router.space else { continue }
            let document: Document = ["x": .int64(x)]
            let key = (try? document.withView { view throws(ServerError) in try space.position(of: view) }) ?? []
            let owner = key.withUnsafeBytes { table.owner(of: $0) }
            var command = command()
            command.append("writeConcern", ["w": "majority", "wtimeout": 5000])
            let reply = await ask(owner, command, router)
            let code = Self.problem(reply)
            guard let code else { return reply }
            // What was inserted by an earlier try is there.
            if code == 11000 { return reply }
            if code == 13388 { router.table = nil }
            await pause(.milliseconds(100))
        }
    }

    private static func problem(_ reply: Document) -> Int64? {
        guard reply["ok"]?.asNumber == 1 else { return reply["code"]?.asInteger ?? 0 }
        if let error = reply["writeErrors"]?.asArray?.first?.asDocument { return error["code"]?.asInteger ?? 0 }
        return reply["writeConcernError"]?.asDocument.map { $0["code"]?.asInteger ?? 0 }
    }

    // MARK: What is done

    private func increment(_ writer: UInt64) async {
        let router = Router()
        let session: Value = ["id": .binary(subtype: 4, [UInt8](repeating: UInt8(clamping: writer + 1), count: 16))]
        var number: Int64 = 0
        while !isStopped {
            let x = Int64(outside.random(below: UInt64(count)))
            number += 1
            let statement: Value = ["q": ["_id": .int64(x), "x": .int64(x)], "u": ["$inc": ["n": 1]]]
            let reply = await write(x, router) {
                ["update": "r", "updates": [statement], "lsid": session, "txnNumber": .int64(number)]
            }
            if reply["n"]?.asInteger != 1 {
                return cluster.world.fail("an increment of \(x) has found no document: \(reply)")
            }
            acknowledged += 1
            await pause(.milliseconds(50))
        }
    }

    private func read() async {
        let router = Router()
        while !isStopped {
            if let found = await readAll(router, "local") {
                if let problem = problem(found) { return cluster.world.fail("a read is wrong: \(problem)") }
                reads += 1
            }
            await pause(.milliseconds(50))
        }
    }

    /// What is wrong with what a read has found; nil when it has every document once.
    private func problem(_ found: [Document]) -> String? {
        let ids = found.compactMap { $0["_id"]?.asInteger }
        let missing = Set(0..<count).subtracting(ids)
        if !missing.isEmpty { return "it lacks \(missing.sorted())" }
        return ids.count == Int(count) ? nil : "it has \(ids.count) documents of \(count)"
    }

    /// Reads everything by one routing table; nil when some shard has refused.
    private func readAll(_ router: Router, _ concern: String) async -> [Document]? {
        if router.table == nil { await refresh(router) }
        guard let table = router.table else { return nil }
        var found: [Document] = []
        for shard in table.shards(for: [.all]) {
            let reply = await ask(
                shard,
                ["find": "r", "filter": [:], "batchSize": 1000, "readConcern": ["level": .string(concern)]], router)
            if let code = Self.problem(reply) {
                if code == 13388 { router.table = nil }
                return nil
            }
            found += documents(reply)
        }
        return found
    }

    private func move() async {
        var number = 0
        while !isStopped {
            let to = cluster.shards[(number + 1) % cluster.shards.count].name
            let reply = await cluster.ask(
                cluster.config,
                [
                    "moveRange": .string(SimulatedCluster.collection.fullName), "min": ["x": .int64(count / 2)],
                    "toShard": .string(to),
                ])
            if reply["ok"]?.asNumber == 1 {
                moves += 1
                number += 1
            }
            await pause(.milliseconds(200))
        }
    }

    // MARK: The end

    /// With everything mended: what was acknowledged is there once, and shards and config servers agree.
    public func check() throws {
        var found: [Document]?
        outside.spawn("the last read") { [self] in
            let router = Router()
            while found == nil {
                found = await readAll(router, "majority")
                if found == nil { await pause(.milliseconds(100)) }
            }
        }
        try cluster.world.run(until: { found != nil }, atMost: .seconds(60), "the last read\n  \(cluster.summary)\n")
        let documents = found ?? []
        if let problem = problem(documents) { throw cluster.config.failure("the last read is wrong: \(problem)") }
        let total = documents.reduce(Int64(0)) { $0 + ($1["n"]?.asInteger ?? 0) }
        guard total == acknowledged else {
            throw cluster.config.failure("\(acknowledged) increments were acknowledged, \(total) are there")
        }
        try cluster.world.run(
            until: { cluster.shards.allSatisfy { $0.primary?.node?.migrationCount == 0 } }, atMost: .seconds(120),
            "the end of all migrations\n  \(cluster.summary)\n")
    }
}
