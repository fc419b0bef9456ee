internal import Core
internal import Glibc
internal import LiveRuntime

/// Where a backup is made and where it ends up: nothing that looks whole is there before it is.
struct BackupPlace: Sendable {
    let directory: String
    var partial: String { "\(directory).partial" }
    private let disk = LiveDisk()

    /// - Throws: `UsageError` when something is there already; `DiskError`.
    init(_ path: String) throws {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard !path.isEmpty, path != "/" else { throw UsageError("DIRECTORY must name a directory to be made") }
        directory = path
        let isEmpty = { [disk] (path: String) in try disk.list(path)?.isEmpty ?? true }
        guard try isEmpty(directory) else { throw UsageError("\(directory) exists and is not empty") }
        guard try isEmpty(partial) else {
            throw UsageError(
                "\(partial) exists: another backup is under way, or one was cut off. Remove it if nobody is at it")
        }
    }

    private var parent: String {
        guard let slash = directory.lastIndex(of: "/") else { return "." }
        return slash == directory.startIndex ? "/" : String(directory[..<slash])
    }

    /// Makes the directory that the copy is made in.
    func begin() throws {
        try disk.makeDirectory(partial)
    }

    /// The copy is whole: gives it its name, durably.
    func finish() throws {
        try disk.rename(partial, to: directory)
        try disk.syncDirectory(parent)
    }

    /// There is no backup: takes away what was made.
    func abandon() { remove(partial) }

    private func remove(_ path: String) {
        for name in (try? disk.list(path)) ?? [] {
            let inner = "\(path)/\(name)"
            // What is no directory cannot be listed.
            if (try? disk.list(inner)) != nil { remove(inner) } else { _ = unlink(inner) }
        }
        _ = rmdir(path)
    }
}
