import BSON
import CHash
import Core

/// What is valid in a data directory: the runs, the segments of the oplog, and where the journal goes on from there.
///
/// Kept in one small file that is replaced as a whole: 0 magic "QMF1", 4 version u32, 8 XXH3 of the rest u64, and
/// behind it a BSON document.
struct Manifest: Sendable, Equatable {
    /// Drawn when the directory was made: files of another one are strangers.
    var store: UInt64
    /// Each opening begins another.
    var epoch: UInt64 = 0
    /// Whether the store was closed in good order.
    var isClean = true
    /// Number of the last batch that runs and oplog segments hold.
    var checkpoint: UInt64 = 0
    /// Where the journal's frames behind that batch begin.
    var journal = JournalPosition(segment: 1, offset: JournalFormat.headerBytes)
    /// Oldest first.
    var runs: [Run] = []
    var nextRun: UInt64 = 1
    var oplog = OplogState()

    private static let magic: UInt32 = 0x3146_4D51
    private static let version: UInt32 = 1

    // MARK: Writing

    /// Replaces the one on disk; durable when this returns.
    func write(_ disk: any Disk, _ layout: FileLayout, _ mutants: Mutants) throws(DiskError) {
        let buffer = ByteBuffer()
        buffer.append(littleEndian: Manifest.magic)
        buffer.append(littleEndian: Manifest.version)
        let body = document.withView { [UInt8]($0.bytes) }
        buffer.append(littleEndian: body.withUnsafeBytes { chash_xxh3_64($0.baseAddress, $0.count) })
        buffer.append(body)
        let file = try disk.open(layout.newManifest, create: true)
        try file.resize(to: 0)
        try file.write(buffer.bytes, at: 0)
        try file.sync()
        try disk.rename(layout.newManifest, to: layout.manifest)
        if !mutants.isActive(.manifestNotNamed) { try disk.syncDirectory(layout.root) }
    }

    private var document: Document {
        Document { writer in
            writer.append("store", int64: Int64(bitPattern: store))
            writer.append("epoch", int64: Int64(bitPattern: epoch))
            writer.append("clean", bool: isClean)
            writer.append("checkpoint", int64: Int64(bitPattern: checkpoint))
            writer.append("journalSegment", int64: Int64(bitPattern: journal.segment))
            writer.append("journalOffset", int64: Int64(journal.offset))
            writer.append("nextRun", int64: Int64(bitPattern: nextRun))
            writer.array("runs") { list in
                for run in runs {
                    list.document {
                        $0.append("number", int64: Int64(bitPattern: run.number))
                        $0.append("bytes", int64: Int64(run.bytes))
                        $0.append("rawBytes", int64: Int64(run.rawBytes))
                    }
                }
            }
            writer.append("nextOplogSegment", int64: Int64(bitPattern: oplog.nextSegment))
            writer.append("oplogDroppedThrough", timestamp: oplog.droppedThrough)
            writer.array("oplog") { list in
                for segment in oplog.segments {
                    list.document {
                        $0.append("number", int64: Int64(bitPattern: segment.number))
                        $0.append("bytes", int64: Int64(segment.bytes))
                        $0.append("first", timestamp: segment.first)
                        $0.append("last", timestamp: segment.last)
                        guard let content = segment.content else { return }
                        $0.append("firstTerm", int64: content.firstTerm)
                        $0.append("lastTerm", int64: content.lastTerm)
                        $0.append("count", int64: Int64(content.count))
                        $0.append("rawBytes", int64: Int64(content.rawBytes))
                    }
                }
            }
        }
    }

    // MARK: Reading

    /// nil when there is none.
    static func read(_ disk: any Disk, _ layout: FileLayout) throws -> Manifest? {
        guard let file = try disk.openExisting(layout.manifest) else { return nil }
        let size = try file.size()
        guard size >= 16 + 5, size <= Limits.documentBytesMax else {
            throw StorageDamage(layout.manifest, offset: 0, "it has \(size) bytes")
        }
        let buffer = ByteBuffer(capacity: size)
        let room = UnsafeMutableRawBufferPointer(start: buffer.extend(by: size), count: size)
        guard try file.read(into: room, at: 0) == size else {
            throw StorageDamage(layout.manifest, offset: 0, "it became shorter while it was read")
        }
        let body = UnsafeRawBufferPointer(rebasing: buffer.bytes[16...])
        guard UInt32(littleEndian: buffer.bytes.load(as: UInt32.self)) == magic else {
            throw StorageDamage(layout.manifest, offset: 0, "it is no manifest")
        }
        let version = UInt32(littleEndian: buffer.bytes.load(fromByteOffset: 4, as: UInt32.self))
        guard version == Manifest.version else {
            throw StorageDamage(
                newer: layout.manifest, version: Int(clamping: version), known: Int(Manifest.version))
        }
        guard
            UInt64(littleEndian: buffer.bytes.load(fromByteOffset: 8, as: UInt64.self))
                == chash_xxh3_64(body.baseAddress, body.count),
            let view = try? DocumentView.validate(body), let manifest = Manifest(view)
        else { throw StorageDamage(layout.manifest, offset: 8, "the checksum does not fit the content") }
        return manifest
    }

    private init?(_ view: DocumentView) {
        func number(_ value: ValueView?) -> UInt64? { value?.asInt64.map { UInt64(bitPattern: $0) } }
        func bytes(_ value: ValueView?) -> Int? { value?.asInt64.flatMap { $0 >= 0 ? Int(exactly: $0) : nil } }
        guard let store = number(view["store"]), let epoch = number(view["epoch"]),
            let isClean = view["clean"]?.asBool, let checkpoint = number(view["checkpoint"]),
            let segment = number(view["journalSegment"]), let offset = bytes(view["journalOffset"]),
            let nextRun = number(view["nextRun"]), let runs = view["runs"]?.asArray,
            let nextOplog = number(view["nextOplogSegment"]),
            let droppedThrough = view["oplogDroppedThrough"]?.asTimestamp, let oplog = view["oplog"]?.asArray
        else { return nil }
        self.init(store: store)
        self.epoch = epoch
        self.isClean = isClean
        self.checkpoint = checkpoint
        journal = JournalPosition(segment: segment, offset: offset)
        self.nextRun = nextRun
        for element in runs {
            guard let run = element.value.asDocument, let number = number(run["number"]),
                let length = bytes(run["bytes"]), let rawBytes = bytes(run["rawBytes"])
            else { return nil }
            self.runs.append(Run(number: number, bytes: length, rawBytes: rawBytes))
        }
        self.oplog.nextSegment = nextOplog
        self.oplog.droppedThrough = droppedThrough
        for element in oplog {
            guard let segment = element.value.asDocument, let number = number(segment["number"]),
                let length = bytes(segment["bytes"]), let first = segment["first"]?.asTimestamp,
                let last = segment["last"]?.asTimestamp
            else { return nil }
            var found = OplogSegment(number: number, bytes: length, first: first, last: last)
            if let firstTerm = segment["firstTerm"]?.asInt64, let lastTerm = segment["lastTerm"]?.asInt64,
                let count = bytes(segment["count"]), let rawBytes = bytes(segment["rawBytes"])
            {
                found.content = OplogSegment.Content(
                    firstTerm: firstTerm, lastTerm: lastTerm, count: count, rawBytes: rawBytes)
            }
            self.oplog.segments.append(found)
        }
    }

    init(store: UInt64) { self.store = store }
}
