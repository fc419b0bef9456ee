import BSON
import Core
import MemoryStorage

/// Opens a data directory: what is in it, put back into memory. On a helper thread, before anything is served.
///
/// Runs, then the oplog's segments, then the journal up to the first frame that is not whole. What the journal held
/// goes into a checkpoint before anything is called durable: what recovery could read may be in the page cache only.
/// Then a new epoch begins in a segment of its own, so that nothing of an older one is ever taken for its own.
///
/// A disk that is full has no room for that. What the journal holds is written over itself then, which makes it durable
/// where it is, and the journal goes on behind its last frame, in the same epoch: frames name the checksum of the one
/// before, so that nothing that stood there before follows on a new one.
struct Recovery {
    let disk: any Disk
    let layout: FileLayout
    let settings: FileSettings
    /// Called now and then.
    let progress: @Sendable (Progress) -> Void

    /// How far it is.
    struct Progress: Sendable {
        let what: String
        let bytes: Int
        let total: Int
    }

    struct Outcome {
        var manifest: Manifest
        /// Files that can become segments of the journal.
        var spares: [UInt64] = []
        /// Whether the last process that had it ended without closing it.
        var wasUnclean = false
        var replayedBatches: UInt64 = 0
        var journalBytes = 0
        /// Number of the last batch.
        var last: UInt64 = 0
        /// Where the journal goes on, when there was no room for a new segment.
        var continuation: JournalContinuation?
    }

    /// What the journal held, read to its end.
    private struct Tail {
        var last: UInt64
        /// Where the last frame with batches ends.
        var end: JournalPosition
        /// Checksum of that frame; 0 when there is none.
        var checksum: UInt64 = 0
    }

    /// - Parameter newStore: names the store if there is none yet.
    func run(into memory: MemoryStorage, newStore: UInt64) throws -> Outcome {
        guard let manifest = try Manifest.read(disk, layout) else { return try create(newStore) }
        var outcome = Outcome(manifest: manifest)
        let tail = try load(into: memory, &outcome)
        outcome.last = tail.last
        let files = try journalFiles()
        do {
            outcome.manifest = try beginEpoch(manifest, tail, files)
        } catch let error as DiskError where error.kind == .full {
            try goOn(behind: tail, files, &outcome, because: error)
            return outcome
        }
        try removeStrangers(outcome.manifest)
        outcome.spares = try recycle(files)
        return outcome
    }

    /// Moves what the journal holds into a checkpoint. Returns the manifest of the next epoch, which is durable.
    private func beginEpoch(
        _ manifest: Manifest, _ tail: Tail, _ files: (segments: [UInt64], spares: [UInt64])
    ) throws -> Manifest {
        var checkpoint = Checkpoint(disk, layout, manifest, settings)
        if tail.last > manifest.checkpoint { _ = try checkpoint.run(through: tail.last, end: tail.end) }
        var next = checkpoint.manifest
        next.epoch &+= 1
        next.isClean = false
        let newest = max(files.segments.last ?? 0, next.journal.segment)
        next.journal = JournalPosition(segment: newest &+ 1, offset: JournalFormat.headerBytes)
        try next.write(disk, layout, settings.mutants)
        return next
    }

    // MARK: A full disk

    /// Makes what the journal holds durable where it is, and says where it goes on.
    private func goOn(
        behind tail: Tail, _ files: (segments: [UInt64], spares: [UInt64]), _ outcome: inout Outcome,
        because error: DiskError
    ) throws {
        // The checkpoint may have come to its end; the next epoch may not have begun.
        guard let manifest = try Manifest.read(disk, layout), manifest.epoch == outcome.manifest.epoch,
            manifest.journal.segment <= tail.end.segment, files.segments.contains(tail.end.segment)
        else { throw error }
        outcome.manifest = manifest
        try removeStrangers(manifest)
        let first = manifest.journal.segment
        // No batch stands in those behind the last frame.
        for number in files.segments where number > tail.end.segment { try disk.remove(layout.segment(number)) }
        let kept = files.segments.filter { $0 >= first && $0 <= tail.end.segment }
        for number in kept {
            try rewrite(number, through: number == tail.end.segment ? tail.end.offset : .max)
        }
        outcome.spares = try recycle((files.segments.filter { $0 < first }, files.spares))
        try disk.syncDirectory(layout.journal)
        outcome.continuation = JournalContinuation(end: tail.end, checksum: tail.checksum, segments: kept)
    }

