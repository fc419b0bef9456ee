import BSON
import Core
@testable import Data
import FileStorage
@testable import Simulation
import Testing

/// A member's data over files, in one of its lives.
private struct Life {
    let runtime: SimulatedRuntime
    let store: DataStore
    let versions: VersionStore
    static let orders = Namespace("shop", "orders")
    static let customers = Namespace("shop", "customers")

    init(_ runtime: SimulatedRuntime, _ disk: SimulatedDisk) async throws {
        self.runtime = runtime
        let engine = FileStorage(runtime, disk, directory: "/data", name: "member", settings: smallSettings)
        versions = VersionStore(engine: engine, keepsHistory: true, historyWindow: .zero)
        try await versions.open()
        store = DataStore(runtime: runtime, versions: versions, oplog: Oplog(versions, bytesMax: 64 << 20))
    }

    func insert(_ document: Document, into namespace: Namespace) throws {
        try Document(array: [.document(document)]).withView { view in
            let context = WriteContext(term: 1, wall: runtime.wallClock, isReplicated: true)
            var operation = InsertOperation(into: .namespace(namespace), DocumentRun(array: view), isOrdered: true)
            while case .yield = try operation.run(store, context, until: .distantFuture) {}
            if let error = operation.errors.first { throw error.error }
        }
    }

    /// Entries that all have, then some that will be lost. Returns the last of the first.
    func write() async throws -> OpTime {
        try store.load()
        for id in 0..<3 as Range<Int32> {
            try insert(["_id": .int32(id)], into: Self.orders)
            try insert(["_id": .int32(id)], into: Self.customers)
        }
        let common = store.oplog.last ?? .null
        for id in 10..<30 as Range<Int32> {
            try insert(["_id": .int32(id), "text": .string(String(repeating: "o", count: Int(id)))], into: Self.orders)
            if id.isMultiple(of: 3) { try insert(["_id": .int32(id)], into: Self.customers) }
        }
        try await store.durability.flush()
        return common
    }

    func rollBack(to common: OpTime, id: Int32) async throws {
        let operation = try RollbackOperation(store, to: common, rollbackID: id)
        while case .yield = try operation.run(until: .zero) {
            try await operation.settle()
            await runtime.sleep(for: .milliseconds(1))
        }
        try await store.durability.flush()
    }

