import BSON
import Core
@testable import FileStorage
import Simulation

/// A log in files over several lives of its store, against an array: random runs of entries, cuts at both ends, commit
/// points, checkpoints, ends of processes, and reads all the while. Most of it is in files only.
final class LogRun {
    private struct Wrong: Error { let what: String }
    private struct Entry: Equatable {
        let optime: OpTime
        let bytes: [UInt8]
    }

    private let seed: UInt64
    private let mutants: Mutants
    private let disk: SimulatedDisk
    private var random: SplitMix64
    private var model: [Entry] = []
    private var clock: UInt64 = 1
    private var term: Int64 = 1
    private var committed = Timestamp.zero
    /// Segments that were in files only, at most.
    private(set) var storedMost = 0
    private(set) var reads = 0

    private static let settings: FileSettings = {
        var settings = smallSettings
        settings.oplogSegmentBytes = 2048
        settings.oplogMemoryBytes = 1500
        return settings
    }()

    init(seed: UInt64, mutants: Mutants = []) {
        self.seed = seed
        self.mutants = mutants
        disk = SimulatedDisk(seed: seed)
        random = SplitMix64(seed: seed)
    }

    /// Returns what was wrong.
    func run(lives: Int = 5, steps: Int = 350) throws -> String? {
        var problem: String?
        for life in 0..<lives where problem == nil {
            try onLoop(seed: seed &+ UInt64(life), mutants: mutants) { [self] runtime in
                do { try await live(runtime, steps) } catch let wrong as Wrong {
                    problem = "life \(life): \(wrong.what)"
                } catch { problem = "life \(life): \(error)" }
            }
            disk.endProcess()
        }
        return problem
    }

