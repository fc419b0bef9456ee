/// A key that an operation needs is not in memory: abort the step, prefetch the key (`StoragePrefetching`), start the
/// operation again.
public struct StorageNotResident: Error {
    /// Where the key belongs.
    public let table: TableID
    /// As it is to be prefetched.
    public let key: [UInt8]

    /// A key that a read met.
    public init(_ table: TableID, _ key: UnsafeRawBufferPointer) {
        self.table = table
        self.key = [UInt8](key)
    }

    /// What a scan from `bound` on meets first; an empty key stands for the ends of the table.
    public init(_ table: TableID, from bound: StorageBound) {
        switch bound {
        case .including(let key), .behind(let key): self.init(table, key)
        case .start: self.init(table, UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    /// A key that somebody holds.
    public init(table: TableID, key: [UInt8]) {
        self.table = table
        self.key = key
    }
}
