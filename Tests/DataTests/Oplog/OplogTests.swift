import BSON
import Core
@testable import Data
@testable import MemoryStorage
import Testing

/// An oplog entry with something to compress in it.
func oplogEntry(_ optime: OpTime, payload: Int = 20, noise: UInt64 = 0) -> [UInt8] {
    let document = Document {
        $0.append("op", string: "i")
        $0.append("ns", string: "test.things")
        $0.append("ts", timestamp: optime.timestamp)
        $0.append("t", int64: optime.term)
        $0.append("noise", int64: Int64(bitPattern: noise))
        $0.append("o", string: String(repeating: "x", count: payload))
    }
    return document.withView { [UInt8]($0.bytes) }
}

extension Oplog {
    /// An oplog in the log of its own that the memory engine keeps.
    static func inMemory(bytesMax: Int) -> Oplog { Oplog(MemoryLog(), bytesMax: bytesMax) }

    /// An oplog in a table.
    static func inTable(bytesMax: Int) async throws -> Oplog {
        let engine = MemoryStorage()
        try await engine.open()
        return Oplog(TableLog(engine), bytesMax: bytesMax)
    }

    /// Does to the log what a batch does.
    private func apply(_ build: (WriteBatch) throws -> Void) throws {
        let batch = WriteBatch()
        try build(batch)
        if let memory = log as? MemoryLog {
            try memory.check(batch)
            memory.apply(batch)
        } else if let table = log as? TableLog {
            try table.translate(batch)
            try table.engine.apply(batch)
            try table.didApply(batch)
        }
    }

    func append(_ entry: [UInt8], _ optime: OpTime) throws {
        try apply { batch in
            entry.withUnsafeBytes { batch.appendEntry($0, optime: optime) }
            _ = try makeRoom(in: batch)
        }
    }

    func truncate(after timestamp: Timestamp) throws { try apply { $0.truncateLog(after: timestamp) } }

    var sealedBlockCount: Int { (log as? MemoryLog)?.blocks.count ?? 0 }

    func entries(
        from timestamp: Timestamp = .zero, inclusive: Bool = true, _ direction: ScanDirection = .forward,
        limitEntries: Int = .max, limitBytes: Int = .max
    ) throws -> [[UInt8]] {
        var found: [[UInt8]] = []
        try read(
            from: timestamp, inclusive: inclusive, direction: direction, limitEntries: limitEntries,
            limitBytes: limitBytes
        ) {
            found.append([UInt8]($0))
            return true
        }
        return found
    }
}

@Suite struct OplogTests {
    @Test("entries are kept whatever the size until they are old enough, and then dropped", arguments: [true, false])
    func retention(inTable: Bool) async throws {
        let oplog = inTable ? try await Oplog.inTable(bytesMax: 4000) : Oplog.inMemory(bytesMax: 4000)
        func append(_ second: UInt32) throws {
            let optime = OpTime(term: 1, timestamp: Timestamp(seconds: second, increment: 1))
            oplog.setCommitPoint(optime.timestamp)
            try oplog.append(oplogEntry(optime, payload: 400, noise: UInt64(second) &* 0x9E37_79B9_7F4A_7C15), optime)
        }
        oplog.retention = 3600
        for second in 1...1000 as ClosedRange<UInt32> { try append(second) }
        #expect(oplog.count == 1000 && oplog.first?.timestamp.seconds == 1)
        #expect(oplog.storedBytes > 4000)
        // An hour later the oldest go, some with each entry.
        for second in 4000...4300 as ClosedRange<UInt32> { try append(second) }
        let first = try #require(oplog.first)
        #expect(first.timestamp.seconds > 1 && first.timestamp.seconds <= 4300 - 3600)
        oplog.retention = 0
        for second in 4301...5000 as ClosedRange<UInt32> { try append(second) }
        #expect(try #require(oplog.first).timestamp.seconds > 4300)
    }

