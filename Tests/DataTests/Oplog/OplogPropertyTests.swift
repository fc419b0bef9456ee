import BSON
import Core
@testable import Data
import Testing

/// Random appends, rollbacks, commits, pins and reads, against an array of entries.
@Suite struct OplogPropertyTests {
    @Test("the log agrees with an array", arguments: 1...6 as ClosedRange<UInt64>, [true, false])
    func agreesWithArray(seed: UInt64, isTable: Bool) async throws {
        var random = SplitMix64(seed: seed)
        let oplog = isTable ? try await Oplog.inTable(bytesMax: 150_000) : Oplog.inMemory(bytesMax: 150_000)
        var model: [(optime: OpTime, bytes: [UInt8])] = []
        var clock = 1
        var term: Int64 = 1
        var commit = Timestamp.zero
        for step in 0..<2500 {
            switch random.below(20) {
            case 0..<12:
                for _ in 0...random.below(8) {
                    clock += 1 + random.below(3)
                    let optime = OpTime(term: term, timestamp: time(clock).timestamp)
                    let payload = random.oneIn(300) ? 100_000 : random.below(300)
                    let entry = oplogEntry(optime, payload: payload, noise: random.next())
                    try oplog.append(entry, optime)
                    model.append((optime, entry))
                }
            case 12, 13:
                // Sometimes ahead of the log, as a secondary's is.
                let at = random.oneIn(10) ? clock + 3 : clock - random.below(20)
                commit = max(commit, time(max(at, 0)).timestamp)
                oplog.setCommitPoint(commit)
            case 14 where random.oneIn(4):
                let target = max(time(max(clock - random.below(30), 0)).timestamp, commit)
                try oplog.truncate(after: target)
                model.removeAll { $0.optime.timestamp > target }
                clock = max(Int(target.increment), Int(model.last?.optime.timestamp.increment ?? 0))
                term += 1
            case 15:
                oplog.pinOldest(random.oneIn(2) ? nil : model.randomElement(using: &random)?.optime.timestamp)
            default: try check(oplog, model, &random)
            }
            // What was dropped in front is gone from the model too: whole runs, never the last entry.
            if let first = oplog.first { model.removeAll { $0.optime < first } }
            try #require(oplog.count == model.count, "step \(step)")
            #expect(oplog.first == model.first?.optime && oplog.last == model.last?.optime)
            #expect(oplog.byteCount == model.reduce(0) { $0 + $1.bytes.count })
        }
        #expect(isTable || oplog.sealedBlockCount > 0)
    }

    func check(
        _ oplog: Oplog, _ model: [(optime: OpTime, bytes: [UInt8])], _ random: inout SplitMix64
    ) throws {
        guard let first = oplog.first, let last = oplog.last else { return }
        let span = Int(last.timestamp.rawValue - first.timestamp.rawValue) + 4
        let at = Timestamp(rawValue: first.timestamp.rawValue - 2 + UInt64(random.below(span)))
        let known = model.first { $0.optime.timestamp == at }
        #expect(try oplog.optime(at: at) == known?.optime)
        if let known {
            #expect(try oplog.contains(known.optime))
            #expect(try !oplog.contains(OpTime(term: known.optime.term + 1, timestamp: at)))
        }
        var entry: [UInt8]?
        #expect(try oplog.entry(at: at) { entry = [UInt8]($0) } == (known != nil))
        #expect(entry == known?.bytes)

        let inclusive = random.oneIn(2)
        let limit = random.oneIn(8) ? Int.max : random.below(200)
        let direction = random.oneIn(2) ? ScanDirection.forward : .backward
        var expected = model.filter {
            direction == .forward
                ? $0.optime.timestamp > at || (inclusive && $0.optime.timestamp == at)
                : $0.optime.timestamp < at || (inclusive && $0.optime.timestamp == at)
        }
        if direction == .backward { expected.reverse() }
        let found = try oplog.entries(from: at, inclusive: inclusive, direction, limitEntries: limit)
        #expect(found == expected.prefix(limit).map(\.bytes))

        let limitBytes = random.below(3000)
        let frame = try oplog.nextFrame(after: at, limitBytes: limitBytes, compress: random.oneIn(2))
        let next = model.firstIndex { $0.optime.timestamp > at }
        #expect((frame == nil) == (next == nil))
        guard let frame, let next else { return }
        let entries = try OplogTests.open(frame.bytes)
        #expect(entries == model[next...].prefix(frame.count).map(\.bytes))
        #expect(frame.first == model[next].optime && frame.last == model[next + frame.count - 1].optime)
        if next > 0 { #expect(frame.previous == model[next - 1].optime) }
    }
}
