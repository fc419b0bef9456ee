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

@Suite("Rollback files")
struct RollbackFilesTests {
    private static let lostOrders = (10..<30 as Range<Int64>).map { $0 }
    private static let lostCustomers = lostOrders.filter { $0.isMultiple(of: 3) }

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
        var cut = 1
        var (resumed, begunAgain) = (0, 0)
        while true {
            let disk = SimulatedDisk(seed: UInt64(cut))
            var (common, isWhole, calls) = (OpTime.null, false, 0)
            try onLoop(seed: UInt64(cut), buggifies: buggifies) { runtime in
                let life = try await Life(runtime, disk)
                common = try await life.write()
                disk.failure = (disk.calls + cut, nil)
                calls = disk.calls
                do {
                    try await life.rollBack(to: common, id: 2)
                    isWhole = disk.calls - calls < cut
                } catch {}
            }
            if isWhole { break }
            disk.restart()
            let before = disk.paths.filter { $0.hasPrefix("/data/rollback/") }
            try onLoop(seed: UInt64(cut), buggifies: buggifies) { runtime in
                let life = try await Life(runtime, disk)
                if let mark = try await life.store.resumeRollback() {
                    #expect(mark.common == common)
                    resumed += 1
                } else {
                    try life.store.load()
                    // The mark was not on the disk, or is not there any more.
                    if life.store.oplog.last != common {
                        #expect(before.isEmpty, "cut \(cut): files of a rollback that never was")
                        try await life.rollBack(to: common, id: 3)
                        begunAgain += 1
                    }
                }
                #expect(life.store.oplog.last == common)
                #expect(life.count(Life.orders) == 3 && life.count(Life.customers) == 3)
                let found = try kept(disk)
                let orders = "/data/rollback/\(try life.uuid(Life.orders))/"
                #expect(found.count == 2, "cut \(cut): \(found.keys.sorted())")
                for (path, ids) in found {
                    #expect(ids == (path.hasPrefix(orders) ? Self.lostOrders : Self.lostCustomers), "cut \(cut)")
                }
                await life.versions.close()
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
