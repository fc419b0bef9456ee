import BSON
import COplog
import CTree
import Core
import Data
import MemoryStorage

/// The storage path from below: the tree, the engine, versions, the oplog. Times are only to be compared within one
/// run.
enum TreeBenchmark {
    static let entries = 1_000_000

    static func run() async {
        tree(shuffled: false)
        tree(shuffled: true)
        do {
            try await versions(keepsHistory: false)
            try await versions(keepsHistory: true)
            try await oplog()
        } catch {
            print("storage benchmark failed: \(error)")
        }
    }

    /// Nanoseconds an operation.
    static func measure(_ name: String, _ count: Int, bytes: Int = 0, _ body: () throws -> Void) rethrows {
        let start = ContinuousClock.now
        try body()
        let nanoseconds = Double((ContinuousClock.now - start).nanoseconds)
        let rate = bytes > 0 ? ", \(Int(Double(bytes) * 1000 / nanoseconds)) MB/s" : ""
        print("\(name): \(Int(nanoseconds / Double(count))) ns\(rate)")
    }

    static func tree(shuffled: Bool) {
        let store = ctree_store_create()
        defer { ctree_store_destroy(store) }
        let tree = ctree_make(store, 1)
        let value = [UInt8](repeating: 7, count: 100)
        let name = shuffled ? "tree, random" : "tree, ascending"
        // A multiplicative permutation: every number once, in no order.
        func key(_ index: Int) -> UInt64 {
            (shuffled ? UInt64(index) &* 0x9E37_79B9_7F4A_7C15 : UInt64(index)).bigEndian
        }
        measure("\(name): put", entries) {
            for index in 0..<entries {
                var key = key(index)
                ctree_put(tree, &key, 8, value, value.count)
            }
        }
        var view = ctree_current(tree)
        var row = ctree_row()
        var found = 0
        var state: UInt64 = 1
        measure("\(name): get", entries) {
            for _ in 0..<entries {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                var key = key(Int((state >> 33) % UInt64(entries)))
                if ctree_get(&view, &key, 8, &row) { found += 1 }
            }
        }
        var rows = [ctree_row](repeating: ctree_row(), count: 128)
        measure("\(name): scan, a row", entries) {
            var filled = ctree_fill(&view, CTREE_START, nil, 0, false, &rows, 128)
            while filled == 128 {
                let last = rows[127]
                filled = ctree_fill(&view, CTREE_BEHIND, last.key, Int(last.key_length), false, &rows, 128)
                found += filled
            }
        }
        let snapshot = ctree_snapshot_open(store)
        measure("\(name): put under a snapshot", entries / 10) {
            for index in 0..<(entries / 10) {
                var key = key(index)
                ctree_put(tree, &key, 8, value, value.count)
            }
        }
        ctree_snapshot_close(snapshot)
        measure("\(name): delete", entries) {
            for index in 0..<entries {
                var key = key(index)
                ctree_delete(tree, &key, 8)
            }
        }
        precondition(found > entries, "the benchmark found too little")
    }

    /// Inserts of a record and its `_id` entry, the commit point a little behind, as on a primary.
    static func versions(keepsHistory: Bool) async throws {
        let store = VersionStore(engine: MemoryStorage(), keepsHistory: keepsHistory)
        try await store.open()
        let records = TableID(rawValue: 20)
        let ids = TableID(rawValue: 21)
        let value = [UInt8](repeating: 7, count: 200)
        let count = entries / 4
        func step(_ index: Int, _ number: Int) throws {
            try withUnsafeBytes(of: UInt64(number).bigEndian) { key in
                try store.step(at: optime(index)) { step in
                    try value.withUnsafeBytes { try step.put(records, .replicated, key: key, value: $0) }
                    if index == number { try step.put(ids, .replicated, key: key, value: key) }
                }
                if index.isMultiple(of: 16), index > 100 { store.setCommitPoint(optime(index - 100)) }
            }
        }
        let name = keepsHistory ? "versions with history" : "versions of a standalone"
        try measure("\(name): insert, two keys", count) { for index in 1...count { try step(index, index) } }
        try measure("\(name): update, one key", count) {
            for index in (count + 1)...(2 * count) { try step(index, 1 + (index &* 7919) % count) }
        }
    }

    static func optime(_ index: Int) -> OpTime {
        OpTime(term: 1, timestamp: Timestamp(seconds: 1000, increment: UInt32(index)))
    }

    static func oplog() async throws {
        let engine = MemoryStorage()
        try await engine.open()
        let batch = WriteBatch()
        let entry = ByteBuffer(capacity: 512)
        func make(_ index: Int) {
            entry.removeAll()
            let writer = DocumentWriter(startingIn: entry)
            writer.append("op", string: "i")
            writer.append("ns", string: "test.things")
            writer.append("ts", timestamp: optime(index).timestamp)
            writer.append("t", int64: 1)
            writer.append("key", int64: Int64(bitPattern: UInt64(index) &* 0x9E37_79B9_7F4A_7C15))
            writer.append("o", string: "a value that is like the others, as values are \(index)")
            writer.finish()
        }
        make(1)
        let count = entries / 2
        try measure("oplog: append with sealing", count, bytes: count * entry.count) {
            for index in 1...count {
                make(index)
                batch.removeAll()
                batch.appendEntry(entry.bytes, optime: optime(index))
                try engine.apply(batch)
                if index.isMultiple(of: 16) { engine.log?.setCommitPoint(optime(index).timestamp) }
            }
        }
        print("oplog: \(engine.log?.byteCount ?? 0) bytes in \(engine.log?.storedBytes ?? 0)")
        let block = (0..<500).flatMap { index -> [UInt8] in
            make(index)
            return entry.toArray()
        }.prefix(64 * 1024)
        let content = Array(block)
        var frame = [UInt8](repeating: 0, count: coplog_seal_bound(content.count, true))
        var written = 0
        let rounds = 2000
        measure("oplog: seal a block", rounds, bytes: rounds * content.count) {
            for _ in 0..<rounds {
                _ = coplog_seal(content, content.count, 1, true, &frame, frame.count, &written)
            }
        }
        var opened = [UInt8](repeating: 0, count: content.count)
        measure("oplog: open a block", rounds, bytes: rounds * content.count) {
            for _ in 0..<rounds { _ = coplog_open(frame, written, &opened, opened.count) }
        }
    }
}
