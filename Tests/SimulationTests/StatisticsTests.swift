import BSON
import Core
import Testing

@testable import Simulation

/// What a member says of its oplog and of what it exchanges, and what it writes when it is idle.
struct StatisticsTests {
    private static let smallOplog = 65_536
    private static let nearest: Value = ["mode": "nearest"]

    /// Members whose engine keeps the oplog itself, compressed.
    private func makeSet(seed: UInt64, oplogBytesMax: Int? = nil) throws -> (SimulatedReplicaSet, SimulatedMember) {
        let set = SimulatedReplicaSet(
            SimulatedWorld(seed: seed), kinds: [.normal, .normal, .normal], remembers: false,
            oplogBytesMax: oplogBytesMax)
        try set.start()
        return (set, try #require(set.primary))
    }

    /// Writes documents that compress well, in commands of `batch`.
    private func fill(_ member: SimulatedMember, _ ids: Range<Int32>, batch: Int = 50) throws {
        let filler = Value.string(String(repeating: "the same again ", count: 20))
        for start in stride(from: ids.lowerBound, to: ids.upperBound, by: batch) {
            let documents = (start..<min(start + Int32(batch), ids.upperBound)).map {
                Value.document(["_id": .int32($0), "filler": filler])
            }
            let reply = try member.run(["insert": "things", "documents": .array(documents)], in: "shop")
            #expect(reply.isOK && reply["n"]?.asInteger == Int64(documents.count), "\(reply)")
        }
    }

    @Test("the oplog's size is what its maxSize bounds, in collStats and in serverStatus")
    func oplogSize() throws {
        let (set, primary) = try makeSet(seed: 1, oplogBytesMax: Self.smallOplog)
        try fill(primary, 0..<2000)
        try set.runUntilConverged(within: .seconds(10))
        for member in set.members {
            let read: Document = ["collStats": "oplog.rs", "$readPreference": Self.nearest]
            let statistics = try member.run(read, in: "local")
            let size = try #require(statistics["size"]?.asInteger)
            #expect(statistics["maxSize"]?.asInteger == Int64(Self.smallOplog))
            #expect(0 < size && size <= Int64(Self.smallOplog), "\(member.name): \(statistics)")
            #expect(statistics["storageSize"]?.asInteger == size)
            let status = try #require(try member.run(["serverStatus": 1])["oplog"]?.asDocument)
            #expect(status["storedBytes"]?.asInteger == size)
            #expect(status["maxBytes"]?.asInteger == Int64(Self.smallOplog))
            #expect(status["entries"]?.asInteger == statistics["count"]?.asInteger)
            // Entries are kept compressed, so there are more of them than the size suggests.
            #expect(try #require(status["bytes"]?.asInteger) > 2 * size)
            #expect(status["entries"]?.asInteger ?? 0 < 2000)
        }
    }

    @Test("serverStatus shows what replication costs on the wire, and what compression saves")
    func wireBytes() throws {
        let (set, primary) = try makeSet(seed: 2)
        let late = try #require(set.secondaries.first)
        set.isolate(late)
        try fill(primary, 0..<3000)
        func network(_ member: SimulatedMember) throws -> Document {
            let status = try member.run(["serverStatus": 1])
            return try #require(
                status["metrics"]?.asDocument?["repl"]?.asDocument?["network"]?.asDocument)
        }
        let before = try network(late)
        set.heal()
        try set.runUntilConverged(within: .seconds(30))
        let after = try network(late)
        func gain(_ name: String) -> Int64 { (after[name]?.asInteger ?? 0) - (before[name]?.asInteger ?? 0) }
        #expect(gain("ops") >= 3000)
        #expect(gain("entryBytes") > 3000 * 300)
        #expect(gain("bytes") > 0 && gain("bytes") < gain("entryBytes") / 3, "\(after)")
        #expect(after["getmores"]?.asDocument?["num"]?.asInteger ?? 0 > 0)
        // What somebody has fetched, somebody has sent.
        let all = try set.members.map(network)
        func sum(_ name: String) -> Int64 { all.reduce(0) { $0 + ($1[name]?.asInteger ?? 0) } }
        #expect(sum("bytesSent") >= sum("bytes") && sum("opsSent") >= sum("ops"))
        #expect(try network(primary)["oplogGetMoresProcessed"]?.asDocument?["num"]?.asInteger ?? 0 > 0)
    }

    @Test("an idle primary writes a no-op every ten seconds, and everybody's lastWrite moves on")
    func idleNoOp() throws {
        let (set, primary) = try makeSet(seed: 3)
        func noOps() throws -> [Document] {
            let filter: Document = ["op": "n", "o.msg": "periodic noop"]
            return try primary.run(["find": "oplog.rs", "filter": .document(filter)], in: "local").batch
        }
        func date(_ value: Value?) -> Int64 { if case .dateTime(let milliseconds)? = value { milliseconds } else { 0 } }
        func lastWrites() throws -> [Int64] {
            try set.members.map { try $0.run(["hello": 1])["lastWrite"]?.asDocument?["lastWriteDate"] }.map(date)
        }
        try set.world.run(for: .seconds(1))
        #expect(try noOps().isEmpty)
        let before = try lastWrites()
        try set.world.run(for: .seconds(35))
        let times = try noOps().map { date($0["wall"]) }
        #expect(times.count == 3)
        for (one, next) in zip(times, times.dropFirst()) { #expect((9_900...10_100).contains(next - one)) }
        for (then, now) in zip(before, try lastWrites()) { #expect(now - then >= 29_000) }
        // Not while something else is written.
        for id: Int32 in 0..<30 {
            #expect(try primary.run(["insert": "things", "documents": [["_id": .int32(id)]]], in: "shop").isOK)
            try set.world.run(for: .seconds(1))
        }
        #expect(try noOps().count <= 4)
    }

    @Test("a tailable cursor whose place has fallen off fails with CappedPositionLost", arguments: ["oplog.rs", "log"])
    func fallenOff(collection: String) throws {
        let (set, primary) = try makeSet(seed: 4, oplogBytesMax: Self.smallOplog)
        let database = collection == "log" ? "shop" : "local"
        if collection == "log" {
            #expect(try primary.run(["create": "log", "capped": true, "size": 4096], in: "shop").isOK)
            let first: [Value] = (0..<5).map { ["_id": .int32($0)] }
            #expect(try primary.run(["insert": "log", "documents": .array(first)], in: "shop").isOK)
        }
        let reply = try primary.run(
            ["find": .string(collection), "tailable": true, "batchSize": 2], in: database)
        let cursor = try #require(reply["cursor"]?.asDocument?["id"]?.asInteger)
        #expect(cursor != 0 && reply.batch.count == 2, "\(reply)")
        let more: Document = ["getMore": .int64(cursor), "collection": .string(collection), "batchSize": 1]
        #expect(try primary.run(more, in: database).isOK)
        // More than there is room for.
        if collection == "log" {
            for start: Int32 in stride(from: 5, to: 205, by: 20) {
                let next: [Value] = (start..<start + 20).map { ["_id": .int32($0), "text": "some words to fill it"] }
                #expect(try primary.run(["insert": "log", "documents": .array(next)], in: "shop").isOK)
            }
        } else {
            try fill(primary, 0..<2000)
            try set.runUntilConverged(within: .seconds(10))
        }
        let lost = try primary.run(more, in: database)
        #expect(lost.code == 136 && lost["codeName"] == "CappedPositionLost", "\(lost)")
        // It is gone then.
        #expect(try primary.run(more, in: database).code == 43)
    }
}