    @Test("the entry at the commit point stays, because a majority asks from there on", arguments: [false, true])
    func commitPointStays(isTable: Bool) async throws {
        let oplog = isTable ? try await Oplog.inTable(bytesMax: 2048) : .inMemory(bytesMax: 2048)
        for index in 1...1_000 {
            // Every entry alone is more than the log may take; every third commit comes late.
            try oplog.append(oplogEntry(time(index), payload: 4_000, noise: UInt64(index)), time(index))
            if index > 3 { #expect(try oplog.contains(time(index - 1 - (index - 1) % 3)), "at \(index)") }
            if index.isMultiple(of: 3) { oplog.setCommitPoint(time(index).timestamp) }
        }
        #expect(oplog.count < 200, "what is behind the commit point goes")
    }

    static func open(_ frame: [UInt8]) throws -> [[UInt8]] {
        var found: [[UInt8]] = []
        try frame.withUnsafeBytes { try Oplog.openFrame($0) { found.append([UInt8]($0)) } }
        return found
    }

    static func noisy(_ index: Int) -> [UInt8] {
        oplogEntry(time(index), payload: 150, noise: UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
    }

    /// 2000 entries of about 250 bytes, committed as they come: several sealed blocks and a tail.
    static func filled(bytesMax: Int = 1 << 30, count: Int = 2000) throws -> Oplog {
        let oplog = Oplog.inMemory(bytesMax: bytesMax)
        for index in 1...count {
            oplog.setCommitPoint(time(index - 1).timestamp)
            try oplog.append(noisy(index), time(index))
        }
        return oplog
    }

    @Test("entries with the deepest documents that clients may send, whole and as deltas, come through a frame")
    func deepDocuments() throws {
        let deepest = (0..<DocumentView.depthMax).reduce([:] as Document) { inner, _ in ["a": .document(inner)] }
        _ = try Document(validating: deepest.bytes)
        let oplog = Oplog.inMemory(bytesMax: 1 << 20)
        let objects: [Document] = [deepest, ["$v": 2, "diff": ["u": ["a": deepest["a"] ?? .null]]]]
        let entries = objects.enumerated().map { index, object in
            ["op": "u", "ts": .timestamp(time(index + 1).timestamp), "t": 1, "o": .document(object)] as Document
        }
        for (index, entry) in entries.enumerated() { try oplog.append(entry.bytes, time(index + 1)) }
        oplog.setCommitPoint(time(2).timestamp)
        let frame = try #require(try oplog.nextFrame(after: .zero, limitBytes: 1 << 20))
        #expect(try Self.open(frame.bytes) == entries.map { $0.bytes })
    }

    @Test("an empty log has no first and last entry and no frame")
    func empty() throws {
        let oplog = Oplog.inMemory(bytesMax: 1000)
        #expect(oplog.first == nil && oplog.last == nil && oplog.count == 0 && oplog.byteCount == 0)
        #expect(try oplog.nextFrame(after: .zero, limitBytes: 1000) == nil)
        #expect(try oplog.entries().isEmpty)
        #expect(try oplog.entries(from: .max, .backward).isEmpty)
        try oplog.truncate(after: .zero)
    }

    @Test("entries above the commit point are never sealed")
    func uncommittedStays() throws {
        let oplog = Oplog.inMemory(bytesMax: 1 << 30)
        for index in 1...3000 { try oplog.append(oplogEntry(time(index)), time(index)) }
        #expect(oplog.sealedBlockCount == 0)
        try oplog.truncate(after: time(1).timestamp)
        #expect(oplog.last == time(1) && oplog.count == 1)
    }

    @Test("sealed blocks take less memory than their entries")
    func compresses() throws {
        let oplog = try Self.filled(count: 4000)
        #expect(oplog.sealedBlockCount > 10)
        #expect(oplog.storedBytes < oplog.byteCount)
    }

    @Test("an entry that does not come behind the last is refused")
    func order() throws {
        let oplog = Oplog.inMemory(bytesMax: 1000)
        try oplog.append(oplogEntry(time(5)), time(5))
        for bad in [time(5), time(4), OpTime(term: 0, timestamp: time(6).timestamp)] {
            #expect(throws: InvariantViolation.self) { try oplog.append(oplogEntry(bad), bad) }
        }
        #expect(oplog.count == 1)
    }

    @Test("truncating below the commit point is refused")
    func truncateCommitted() throws {
        let oplog = try Self.filled()
        #expect(throws: InvariantViolation.self) { try oplog.truncate(after: time(1998).timestamp) }
        try oplog.truncate(after: time(1999).timestamp)
        #expect(oplog.last == time(1999))
    }

    @Test("a log over its limit drops blocks in front, but nothing above the commit point")
    func dropsInFront() throws {
        let free = try Self.filled(bytesMax: 100_000, count: 12_000)
        #expect(free.storedBytes < 100_000 + 70_000)
        let first = try #require(free.first)
        #expect(first > time(1) && free.last == time(12_000))
        // What is gone is still known as the first entry's predecessor.
        let frame = try #require(try free.nextFrame(after: .zero, limitBytes: 1000))
        #expect(frame.first == first && frame.previous == time(Int(first.timestamp.increment) - 1))

        let stalled = Oplog.inMemory(bytesMax: 100_000)
        for index in 1...3000 { try stalled.append(oplogEntry(time(index)), time(index)) }
        #expect(stalled.first == time(1) && stalled.isOverfull)
        // What the commit point has passed meanwhile is sealed and dropped by the appends that are to come.
        stalled.setCommitPoint(time(3000).timestamp)
        #expect(!stalled.isOverfull && stalled.uncommittedBytes == 0)
        for index in 3001...3100 { try stalled.append(oplogEntry(time(index)), time(index)) }
        #expect(try #require(stalled.first) > time(1))
    }

    @Test("what is pinned stays beyond the limit, is no reason to refuse writes, and goes at a limit of its own")
    func pinned() throws {
        let pinned = Oplog.inMemory(bytesMax: 100_000)
        pinned.pinOldest(time(700).timestamp)
        func append(_ indexes: ClosedRange<Int>) throws {
            for index in indexes {
                pinned.setCommitPoint(time(index - 1).timestamp)
                try pinned.append(Self.noisy(index), time(index))
            }
        }
        try append(1...12_000)
        let oldest = try #require(pinned.first)
        #expect(oldest > time(1) && oldest <= time(700))
        #expect(pinned.storedBytes > 200_000 && !pinned.isOverfull)
        pinned.pinnedBytesMax = 80_000
        try append(12_001...12_100)
        #expect(try #require(pinned.first) > time(700))
        #expect((130_000...260_000).contains(pinned.storedBytes))
        pinned.pinnedBytesMax = Limits.oplogPinnedBytesMax
        pinned.pinOldest(nil)
        try append(12_101...12_200)
        #expect(pinned.storedBytes < 100_000 + 70_000)

        // A stalled commit point is one, whatever else is kept.
        pinned.pinOldest(time(12_000).timestamp)
        for index in 12_201...16_000 { try pinned.append(Self.noisy(index), time(index)) }
        #expect(pinned.isOverfull)
    }

    @Test("a reader at a block's beginning is sent the sealed block as it is")
    func shipsSealedBlocks() throws {
        let oplog = try Self.filled()
        var after = Timestamp.zero
        var previous = OpTime.null
        var all: [[UInt8]] = []
        var frames = 0
        while let frame = try oplog.nextFrame(after: after, limitBytes: 10_000) {
            #expect(frame.previous == previous)
            let entries = try Self.open(frame.bytes)
            #expect(entries.count == frame.count)
            all += entries
            after = frame.last.timestamp
            previous = frame.last
            frames += 1
        }
        #expect(all == (1...2000).map { Self.noisy($0) })
        #expect(frames > oplog.sealedBlockCount)
        let middle = try #require(try oplog.nextFrame(after: time(7).timestamp, limitBytes: 1))
        #expect(middle.first == time(8) && middle.last == time(8) && middle.previous == time(7))
    }

    @Test("an entry larger than a block and than every limit is sealed, read and shipped alone")
    func largeEntry() throws {
        let oplog = Oplog.inMemory(bytesMax: 1 << 30)
        let large = oplogEntry(time(2), payload: 5_000_000)
        try oplog.append(oplogEntry(time(1)), time(1))
        try oplog.append(large, time(2))
        oplog.setCommitPoint(time(2).timestamp)
        for index in 3...10 { try oplog.append(oplogEntry(time(index)), time(index)) }
        #expect(oplog.sealedBlockCount >= 1)
        #expect(try oplog.entries(from: time(2).timestamp, limitEntries: 1) == [large])
        #expect(try oplog.entries(from: time(2).timestamp, limitBytes: 10) == [large])
        let frame = try #require(try oplog.nextFrame(after: time(1).timestamp, limitBytes: 10))
        #expect(try Self.open(frame.bytes) == [large])
    }

    @Test("a frame with any bit flipped, cut off or with something behind it is refused")
    func damagedFrames() throws {
        let oplog = try Self.filled(count: 600)
        let frames = [
            try #require(try oplog.nextFrame(after: .zero, limitBytes: 1000)),
            try #require(try oplog.nextFrame(after: time(599).timestamp, limitBytes: 1000)),
        ]
        for frame in frames {
            #expect(try !Self.open(frame.bytes).isEmpty)
            var random = SplitMix64(seed: 3)
            for round in 0..<2000 {
                // Every bit of the header, then bits anywhere.
                let bit = round < 256 ? round : random.below(frame.bytes.count * 8)
                var bad = frame.bytes
                bad[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: ServerError.self, "bit \(bit)") { try Self.open(bad) }
            }
            for length in [0, 1, 31, 32, frame.bytes.count - 1] {
                #expect(throws: ServerError.self) { try Self.open(Array(frame.bytes.prefix(length))) }
            }
            #expect(throws: ServerError.self) { try Self.open(frame.bytes + [0]) }
        }
    }
}