    /// What could be read may be in the page cache only, and the system may hold it for written.
    private func rewrite(_ segment: UInt64, through end: Int) throws {
        let file = try disk.open(layout.segment(segment), create: false)
        let size = min(try file.size(), end)
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 8)
        defer { chunk.deallocate() }
        var offset = 0
        while offset < size {
            let part = UnsafeMutableRawBufferPointer(rebasing: chunk[..<min(chunk.count, size - offset)])
            guard try file.read(into: part, at: offset) == part.count else {
                throw StorageDamage(layout.segment(segment), offset: offset, "it became shorter while it was read")
            }
            try file.write(UnsafeRawBufferPointer(part), at: offset)
            offset += part.count
        }
        try file.sync()
    }

    /// Only reads.
    func inspect(into memory: MemoryStorage) throws -> Outcome {
        guard let manifest = try Manifest.read(disk, layout) else {
            throw StorageDamage("\(layout.root) is not a data directory of quorate: it has no manifest")
        }
        var outcome = Outcome(manifest: manifest)
        _ = try load(into: memory, &outcome)
        try look(through: outcome.manifest.oplog)
        return outcome
    }

    /// Reads what has stayed in files.
    private func look(through state: OplogState) throws {
        let segments = state.segments[..<firstLoaded(state)].compactMap(\.stored)
        let total = segments.reduce(0) { $0 + $1.bytes }
        var (done, told) = (0, 0)
        for segment in segments {
            _ = try OplogSegmentReader(disk: disk, layout: layout).frames(of: segment)
            done += segment.bytes
            if done - told >= Limits.recoveryProgressBytes {
                told = done
                progress(Progress(what: "oplog", bytes: done, total: total))
            }
        }
    }

    private func load(into memory: MemoryStorage, _ outcome: inout Outcome) throws -> Tail {
        outcome.wasUnclean = !outcome.manifest.isClean
        try loadRuns(outcome.manifest, memory)
        try loadOplog(outcome.manifest.oplog, memory)
        return try replay(outcome.manifest, memory, &outcome)
    }

    private func create(_ store: UInt64) throws -> Outcome {
        let names = try disk.list(layout.root) ?? []
        let strangers = names.filter { !FileLayout.names.contains($0) }
        guard strangers.isEmpty else {
            throw StorageDamage(
                "\(layout.root) is not a data directory of quorate and not empty: it has "
                    + strangers.sorted().prefix(3).joined(separator: ", ") + ". Name an empty or a new directory")
        }
        for directory in [layout.journal, layout.runs, layout.oplog] {
            guard try disk.list(directory)?.isEmpty ?? true else {
                throw StorageDamage(
                    "\(layout.root) has no manifest, and \(directory) has files: part of it was deleted. Nothing was "
                        + "changed. Restore the manifest or a backup, or name an empty directory")
            }
            try disk.makeDirectory(directory)
        }
        var outcome = Outcome(manifest: Manifest(store: store))
        outcome.manifest.epoch = 1
        outcome.manifest.isClean = false
        try outcome.manifest.write(disk, layout, settings.mutants)
        return outcome
    }

    // MARK: What was there

    private func loadRuns(_ manifest: Manifest, _ memory: MemoryStorage) throws {
        let total = manifest.runs.reduce(0) { $0 + $1.bytes }
        var (done, told) = (0, 0)
        for run in manifest.runs {
            let reader = try RunReader(disk, layout, run)
            while try reader.next() {
                try memory.restore(reader.operations.bytes)
                if done + reader.position - told >= Limits.recoveryProgressBytes {
                    told = done + reader.position
                    progress(Progress(what: "data", bytes: told, total: total))
                }
            }
            done += run.bytes
        }
    }

    private func loadOplog(_ state: OplogState, _ memory: MemoryStorage) throws {
        let loaded = firstLoaded(state)
        for segment in state.segments[..<loaded] {
            guard let segment = segment.stored else { continue }
            try OplogSegmentReader(disk: disk, layout: layout).find(segment)
            try memory.restoreLog(segment)
        }
        for segment in state.segments[loaded...] {
            let reader = try OplogReader(disk, layout, segment)
            while let frame = try reader.next() {
                try memory.restoreLog(frame, behind: state.droppedThrough)
            }
        }
    }

    /// The first segment that comes into memory, of the newest; those in front of it stay in their files, unread.
    private func firstLoaded(_ state: OplogState) -> Int {
        var index = state.segments.count
        var bytes = 0
        while index > 0, index == state.segments.count || isRoom(bytes + state.segments[index - 1].bytes) {
            index -= 1
            bytes += state.segments[index].bytes
        }
        // What is not known of one has to be read, and all behind it comes along.
        return state.segments[..<index].firstIndex { $0.content == nil } ?? index
    }

    private func isRoom(_ bytes: Int) -> Bool { bytes <= settings.oplogMemoryBytes }

    /// Applies the journal.
    private func replay(_ manifest: Manifest, _ memory: MemoryStorage, _ outcome: inout Outcome) throws -> Tail {
        let reader = JournalReader(
            disk, layout, store: manifest.store, epoch: manifest.epoch, from: manifest.journal,
            next: manifest.checkpoint &+ 1, mutants: settings.mutants)
        let frame = ByteBuffer(capacity: 1 << 20)
        let batch = WriteBatch()
        var tail = Tail(last: manifest.checkpoint, end: manifest.journal)
        while let found = try reader.nextFrame(into: frame) {
            outcome.journalBytes += frame.count
            try forEachBatch(frame.bytes, found.count, batch, layout.segment(reader.position.segment)) {
                try memory.apply(batch)
                outcome.replayedBatches += 1
            }
            tail = Tail(last: reader.next &- 1, end: reader.position, checksum: reader.previous ?? 0)
            frame.removeAll(keeping: 8 << 20)
        }
        return tail
    }

    // MARK: What is left over

    /// The numbers of segments and of spares, ascending. What is called otherwise is not ours.
    private func journalFiles() throws(DiskError) -> (segments: [UInt64], spares: [UInt64]) {
        var files: (segments: [UInt64], spares: [UInt64]) = ([], [])
        for name in try disk.list(layout.journal) ?? [] {
            if let number = FileLayout.number(name) {
                files.segments.append(number)
            } else if name.hasPrefix(FileLayout.sparePrefix),
                let number = FileLayout.number(name.dropFirst(FileLayout.sparePrefix.count))
            {
                files.spares.append(number)
            }
        }
        files.segments.sort()
        files.spares.sort()
        return files
    }

    /// Makes spares of the segments, which hold nothing that is needed any more. Spares keep their names.
    private func recycle(_ files: (segments: [UInt64], spares: [UInt64])) throws(DiskError) -> [UInt64] {
        var spares = Array(files.spares.prefix(Limits.journalSparesMax))
        for number in files.spares.dropFirst(spares.count) { try disk.remove(layout.spare(number)) }
        var next = (files.spares.last ?? 0) + 1
        for number in files.segments {
            guard spares.count < Limits.journalSparesMax else {
                try disk.remove(layout.segment(number))
                continue
            }
            try disk.rename(layout.segment(number), to: layout.spare(next))
            spares.append(next)
            next += 1
        }
        return spares
    }

    /// Files of a checkpoint that was not finished, or that were to be removed.
    private func removeStrangers(_ manifest: Manifest) throws(DiskError) {
        let runs = Set(manifest.runs.map { "\($0.number)" })
        for name in try disk.list(layout.runs) ?? [] where !runs.contains(name) {
            try disk.remove("\(layout.runs)/\(name)")
        }
        let segments = Set(manifest.oplog.segments.map { "\($0.number)" })
        for name in try disk.list(layout.oplog) ?? [] where !segments.contains(name) {
            try disk.remove("\(layout.oplog)/\(name)")
        }
    }
}
