import BSON
import Core
import DataNode
import Testing

@testable import Simulation

/// What an isolated primary acknowledged alone is undone when it rejoins, and kept.
struct RollbackTests {
    /// A set whose old primary wrote alone while another was elected.
    private struct Diverged {
        let set: SimulatedReplicaSet
        let old: SimulatedMember
        let new: SimulatedMember
    }

    private static let alone: Document = ["w": 1]
    private static let nearest: Value = ["mode": "nearest"]
    private static let session: Document = [
        "id": .binary(subtype: 4, [UInt8](repeating: 9, count: 16))
    ]

    private func insert(_ ids: ClosedRange<Int32>, number: Int64? = nil, majority: Bool = false) -> Document {
        var command: Document = [
            "insert": "orders", "documents": .array(ids.map { ["_id": .int32($0), "by": "the old primary"] }),
            "writeConcern": majority ? ["w": "majority"] : .document(Self.alone),
        ]
        if let number {
            command.append("lsid", .document(Self.session))
            command.append("txnNumber", .int64(number))
        }
        return command
    }

    private func diverge(seed: UInt64, lost: ClosedRange<Int32> = 10...29) throws -> Diverged {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: seed))
        try set.start()
        let old = try #require(set.primary)
        #expect(try old.run(insert(1...3, number: 1, majority: true), in: "shop").isOK)
        #expect(try old.run(["insert": "customers", "documents": [["_id": 1]]], in: "shop").isOK)
        try set.runUntilConverged(within: .seconds(1))
        set.isolate(old)
        #expect(try old.run(insert(lost, number: 2), in: "shop").isOK)
        #expect(try old.run(["create": "onlyThere", "writeConcern": .document(Self.alone)], in: "shop").isOK)
        let index: Document = ["key": ["by": 1], "name": "by_1"]
        #expect(
            try old.run(
                ["createIndexes": "orders", "indexes": [.document(index)], "writeConcern": .document(Self.alone)],
                in: "shop"
            ).isOK)
        #expect(try old.run(["drop": "customers", "writeConcern": .document(Self.alone)], in: "shop").isOK)
        let new = try set.runUntilPrimary(within: .seconds(5), otherThan: old)
        #expect(
            try new.run(
                ["insert": "orders", "documents": [["_id": 100]], "writeConcern": ["w": "majority"]], in: "shop"
            ).isOK)
        return Diverged(set: set, old: old, new: new)
    }

    @Test("every document that is lost is kept in local.rollback; collections and indexes are gone", arguments: 1...4)
    func lostDocuments(seed: UInt64) throws {
        let diverged = try diverge(seed: seed)
        let before = try diverged.old.documents("local", "system.rollback.id").first?["rollbackId"]?.asInteger
        diverged.set.heal()
        try diverged.set.runUntilConverged(within: .seconds(20))
        let kept = try diverged.old.documents("local", "rollback")
        #expect(kept.compactMap { $0["document"]?.asDocument?["_id"]?.asInteger } == Array(10...29))
        #expect(kept.allSatisfy { $0["ns"] == "shop.orders" })
        let id = try diverged.old.documents("local", "system.rollback.id").first?["rollbackId"]?.asInteger
        #expect(id == (before ?? 0) + 1)
        #expect(kept.allSatisfy { $0["rollbackId"]?.asInteger == id })
        for member in diverged.set.members {
            #expect(try member.documents("shop", "orders").compactMap { $0["_id"]?.asInteger } == [1, 2, 3, 100])
            if member !== diverged.old { #expect(try member.documents("local", "rollback").isEmpty) }
        }
        let collections = try diverged.old.run(["listCollections": 1, "$readPreference": Self.nearest], in: "shop")
        let names = (collections["cursor"]?.asDocument?["firstBatch"]?.asArray ?? []).map { $0.asDocument?["name"] }
        #expect(names == ["customers", "orders"])
        #expect(try diverged.old.documents("shop", "customers") == [["_id": 1]])
        let indexes = try diverged.old.run(["listIndexes": "orders", "$readPreference": Self.nearest], in: "shop")
        #expect(indexes["cursor"]?.asDocument?["firstBatch"]?.asArray?.count == 1)
    }

    @Test("while it rolls back a member says so in its hello and its status, and answers no reads")
    func visible() throws {
        let diverged = try diverge(seed: 5, lost: 10...3000)
        diverged.set.heal()
        try diverged.set.run(until: { _ in diverged.old.state == .rollback }, within: .seconds(20), "a rollback")
        let hello = try diverged.old.run(["hello": 1])
        #expect(hello["isWritablePrimary"] == false && hello["secondary"] == false)
        let status = try diverged.old.run(["replSetGetStatus": 1])
        #expect(status["myState"] == 9)
        let find = try diverged.old.run(["find": "orders", "$readPreference": Self.nearest], in: "shop")
        #expect(find["codeName"] == "NotPrimaryOrSecondary")
        try diverged.set.runUntilConverged(within: .seconds(20))
        #expect(try diverged.old.documents("local", "rollback").count == 2991)
    }

    @Test("a retry of a write that was rolled back is executed, of one that was kept it is not")
    func retries() throws {
        let diverged = try diverge(seed: 6)
        diverged.set.heal()
        try diverged.set.runUntilConverged(within: .seconds(20))
        let primary = try #require(diverged.set.primary)
        // Kept: the retry answers, and the documents are not tried again.
        let kept = try primary.run(insert(1...3, number: 1, majority: true), in: "shop")
        #expect(kept["n"]?.asInteger == 3 && kept["writeErrors"] == nil, "\(kept)")
        let again = try primary.run(insert(10...29, number: 2, majority: true), in: "shop")
        #expect(again["n"]?.asInteger == 20 && again["writeErrors"] == nil, "\(again)")
        try diverged.set.runUntilConverged(within: .seconds(5))
        #expect(try diverged.old.documents("shop", "orders").count == 24)
    }

    @Test("majority reads of a member that rolled back show what the majority has, never what was undone")
    func majorityReads() throws {
        let diverged = try diverge(seed: 7)
        let read: Document = [
            "find": "orders", "readConcern": ["level": "majority"], "$readPreference": Self.nearest,
            "sort": ["_id": 1], "maxTimeMS": 500,
        ]
        func ids(_ reply: Document) -> [Int64?] { reply.batch.map { $0["_id"]?.asInteger } }
        // Deposed, but it does not know what came after: the majority had these.
        #expect(ids(try diverged.old.run(read, in: "shop")) == [1, 2, 3])
        diverged.set.heal()
        try diverged.set.runUntilConverged(within: .seconds(20))
        #expect(ids(try diverged.old.run(read, in: "shop")) == [1, 2, 3, 100])
    }
}

/// What the replies of commands say.
extension Document {
    var code: Int64? { self["code"]?.asInteger }
    var isOK: Bool { self["ok"]?.asNumber == 1 }
    var batch: [Document] {
        (self["cursor"]?.asDocument?["firstBatch"]?.asArray ?? []).compactMap(\.asDocument)
    }
}
