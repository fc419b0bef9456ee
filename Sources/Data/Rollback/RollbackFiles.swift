import BSON
import Core

/// Keeps lost documents in files, as MongoDB does: `rollback/<collection UUID>/removed.<time>.<rollback id>.bson` in
/// the data directory, each a sequence of documents, which `bsondump` and PyMongo's `bson.decode_file_iter` read.
///
/// The names follow from the rollback's mark, so one that was interrupted and begins again replaces what it has
/// written.
final class RollbackFiles: RollbackArchive {
    private let directory: DataDirectory
    private let runtime: any NodeRuntime
    private let writer: RollbackFileWriter
    private let bytesMax: Int
    /// What is to be written, by file.
    private var pieces: [RollbackFileWriter.Piece] = []
    private var byteCount = 0
    /// The file that the last document belongs to.
    private var path: String?

    init(_ directory: DataDirectory, _ runtime: any NodeRuntime) {
        self.directory = directory
        self.runtime = runtime
        writer = RollbackFileWriter(directory.disk, syncs: !runtime.hasMutant(.rollbackFileNotSynced))
        bytesMax = runtime.buggified("rollback files are written often", Limits.rollbackWriteBytes, 200)
    }

    var place: String { "in files below \(directory.rollback)" }
    var isOnDisk: Bool { true }
    var isFull: Bool { byteCount >= bytesMax }

    /// What was written is written over.
    func discard(rollbackID: Int32) throws {}

    func keep(_ lost: LostDocument, in rollback: RollbackMark) throws {
        let folder = "\(directory.rollback)/\(lost.uuid)"
        let path = "\(folder)/\(RollbackFiles.name(of: rollback))"
        if path != self.path {
            self.path = path
            runtime.log.log(.warning, "replication", "rollback file of \(lost.namespace): \(path)")
        }
        if pieces.last?.path != path { pieces.append(RollbackFileWriter.Piece(folder: folder, path: path)) }
        pieces[pieces.count - 1].bytes += lost.document.bytes
        byteCount += lost.document.byteCount
    }

    /// `removed.2020-02-19T04-57-11.3.bson`.
    static func name(of rollback: RollbackMark) -> String {
        let second = rollback.began.milliseconds / 1000 * 1000
        let time = (DateText.format(second) ?? "\(second / 1000)").filter { $0 != "Z" }.map { $0 == ":" ? "-" : $0 }
        return "removed.\(String(time)).\(rollback.rollbackID).bson"
    }

    func write(isLast: Bool) async throws {
        let (writer, pieces) = (writer, pieces)
        try await runtime.onHelper { try writer.write(pieces, isLast: isLast) }
        self.pieces = []
        byteCount = 0
    }

    func finish(_ rollback: RollbackMark) throws {}
}

/// Writes the files of one rollback, one after the other. On helper threads, in one call at a time.
private final class RollbackFileWriter: @unchecked Sendable {
    /// Documents for one file, behind those that it was given before.
    struct Piece: Sendable {
        let folder: String
        let path: String
        var bytes: [UInt8] = []
    }

    private let disk: any Disk
    private let syncs: Bool
    private var file: (any DiskFile)?
    private var folder = ""
    private var size = 0
    /// How many pieces of the present call are written: one that has failed comes again.
    private var done = 0

    /// - Parameter syncs: false with a bug planted.
    init(_ disk: any Disk, syncs: Bool) {
        self.disk = disk
        self.syncs = syncs
    }

    func write(_ pieces: [Piece], isLast: Bool) throws {
        for piece in pieces[done...] {
            if file?.path != piece.path {
                try close()
                try open(piece)
            }
            try write(piece.bytes)
            done += 1
        }
        if isLast { try close() }
        done = 0
    }

    private func open(_ piece: Piece) throws {
        try disk.makeDirectory(piece.folder)
        let opened = try disk.open(piece.path, create: true)
        // What an interrupted rollback has left.
        try opened.resize(to: 0)
        (file, folder, size) = (opened, piece.folder, 0)
    }

    private func write(_ bytes: [UInt8]) throws {
        guard let file else { return }
        try bytes.withUnsafeBytes { try file.write($0, at: size) }
        size += bytes.count
    }

    /// What the file holds, and that it is there, survives a power cut from here on.
    private func close() throws {
        guard let file else { return }
        do { if syncs { try file.sync() } } catch {
            // What was written since the last one may be gone, whatever reads say: there is no second try.
            throw DiskError(.other, error.operation, error.path, error.reason)
        }
        try disk.syncDirectory(folder)
        self.file = nil
    }
}
