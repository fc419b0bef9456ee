import BSON
import Core

/// Frames of the source's oplog that an initial sync holds until its clone is through: as they came, in the order in
/// which they came, in a local table of the storage engine, so that what an engine keeps on disk does not take memory.
public final class InitialSyncBuffer {
    public let bytesMax: Int
    public private(set) var byteCount = 0
    private let versions: VersionStore
    /// The numbers of the first frame and of the next one; their keys.
    private var first: UInt64 = 0
    private var next: UInt64 = 0

    /// Begins empty, also when an earlier initial sync has left something.
    public init(_ store: DataStore, bytesMax: Int) throws {
        versions = store.versions
        self.bytesMax = bytesMax
        try removeAll()
    }

    public var isEmpty: Bool { first == next }
    /// Whether no further frame should be added.
    public var isFull: Bool { byteCount >= bytesMax }

    public func append(_ frame: UnsafeRawBufferPointer) throws {
        try withKey(next) { key in
            try versions.step(at: nil) {
                try $0.put(DataTables.initialSyncBuffer, .local, key: key, value: frame)
            }
        }
        next += 1
        byteCount += frame.count
    }

    /// Calls `body` with the oldest frame, which is valid until something is written.
    /// - Throws: `StorageNotResident` as steps do.
    public func withFirst<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try withKey(first) { key in
            switch try versions.get(DataTables.initialSyncBuffer, key, at: .latest) {
            case .found(let frame): return try body(frame)
            case .notResident: throw StorageNotResident(DataTables.initialSyncBuffer, key)
            case .absent: throw InvariantViolation("the initial sync's frame \(first) of \(next) is not there")
            }
        }
    }

    public func removeFirst() throws {
        let removed = try withFirst { $0.count }
        try withKey(first) { key in
            try versions.step(at: nil) { try $0.delete(DataTables.initialSyncBuffer, .local, key: key) }
        }
        first += 1
        byteCount -= removed
    }

    public func removeAll() throws {
        try versions.step(at: nil) { $0.dropTable(DataTables.initialSyncBuffer) }
        first = next
        byteCount = 0
    }

    private func withKey<R>(_ number: UInt64, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try withUnsafeBytes(of: number.bigEndian, body)
    }
}