    private func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw Wrong(what: what()) }
    }

    private func live(_ runtime: SimulatedRuntime, _ steps: Int) async throws {
        let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: Self.settings)
        try await store.open()
        guard let log = store.log else { return }
        log.expect(bytesMax: 4096)
        // What was dropped in front may be there again, as far as a piece of it is.
        let found = try await entries(store, from: .zero, .forward, limit: .max)
        try expect(found.suffix(model.count) == model[...], "what is found is not what was written")
        model = found
        committed = .zero
        for _ in 0..<steps {
            try await step(store, log)
            storedMost = max(storedMost, Int(store.statistics["oplogSegmentsInFilesOnly"]?.asInteger ?? 0))
            let bytes = model.reduce(0) { $0 + $1.bytes.count }
            // Whoever reads the newest entry need not wait.
            if let last = log.last {
                var newest: OpTime?
                try log.read(from: .max, inclusive: true, direction: .backward) {
                    newest = OpTime(DocumentView(base: $0.baseAddress!))
                    return false
                }
                try expect(newest == last, "the newest entry is \(newest.debugDescription), not \(last)")
            }
            try expect(
                log.count == model.count && log.byteCount == bytes && log.first == model.first?.optime
                    && log.last == model.last?.optime,
                "there are \(log.count) entries of \(log.byteCount) bytes in place of \(model.count) of \(bytes), "
                    + "or other ends")
        }
        reads += Int(store.statistics["oplogReads"]?.asInteger ?? 0)
        try await store.flush(upTo: store.appliedMark)
        if random.below(2) == 0 { await store.close() }
    }

    private func step(_ store: FileStorage, _ log: any StorageLog) async throws {
        let batch = WriteBatch()
        switch random.below(24) {
        case 0..<12: append(batch, 1 + random.below(12))
        case 12..<15:
            guard let at = model.randomElement(using: &random)?.optime.timestamp else { return }
            committed = max(committed, random.below(3) == 0 ? at : model[model.count * 3 / 4].optime.timestamp)
            return log.setCommitPoint(committed)
        case 15 where random.below(3) == 0:
            // Of a log that was just opened nobody knows what is committed.
            guard let target = model.randomElement(using: &random)?.optime.timestamp else { return }
            // Not always an entry's time.
            let near = Timestamp(rawValue: target.rawValue - UInt64(random.below(2)))
            let after = max(near, committed)
            batch.truncateLog(after: after)
            model.removeAll { $0.optime.timestamp > after }
            term += 1
            append(batch, random.below(3))
        case 16 where random.below(20) == 0:
            batch.truncateLog(through: .max)
            (model, committed) = ([], .zero)
            append(batch, 1)
        case 17 where log.storedBytes > 12_000:
            guard let piece = try log.frontPiece(0), piece.last.timestamp <= committed else { return }
            batch.truncateLog(through: piece.last.timestamp)
            model.removeAll { $0.optime <= piece.last }
        case 18:
            try await store.flush(upTo: store.appliedMark)
            return try await store.checkpoint()
        case 19: return try await follow(store, log)
        case 20..<22: return try await compare(store, log)
        default: return
        }
        if batch.changesLog { try store.apply(batch) }
    }

    private func append(_ batch: WriteBatch, _ count: Int) {
        for _ in 0..<count {
            clock += 1 + UInt64(random.below(3))
            let optime = OpTime(term: term, timestamp: Timestamp(rawValue: clock))
            let text = String(
                (0..<random.below(120)).map { _ in Character(UnicodeScalar(UInt8(97 + random.below(26)))) })
            let document = Document {
                $0.append("ts", timestamp: optime.timestamp)
                $0.append("t", int64: optime.term)
                $0.append("o", string: text)
            }
            let bytes = document.withView { [UInt8]($0.bytes) }
            bytes.withUnsafeBytes { batch.appendEntry($0, optime: optime) }
            model.append(Entry(optime: optime, bytes: bytes))
        }
    }

    // MARK: Reading

    private func entries(
        _ store: FileStorage, from start: Timestamp, _ direction: ScanDirection, inclusive: Bool = true, limit: Int
    ) async throws -> [Entry] {
        try await store.whenResident {
            var found: [Entry] = []
            try store.log?.read(from: start, inclusive: inclusive, direction: direction) {
                guard let optime = OpTime(DocumentView(base: $0.baseAddress!)) else { throw Wrong(what: "no optime") }
                found.append(Entry(optime: optime, bytes: [UInt8]($0)))
                return found.count < limit
            }
            return found
        }
    }

    private func somewhere() -> Timestamp {
        guard let first = model.first, let last = model.last else { return Timestamp(rawValue: 5) }
        let span = last.optime.timestamp.rawValue - first.optime.timestamp.rawValue + 6
        return Timestamp(rawValue: max(first.optime.timestamp.rawValue, 3) - 3 + UInt64(random.below(Int(span))))
    }

    private func compare(_ store: FileStorage, _ log: any StorageLog) async throws {
        let at = somewhere()
        let known = model.first { $0.optime.timestamp == at }?.optime
        let found = try await store.whenResident { try log.optime(at: at) }
        try expect(found == known, "at \(at) is \(found.debugDescription), not \(known.debugDescription)")
        for direction in [ScanDirection.forward, .backward] {
            let inclusive = random.below(2) == 0
            let limit = random.below(4) == 0 ? Int.max : 1 + random.below(40)
            var expected = model.filter {
                if $0.optime.timestamp == at { return inclusive }
                return (direction == .forward) == ($0.optime.timestamp > at)
            }
            if direction == .backward { expected.reverse() }
            let found = try await entries(store, from: at, direction, inclusive: inclusive, limit: limit)
            try expect(
                found[...] == expected.prefix(limit),
                "\(direction) from \(at) are \(found.count) other entries than \(min(expected.count, limit))")
        }
    }

    /// Reads on from somewhere as a secondary does, while the log goes on: piece by piece where it comes to the
    /// beginning of one, and otherwise an entry at a time.
    private func follow(_ store: FileStorage, _ log: any StorageLog) async throws {
        var position = somewhere()
        for _ in 0..<random.below(200) {
            if random.below(8) == 0 {
                let batch = WriteBatch()
                append(batch, 1)
                try store.apply(batch)
            }
            if random.below(20) == 0 { try await store.checkpoint() }
            let (found, count) = try await store.whenResident { () -> ([UInt8], Int) in
                if let piece = log.sealedPiece(behind: position) {
                    let opened = try piece.frame.withUnsafeBytes { try LogFrame.open($0) }
                    defer { opened.content.deallocate() }
                    return ([UInt8](opened.content), opened.count)
                }
                var bytes: [UInt8] = []
                try log.read(from: position, inclusive: false, direction: .forward) {
                    bytes += $0
                    return false
                }
                return (bytes, bytes.isEmpty ? 0 : 1)
            }
            let expected = model.drop { $0.optime.timestamp <= position }.prefix(count)
            try expect(
                found == expected.flatMap(\.bytes) && (count > 0 || position >= model.last?.optime.timestamp ?? .zero),
                "behind \(position) are \(count) other entries")
            guard let last = expected.last else { return }
            position = last.optime.timestamp
        }
    }
}
