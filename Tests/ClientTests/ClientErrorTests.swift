import BSON
import Core
import Simulation
import Testing

@testable import Client

/// What fails, what is tried again, and what the caller is told.
struct ClientErrorTests {
    @Test("when nothing was written the first error is the one to know")
    func noWritesPerformed() throws {
        let harness = ClientHarness()
        var errors: [Document] = [
            ["ok": 0, "code": 91, "errmsg": "first", "errorLabels": ["RetryableWriteError"]],
            ["ok": 0, "code": 91, "errmsg": "second", "errorLabels": ["RetryableWriteError", "NoWritesPerformed"]],
        ]
        harness.set.script = { _, _ in errors.isEmpty ? .usual : .reply(errors.removeFirst()) }
        let error = try harness.failure(CommandError.self) { try await harness.orders.insertOne(["_id": 1]) }
        #expect(error?.message == "first")
    }

    @Test("a document over the limit is refused before it is sent")
    func tooLarge() throws {
        let harness = ClientHarness()
        let large: Document = ["x": .binary(subtype: 0, [UInt8](repeating: 0, count: Limits.documentBytesMax))]
        #expect(try harness.failure(ClientUsageError.self) { try await harness.orders.insertOne(large) } != nil)
    }

    @Test(
        "a write whose connection drops is sent again with the same number and happens once", arguments: UInt64(1)...5)
    func retryAfterDrop(seed: UInt64) throws {
        for reaction in [FakeSet.Reaction.drop, .carryOutAndDrop] {
            let harness = ClientHarness(seed: seed)
            var drops = 1
            harness.set.script = { _, command in
                guard command.keys.first == "insert", drops > 0 else { return .usual }
                drops -= 1
                return reaction
            }
            try harness.run { try await harness.orders.insertOne(["_id": 1]) }
            let inserts = harness.set.commands("insert")
            #expect(inserts.count == 2)
            #expect(inserts[0].command["txnNumber"] == inserts[1].command["txnNumber"])
            #expect(inserts[0].command["lsid"] == inserts[1].command["lsid"])
            #expect(harness.set.documents.count == 1)
        }
    }

    @Test("a write is retried once and no more")
    func retryOnce() throws {
        let harness = ClientHarness()
        harness.set.script = { _, command in command.keys.first == "insert" ? .drop : .usual }
        let error = try harness.failure(NetworkError.self) { try await harness.orders.insertOne(["_id": 1]) }
        #expect(error?.hasLabel("RetryableWriteError") == true)
        #expect(harness.set.commands("insert").count == 2)
    }

    @Test("an update of many, and any write with retries off, is not sent again")
    func notRetried() throws {
        let harness = ClientHarness()
        harness.set.script = { _, command in command.keys.first == "update" ? .drop : .usual }
        let error = try harness.failure(NetworkError.self) {
            try await harness.orders.updateMany([:], ["$set": ["a": 1]])
        }
        #expect(error != nil)
        #expect(harness.set.commands("update").count == 1)
        #expect(harness.set.commands("update")[0].command["txnNumber"] == nil)

        let off = ClientHarness(configure: { $0.retryWrites = false })
        off.set.script = { _, command in command.keys.first == "insert" ? .drop : .usual }
        #expect(try off.failure(NetworkError.self) { try await off.orders.insertOne(["_id": 1]) } != nil)
        #expect(off.set.commands("insert").count == 1)
    }

    @Test("a read that fails is retried on another member when there is one")
    func retryRead() throws {
        let harness = ClientHarness()
        var failed: String?
        harness.set.script = { member, command in
            guard command.keys.first == "find", failed == nil else { return .usual }
            failed = member
            return .reply(["ok": 0, "code": 91, "codeName": "ShutdownInProgress", "errmsg": "going"])
        }
        try harness.run { _ = try await harness.orders.with(readPreference: .secondary).findOne() }
        let finds = harness.set.commands("find")
        #expect(finds.count == 2)
        #expect(finds[0].member == failed)
        #expect(finds[1].member != failed)
    }

    @Test("an error that no retry helps is thrown as it came")
    func commandError() throws {
        let harness = ClientHarness()
        harness.set.script = { _, _ in .reply(["ok": 0, "code": 13, "codeName": "Unauthorized", "errmsg": "no"]) }
        let error = try harness.failure(CommandError.self) { _ = try await harness.orders.findOne() }
        #expect(error?.code == .unauthorized)
        #expect(harness.set.commands("find").count == 1)
    }

    @Test("a write concern error with the label is retried, without it is thrown")
    func writeConcernErrors() throws {
        let harness = ClientHarness()
        var times = 1
        harness.set.script = { _, _ in
            guard times > 0 else { return .usual }
            times -= 1
            return .reply([
                "ok": 1, "n": 1, "errorLabels": ["RetryableWriteError"],
                "writeConcernError": ["code": 91, "errmsg": "going"],
            ])
        }
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        #expect(harness.set.commands("insert").count == 2)
        harness.set.script = { _, _ in
            .reply([
                "ok": 1, "n": 1, "writeConcernError": ["code": 64, "errmsg": "late", "errInfo": ["wtimeout": true]],
            ])
        }
        let error = try harness.failure(WriteConcernError.self) { try await harness.orders.insertOne(["_id": 2]) }
        #expect(error?.isTimeout == true)
    }

    @Test("a duplicate key has an error of its own; of many, the refused and those behind it are told")
    func duplicateKey() throws {
        let harness = ClientHarness()
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        let single = try harness.failure(DuplicateKeyError.self) { try await harness.orders.insertOne(["_id": 1]) }
        #expect(single?.keyValue == ["_id": 1])
        let many = try harness.failure(BulkWriteError.self) {
            try await harness.orders.insertMany([["_id": 0], ["_id": 1], ["_id": 2]])
        }
        #expect(many?.completedCount == 1)
        #expect(many?.writeErrors.map(\.index) == [1])
    }

    @Test("no server in time: the error says what is known of each")
    func selectionTimeout() throws {
        let harness = ClientHarness(primary: nil)
        let before = harness.world.now
        let error = try harness.failure(ServerSelectionTimeout.self) { try await harness.orders.insertOne([:]) }
        let message = error?.message ?? ""
        #expect(message.hasPrefix("no server for writes within 5.0 seconds; a:27017 is RSSecondary"), "\(message)")
        #expect(harness.world.now - before >= .seconds(5))
    }

    @Test("a server that speaks only old wire versions is refused with its name")
    func wireVersion() throws {
        let harness = ClientHarness(configureSet: { set in set.members.forEach { $0.maxWireVersion = 6 } })
        let error = try harness.failure(ClientUsageError.self) { try await harness.orders.insertOne([:]) }
        #expect(error?.message.contains("speaks wire versions 0 to 6, this client 9 to 29") == true)
    }
}
