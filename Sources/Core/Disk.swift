/// **Port.** The files of a machine, as storage engines need them: live on a file system, simulated with all that a
/// disk may do wrong.
///
/// Contract:
/// - Calls block: they are made on helper threads (`NodeRuntime.offload`), or before anything is served. They may come
///   from any thread, those on one file from one at a time.
/// - What was written is at once visible to reads. It survives a power cut when a later `sync` of the file has
///   returned; until then any part of it may. A file's name survives when `syncDirectory` has returned after it was
///   made, renamed or removed.
/// - An error of `sync` is for good: what was written since the last one may be lost although reads still show it.
/// - Paths are absolute or relative to the process's directory, their parts are separated by `/`.
public protocol Disk: AnyObject, Sendable {
    /// Makes a directory and those above it, durably; nothing when it is there.
    func makeDirectory(_ path: String) throws(DiskError)
    /// The names in a directory, in no order; nil when there is no such directory.
    func list(_ path: String) throws(DiskError) -> [String]?
    /// Opens a file to read and write. With `create` an empty one is made when it is not there, else that is an error.
    func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile
    /// Gives a file another name, in place of the file of that name if there is one; atomic.
    func rename(_ path: String, to other: String) throws(DiskError)
    /// Removes a file; nothing when it is not there.
    func remove(_ path: String) throws(DiskError)
    /// Makes the names in a directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
    /// Takes a lock that one holder at a time has, on a file that is made for it. The note is written into the file,
    /// for those who find it taken.
    /// - Throws: `DiskError` of kind `.locked` with the holder's note.
    func lock(_ path: String, note: String) throws(DiskError) -> any DiskLock
}

extension Disk {
    /// Opens a file that is there; nil when it is not.
    public func openExisting(_ path: String) throws(DiskError) -> (any DiskFile)? {
        do { return try open(path, create: false) } catch {
            if error.kind == .notFound { return nil }
            throw error
        }
    }
}

/// An open file. Closed when it is released.
public protocol DiskFile: AnyObject, Sendable {
    /// As it was opened.
    var path: String { get }
    /// How long it is now, in bytes.
    func size() throws(DiskError) -> Int
    /// Fills `bytes` from `offset` on; returns how many there were.
    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Writes all of `bytes`, making the file longer where needed.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError)
    /// Cuts the file, or makes it longer with room that is taken from the disk now.
    func resize(to size: Int) throws(DiskError)
    /// Makes contents and size durable.
    func sync() throws(DiskError)
}

/// A lock that is held until it is released.
public protocol DiskLock: AnyObject, Sendable {}

/// What a disk would not do.
public struct DiskError: Error, Sendable, CustomStringConvertible {
    /// What can be done about it depends on this.
    public enum Kind: Sendable {
        /// No room is left.
        case full
        case readOnly
        case noPermission
        /// There is nothing of that name.
        case notFound
        /// Somebody else holds the lock.
        case locked
        case other
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// `write of 512 bytes at 1024`.
    public let operation: String
    /// What it was done to.
    public let path: String
    /// As the system puts it.
    public let reason: String

    /// What a disk throws.
    public init(_ kind: Kind, _ operation: String, _ path: String, _ reason: String) {
        self.kind = kind
        self.operation = operation
        self.path = path
        self.reason = reason
    }

    /// One line: what was done to what, and why it failed.
    public var description: String { "\(operation) \(path): \(reason)" }
}
