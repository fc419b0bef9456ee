import BSON
import Core
import MemoryStorage

/// Opens a data directory: what is in it, put back into memory. On a helper thread, before anything is served.
///
/// Runs, then the oplog's segments, then the journal up to the first frame that is not whole. What the journal held
/// goes into a checkpoint before anything is called durable: what recovery could read may be in the page cache only.
/// Then a new epoch begins in a segment of its own, so that nothing of an older one is ever taken for its own.
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
    }

    /// - Parameter newStore: names the store if there is none yet.
    func run(into memory: MemoryStorage, newStore: UInt64) throws -> Outcome {
        guard let manifest = try Manifest.read(disk, layout) else { return try create(newStore) }
        var outcome = Outcome(manifest: manifest)
        let (last, end) = try load(into: memory, &outcome)
        var checkpoint = Checkpoint(disk, layout, manifest, settings)
        if last > manifest.checkpoint { _ = try checkpoint.run(through: last, end: end) }
        outcome.manifest = checkpoint.manifest
        outcome.manifest.epoch &+= 1
        outcome.manifest.isClean = false
        let files = try journalFiles()
        let newest = max(files.segments.last ?? 0, outcome.manifest.journal.segment)
        outcome.manifest.journal = JournalPosition(segment: newest &+ 1, offset: JournalFormat.headerBytes)
        try outcome.manifest.write(disk, layout, settings.mutants)
        try removeStrangers(outcome.manifest)
        outcome.spares = try recycle(files)
        return outcome
    }

    /// Only reads.
    func inspect(into memory: MemoryStorage) throws -> Outcome {
        guard let manifest = try Manifest.read(disk, layout) else {
            throw StorageDamage("\(layout.root) is not a data directory of quorate: it has no manifest")
        }
        var outcome = Outcome(manifest: manifest)
        _ = try load(into: memory, &outcome)
        return outcome
    }

    /// Returns the number of the last batch and where it ends in the journal.
    private func load(into memory: MemoryStorage, _ outcome: inout Outcome) throws -> (UInt64, JournalPosition) {
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
        for segment in state.segments {
            let reader = try OplogReader(disk, layout, segment)
            while let frame = try reader.next() {
                try memory.restoreLog(frame, behind: state.droppedThrough)
            }
        }
    }

    /// Applies the journal. Returns the number of its last batch and where it ends.
    private func replay(
        _ manifest: Manifest, _ memory: MemoryStorage, _ outcome: inout Outcome
    ) throws -> (UInt64, JournalPosition) {
        let reader = JournalReader(
            disk, layout, store: manifest.store, epoch: manifest.epoch, from: manifest.journal,
            next: manifest.checkpoint &+ 1, mutants: settings.mutants)
        let frame = ByteBuffer(capacity: 1 << 20)
        let batch = WriteBatch()
        var end = manifest.journal
        while let found = try reader.nextFrame(into: frame) {
            outcome.journalBytes += frame.count
            try forEachBatch(frame.bytes, found.count, batch, layout.segment(reader.position.segment)) {
                try memory.apply(batch)
                outcome.replayedBatches += 1
            }
            end = reader.position
            frame.removeAll(keeping: 8 << 20)
        }
        return (reader.next &- 1, end)
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
