import BSON
import CRun
import Core

/// Moves what a journal holds into runs and oplog segments. On helper threads, one at a time.
///
/// A checkpoint is made of the journal, not of the data in memory: the operations since the last one, sorted, the last
/// of each key, are a new run. So nothing has to be held still while it is written, what has not changed is not written
/// again, and the loop has nothing to do with it. Runs of about one size are merged, so that each operation is written
/// again once for each power of `Limits.runsPerTier` that the data are larger than a run.
struct Checkpoint {
    let disk: any Disk
    let layout: FileLayout
    var manifest: Manifest
    private let settings: FileSettings
    private let chunkBytes: Int
    private let mutants: Mutants
    private(set) var bytesWritten = 0

    init(_ disk: any Disk, _ layout: FileLayout, _ manifest: Manifest, _ settings: FileSettings) {
        self.disk = disk
        self.layout = layout
        self.manifest = manifest
        self.settings = settings
        chunkBytes = settings.checkpointChunkBytes
        mutants = settings.mutants
    }

    /// Takes everything up to the batch `through`, which is durable and ends at `end`. Durable when this returns, with
    /// the manifest that says so.
    /// - Returns: files that nothing names any more.
    mutating func run(through: UInt64, end: JournalPosition) throws -> [String] {
        let before = manifest
        let reader = JournalReader(
            disk, layout, store: manifest.store, epoch: manifest.epoch, from: manifest.journal,
            next: manifest.checkpoint &+ 1, mutants: mutants)
        let oplog = OplogWriter(disk, layout, manifest.oplog, settings)
        let frame = ByteBuffer(capacity: 1 << 20)
        let operations = ByteBuffer(capacity: 1 << 20)
        let batch = WriteBatch()
        while reader.next <= through {
            frame.removeAll(keeping: 8 << 20)
            guard let found = try reader.nextFrame(into: frame) else {
                throw StorageDamage(
                    layout.segment(reader.position.segment), offset: reader.position.offset,
                    "batch \(reader.next) was durable and cannot be read")
            }
            try forEachBatch(frame.bytes, found.count, batch, layout.segment(reader.position.segment)) {
                operations.append(batch.buffer.bytes)
                try oplog.take(batch)
            }
            if operations.count >= chunkBytes { try addRun(of: operations) }
        }
        if !mutants.isActive(.runForgotten) { try addRun(of: operations) }
        manifest.oplog = try oplog.end()
        try merge()
        manifest.checkpoint = through
        manifest.journal = end
        if !mutants.isActive(.runNotNamed) { try disk.syncDirectory(layout.runs) }
        try disk.syncDirectory(layout.oplog)
        try manifest.write(disk, layout, mutants)
        let runs = Set(manifest.runs.map(\.number))
        let segments = Set(manifest.oplog.segments.map(\.number))
        return before.runs.filter { !runs.contains($0.number) }.map { layout.run($0.number) } + merged
            + before.oplog.segments.filter { !segments.contains($0.number) }.map { layout.oplogSegment($0.number) }
    }

    /// Runs that were made and merged by this checkpoint.
    private var merged: [String] = []

    private mutating func addRun(of operations: ByteBuffer) throws {
        guard operations.count > 0 else { return }
        let sorted = ByteBuffer(capacity: operations.count)
        let room = sorted.extend(by: operations.count)
        guard crun_check(operations.base, operations.count, false) else {
            throw InvariantViolation("a batch of the journal holds no whole operations")
        }
        let length = crun_sort(operations.base, operations.count, room)
        guard length <= operations.count else {
            throw DiskError(.other, "sorting for", layout.runs, "there is no memory")
        }
        sorted.truncate(to: length)
        let writer = try newRun()
        try writer.append(sorted.bytes)
        try endRun(writer, in: manifest.runs.count)
        operations.removeAll(keeping: 1 << 20)
    }

    private func newRun() throws(DiskError) -> RunWriter {
        try RunWriter(disk, layout.run(manifest.nextRun), number: manifest.nextRun)
    }

    /// Puts a run that was written into its place among the others.
    private mutating func endRun(_ writer: RunWriter, in place: Int) throws(DiskError) {
        let run = try writer.end()
        manifest.nextRun += 1
        bytesWritten += run.bytes
        // One that says nothing is none.
        if run.rawBytes > 0 { manifest.runs.insert(run, at: place) }
    }

    // MARK: Merging

    /// A run's size in powers of `Limits.runsPerTier`.
    private func tier(_ run: Run) -> Int {
        var (tier, size) = (0, chunkBytes)
        while size < run.rawBytes {
            size *= Limits.runsPerTier
            tier += 1
        }
        return tier
    }

    /// Merges the newest runs as long as there are enough of one size.
    private mutating func merge() throws {
        while let first = firstToMerge() { try mergeRuns(from: first) }
    }

    private func firstToMerge() -> Int? {
        var largest = 0
        // From the newest on: all runs behind the first one of a group are as small or smaller.
        for index in manifest.runs.indices.reversed() {
            largest = max(largest, tier(manifest.runs[index]))
            let isGroupComplete = index == 0 || tier(manifest.runs[index - 1]) > largest
            if isGroupComplete, manifest.runs[index...].filter({ tier($0) == largest }).count >= Limits.runsPerTier {
                return index
            }
        }
        return nil
    }

    private mutating func mergeRuns(from first: Int) throws {
        let taken = Array(manifest.runs[first...])
        let writer = try newRun()
        try RunMerge(try taken.map { try RunReader(disk, layout, $0) }).run(into: writer, isOldest: first == 0)
        manifest.runs.removeSubrange(first...)
        try endRun(writer, in: first)
        merged += taken.map { layout.run($0.number) }
    }
}

/// Several runs on their way into one.
private final class RunMerge {
    private let readers: [RunReader]
    /// The oldest first.
    private var sources: [crun_source]

    init(_ readers: [RunReader]) {
        self.readers = readers
        sources = Array(repeating: crun_source(), count: readers.count)
    }

    private func refill(_ index: Int) throws {
        let hasBlock = try readers[index].next()
        let bytes = readers[index].operations.bytes
        let start = bytes.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) }
        sources[index] = crun_source(
            at: start, end: start.map { $0 + bytes.count }, is_last: !hasBlock || readers[index].isAtEnd)
    }

    func run(into writer: RunWriter, isOldest: Bool) throws {
        for index in readers.indices { try refill(index) }
        let output = ByteBuffer(capacity: 1 << 20)
        var state = crun_merge(table: 0, has_table: false, drop: -1)
        var capacity = 1 << 20
        while true {
            output.removeAll()
            let room = output.extend(by: capacity)
            var written = 0
            var needed = 0
            let status = crun_merge_some(
                &state, &sources, sources.count, isOldest, room, capacity, &written, &needed)
            output.truncate(to: written)
            try writer.append(output.bytes)
            if status == CRUN_DONE { return }
            if status == CRUN_FULL { capacity = max(capacity, needed) } else { try refill(needed) }
        }
    }
}

/// Calls `body` for each batch of a frame's content, in `batch`.
func forEachBatch(
    _ content: UnsafeRawBufferPointer, _ count: UInt32, _ batch: WriteBatch, _ path: String, _ body: () throws -> Void
) throws {
    var at = 0
    for _ in 0..<count {
        guard let length = batch.readFlat(UnsafeRawBufferPointer(rebasing: content[at...])) else {
            throw StorageDamage("\(path) holds a frame whose checksum fits, but which is not made of batches")
        }
        try body()
        at += length
    }
}
