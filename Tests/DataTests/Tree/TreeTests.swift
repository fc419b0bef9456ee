import Core
import CTree
import Testing

@Suite struct TreeTests {
    typealias Model = [[UInt8]: [UInt8]]

    /// All rows of a view, by fills of `step` rows.
    static func rows(_ view: ctree_view, backward: Bool = false, step: Int = 7) -> [([UInt8], [UInt8])] {
        var view = view
        var found: [([UInt8], [UInt8])] = []
        var buffer = [ctree_row](repeating: ctree_row(), count: step)
        while true {
            let last = found.last?.0
            let filled = (last ?? []).withUnsafeBytes {
                ctree_fill(
                    &view, last == nil ? CTREE_START : CTREE_BEHIND, $0.baseAddress, $0.count, backward, &buffer, step)
            }
            for row in buffer[..<filled] {
                found.append(
                    (
                        [UInt8](UnsafeRawBufferPointer(start: row.key, count: Int(row.key_length))),
                        [UInt8](UnsafeRawBufferPointer(start: row.value, count: Int(row.value_length)))
                    ))
            }
            if filled < step { return found }
        }
    }

    static func expect(_ view: ctree_view, holds model: Model, _ comment: Comment) {
        var view = view
        if let problem = ctree_check(&view) { Issue.record("\(String(cString: problem)): \(comment)") }
        let sorted = model.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        let forward = rows(view)
        #expect(forward.map(\.0) == sorted.map(\.key), comment)
        #expect(forward.map(\.1) == sorted.map(\.value), comment)
        #expect(rows(view, backward: true).map(\.0) == sorted.map(\.key).reversed(), comment)
    }

    static func put(_ tree: OpaquePointer?, _ key: [UInt8], _ value: [UInt8]) -> Bool {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { ctree_put(tree, key.baseAddress, key.count, $0.baseAddress, $0.count) }
        }
    }
    static func delete(_ tree: OpaquePointer?, _ key: [UInt8]) -> Bool {
        key.withUnsafeBytes { ctree_delete(tree, $0.baseAddress, $0.count) }
    }

    @Test("random writes agree with a dictionary, and a snapshot keeps what it saw", arguments: 0..<6 as Range<UInt64>)
    func agreesWithDictionary(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let store = ctree_store_create()
        defer { ctree_store_destroy(store) }
        let tree = ctree_make(store, 5)
        var model: Model = [:]
        var snapshots: [(OpaquePointer?, Model)] = []
        for step in 0..<6000 {
            let bytes: [UInt8] = [0, 1, 0x61, 0x80, 0xFF]
            let key = (0...random.below(9)).map { _ in bytes[random.below(seed.isMultiple(of: 2) ? 2 : 5)] }
            if random.below(100) < (step / 1000 % 2 == 0 ? 30 : 70) {
                #expect(Self.delete(tree, key) == (model.removeValue(forKey: key) != nil))
            } else {
                let value = [UInt8](
                    repeating: UInt8(truncatingIfNeeded: step), count: random.below(random.oneIn(40) ? 20000 : 60))
                #expect(Self.put(tree, key, value) == (model.updateValue(value, forKey: key) != nil))
            }
            if random.oneIn(150) {
                if snapshots.count == 4 {
                    let (snapshot, then) = snapshots.remove(at: random.below(4))
                    Self.expect(ctree_snapshot_view(snapshot, 5), holds: then, "a snapshot at step \(step)")
                    ctree_snapshot_close(snapshot)
                } else {
                    snapshots.append((ctree_snapshot_open(store), model))
                }
            }
            if random.oneIn(500) { Self.expect(ctree_current(tree), holds: model, "the tree at step \(step)") }
        }
        for (snapshot, then) in snapshots {
            Self.expect(ctree_snapshot_view(snapshot, 5), holds: then, "a snapshot at the end")
            ctree_snapshot_close(snapshot)
        }
    }

    @Test("a snapshot still reads a table that was dropped, and its memory comes back when the snapshot closes")
    func droppedTable() {
        let store = ctree_store_create()
        defer { ctree_store_destroy(store) }
        let tree = ctree_make(store, 9)
        var model: Model = [:]
        for index in 0..<40000 {
            let key = withUnsafeBytes(of: UInt32(index).bigEndian) { [UInt8]($0) }
            model[key] = [UInt8](repeating: 1, count: 100)
            _ = Self.put(tree, key, model[key] ?? [])
        }
        let full = ctree_store_memory(store)
        let snapshot = ctree_snapshot_open(store)
        ctree_drop(store, 9)
        while !ctree_store_collect(store, 1000) {}
        #expect(ctree_find(store, 9) == nil)
        #expect(ctree_store_memory(store) == full)
        Self.expect(ctree_snapshot_view(snapshot, 9), holds: model, "the dropped table")
        ctree_snapshot_close(snapshot)
        while !ctree_store_collect(store, 1000) {}
        #expect(ctree_store_memory(store) < full / 2)
    }

    @Test("a value may be copied from the tree that is written to")
    func valueOfTheTreeItself() {
        let store = ctree_store_create()
        defer { ctree_store_destroy(store) }
        let tree = ctree_make(store, 1)
        _ = Self.put(tree, [1], [UInt8](repeating: 3, count: 40))
        for length in [40, 20, 10] {
            var view = ctree_current(tree)
            var row = ctree_row()
            #expect(ctree_get(&view, [1], 1, &row))
            #expect(ctree_put(tree, [1], 1, row.value + (Int(row.value_length) - length), length))
        }
        #expect(Self.rows(ctree_current(tree)).map(\.1) == [[UInt8](repeating: 3, count: 10)])
    }

    @Test("a batch that is cut off, of an unknown kind or with an empty key is refused")
    func badBatches() {
        let good: [UInt8] = [1, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 8]
        #expect(ctree_batch_check(good, good.count) == 0)
        for length in 1..<good.count { #expect(ctree_batch_check(good, length) != 0) }
        for (offset, byte) in [(0, 4), (0, 0), (1, 0), (5, 0), (5, 2), (8, 0xFF), (12, 0xFF)] as [(Int, UInt8)] {
            var bad = good
            bad[offset] = byte
            #expect(ctree_batch_check(bad, bad.count) != 0, "byte \(offset) = \(byte)")
        }
    }
}