    func uuid(_ namespace: Namespace) throws -> CollectionUUID { try #require(store.catalog.find(namespace)).uuid }

    func count(_ namespace: Namespace) -> Int { store.catalog.find(namespace)?.count ?? 0 }
}

/// The ids in the rollback files of a disk, by path.
private func kept(_ disk: SimulatedDisk) throws -> [String: [Int64]] {
    var found: [String: [Int64]] = [:]
    for path in disk.paths where path.hasPrefix("/data/rollback/") {
        let file = try disk.open(path, create: false)
        var bytes = [UInt8](repeating: 0, count: try file.size())
        let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
        #expect(count == bytes.count)
        found[path] = []
        while !bytes.isEmpty {
            let length = Int(bytes[0]) | Int(bytes[1]) << 8
            let document = try Document(validating: Array(bytes.prefix(length)))
            found[path]?.append(try #require(document["_id"]?.asInteger))
            bytes.removeFirst(length)
        }
    }
    return found
}

/// A rollback on a disk whose power is cut, and what is found of it afterwards.
enum RollbackRun {
    static let lostOrders = (10..<30 as Range<Int64>).map { $0 }
    static let lostCustomers = lostOrders.filter { $0.isMultiple(of: 3) }

    enum Outcome {
        /// The next life went on with it.
        case resumed
        /// It was not known of any more, and was begun again.
        case begunAgain
        /// It had ended by then.
        case done
        /// There are not so many calls.
        case wasOver
        case wrong(String)
    }

    static func powerCut(at cut: Int, buggifies: Bool, mutants: Mutants = []) throws -> Outcome {
        let disk = SimulatedDisk(seed: UInt64(cut))
        var (common, wasOver) = (OpTime.null, false)
        try onLoop(seed: UInt64(cut), mutants: mutants, buggifies: buggifies) { runtime in
            let life = try await Life(runtime, disk)
            common = try await life.write()
            let before = disk.calls
            disk.failure = (before + cut, nil)
            do {
                try await life.rollBack(to: common, id: 2)
                wasOver = disk.calls - before < cut
            } catch {}
        }
        if wasOver { return .wasOver }
        disk.restart()
        let hadFiles = disk.paths.contains { $0.hasPrefix("/data/rollback/") }
        var outcome = Outcome.done
        try onLoop(seed: UInt64(cut), mutants: mutants, buggifies: buggifies) { runtime in
            let life = try await Life(runtime, disk)
            if try await life.store.resumeRollback() != nil {
                outcome = .resumed
            } else {
                try life.store.load()
                // The mark was not on the disk, or is not there any more.
                if life.store.oplog.last != common {
                    if hadFiles { outcome = .wrong("there are files of a rollback that never was") }
                    guard !hadFiles else { return }
                    try await life.rollBack(to: common, id: 3)
                    outcome = .begunAgain
                }
            }
            if let what = try difference(life, disk, common) { outcome = .wrong(what) }
            await life.versions.close()
        }
        return outcome
    }

    private static func difference(_ life: Life, _ disk: SimulatedDisk, _ common: OpTime) throws -> String? {
        guard life.store.oplog.last == common, life.count(Life.orders) == 3, life.count(Life.customers) == 3 else {
            return "not everything was undone"
        }
        let expected = [
            "/data/rollback/\(try life.uuid(Life.orders))/": lostOrders,
            "/data/rollback/\(try life.uuid(Life.customers))/": lostCustomers,
        ]
        let found: [String: [Int64]]
        do { found = try kept(disk) } catch { return "a file is not whole: \(error)" }
        guard found.count == expected.count else { return "\(found.keys.sorted())" }
        for (folder, ids) in expected {
            guard found.first(where: { $0.key.hasPrefix(folder) })?.value == ids else { return "\(folder): \(found)" }
        }
        return nil
    }
}

@Suite("Rollback files")
struct RollbackFilesTests {
    private static let lostOrders = RollbackRun.lostOrders
    private static let lostCustomers = RollbackRun.lostCustomers

    @Test("lost documents are in one file a collection, named by time and number, and not in local.rollback")
    func files() throws {
        let disk = SimulatedDisk(seed: 1)
        try onLoop(seed: 1) { runtime in
            let life = try await Life(runtime, disk)
            let common = try await life.write()
            try await life.rollBack(to: common, id: 7)
            let found = try kept(disk)
            #expect(found.count == 2)
            for (namespace, ids) in [(Life.orders, Self.lostOrders), (Life.customers, Self.lostCustomers)] {
                let folder = "/data/rollback/\(try life.uuid(namespace))/"
                let (path, kept) = try #require(found.first { $0.key.hasPrefix(folder) })
                #expect(kept == ids)
                let name = path.dropFirst(folder.count)
                #expect(name.wholeMatch(of: /removed\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.7\.bson/) != nil, "\(name)")
                #expect(life.count(namespace) == 3)
            }
            #expect(life.count(LocalRollbackCollection.namespace) == 0)
            await life.versions.close()
        }
    }

    @Test("after a power cut at any call of a rollback each lost document is kept once", arguments: [false, true])
    func powerCuts(buggifies: Bool) throws {
        var (cut, resumed, begunAgain) = (1, 0, 0)
        while true {
            let outcome = try RollbackRun.powerCut(at: cut, buggifies: buggifies)
            if case .wasOver = outcome { break }
            switch outcome {
            case .resumed: resumed += 1
            case .begunAgain: begunAgain += 1
            case .wrong(let what): Issue.record("cut \(cut): \(what)")
            case .done, .wasOver: break
            }
            cut += 1
        }
        #expect(cut > 20 && resumed > 5 && begunAgain > 0, "\(cut) \(resumed) \(begunAgain)")
    }

    @Test("a rollback on a full disk waits for room, and then keeps everything")
    func fullDisk() throws {
        let disk = SimulatedDisk(seed: 4)
        try onLoop(seed: 4, buggifies: true) { runtime in
            let life = try await Life(runtime, disk)
            let common = try await life.write()
            let before = try #require(life.store.oplog.last)
            disk.capacity = disk.paths.reduce(300) { $0 + (disk.byteCount(of: $1) ?? 0) }
            var isDone = false
            var failure: (any Error)?
            runtime.spawn("rollback") {
                do { try await life.rollBack(to: common, id: 2) } catch { failure = error }
                isDone = true
            }
            await runtime.sleep(for: .seconds(20))
            #expect(!isDone && life.store.oplog.last == before)
            disk.capacity = nil
            await runtime.sleep(for: .seconds(20))
            #expect(isDone && failure == nil, "\(String(describing: failure))")
            #expect(try kept(disk).values.map(\.count).sorted() == [Self.lostCustomers.count, Self.lostOrders.count])
            #expect(life.store.oplog.last == common)
            await life.versions.close()
        }
    }
}
