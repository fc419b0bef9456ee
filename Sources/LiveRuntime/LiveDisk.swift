public import Core
import Glibc

/// The files of this machine.
public final class LiveDisk: Disk {
    public init() {}

    private static func failure(_ operation: String, _ path: String) -> DiskError {
        let code = errno
        let kind: DiskError.Kind =
            switch code {
            case ENOSPC, EDQUOT: .full
            case EROFS: .readOnly
            case EACCES, EPERM: .noPermission
            case ENOENT: .notFound
            case EWOULDBLOCK: .locked
            default: .other
            }
        return DiskError(kind, operation, path, String(cString: strerror(code)))
    }

    /// Calls again what a signal has interrupted.
    fileprivate static func retried<Count: SignedInteger>(
        _ operation: @autoclosure () -> String, _ path: String, _ call: () -> Count
    ) throws(DiskError) -> Count {
        while true {
            let result = call()
            if result >= 0 { return result }
            guard errno == EINTR else { throw failure(operation(), path) }
        }
    }

    public func makeDirectory(_ path: String) throws(DiskError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            let parent = made.isEmpty ? "/" : made
            made += "/\(part)"
            if mkdir(made, 0o755) == 0 {
                try syncDirectory(parent)
            } else if errno != EEXIST {
                throw Self.failure("making the directory", made)
            }
        }
        var information = stat()
        guard stat(path, &information) == 0 else { throw Self.failure("looking at", path) }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw DiskError(.other, "making the directory", path, "there is a file of that name")
        }
    }

    public func list(_ path: String) throws(DiskError) -> [String]? {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return nil }
            throw Self.failure("listing", path)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        let descriptor = try Self.retried("opening", path) {
            Glibc.open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0o644)
        }
        return LiveFile(path, descriptor)
    }

    public func rename(_ path: String, to other: String) throws(DiskError) {
        if Glibc.rename(path, other) != 0 { throw Self.failure("renaming to \(other)", path) }
    }

    public func remove(_ path: String) throws(DiskError) {
        if unlink(path) != 0, errno != ENOENT { throw Self.failure("removing", path) }
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = try Self.retried("opening", path) { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        defer { close(descriptor) }
        _ = try Self.retried("syncing the directory", path) { fsync(descriptor) }
    }

    public func lock(_ path: String, note: String) throws(DiskError) -> any DiskLock {
        let descriptor = try Self.retried("opening", path) { Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
        let file = LiveFile(path, descriptor)
        // Of the open file, not of the process: two members of one process exclude each other.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            guard errno == EWOULDBLOCK else { throw Self.failure("locking", path) }
            let holder = withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { bytes in
                String(decoding: bytes.prefix((try? file.read(into: bytes, at: 0)) ?? 0), as: UTF8.self)
            }
            throw DiskError(.locked, "locking", path, "held by \(holder.isEmpty ? "somebody else" : holder)")
        }
        try file.resize(to: 0)
        do {
            try Array(note.utf8).withUnsafeBytes { try file.write($0, at: 0) }
        } catch let error as DiskError {
            throw error
        } catch {
            throw DiskError(.other, "writing", path, "\(error)")
        }
        return file
    }
}

private final class LiveFile: DiskFile, DiskLock {
    let path: String
    private let descriptor: Int32

    init(_ path: String, _ descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    func size() throws(DiskError) -> Int {
        let end = try LiveDisk.retried("finding the size of", path) { lseek(descriptor, 0, SEEK_END) }
        return Int(end)
    }

    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        var done = 0
        while done < bytes.count {
            let count = try LiveDisk.retried("read of \(bytes.count) bytes at \(offset) from", path) {
                pread(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            done += try LiveDisk.retried("write of \(bytes.count) bytes at \(offset) to", path) {
                pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            }
        }
    }

    func resize(to size: Int) throws(DiskError) {
        if size > (try self.size()) {
            // Not every file system can set room aside; then it is taken as it is written.
            let code = posix_fallocate(descriptor, 0, off_t(size))
            if code == ENOSPC || code == EDQUOT {
                throw DiskError(.full, "setting \(size) bytes aside for", path, String(cString: strerror(code)))
            }
            if code == 0 { return }
        }
        _ = try LiveDisk.retried("resizing to \(size) bytes", path) { ftruncate(descriptor, off_t(size)) }
    }

    func sync() throws(DiskError) { _ = try LiveDisk.retried("syncing", path) { fdatasync(descriptor) } }
}
