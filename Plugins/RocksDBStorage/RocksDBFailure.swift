import CRocks
import Core

/// What a call of the library ended with, as an error for people and for those who decide by its kind.
struct RocksDBFailure: Error, Sendable {
    let status: crocks_status
    /// In the library's words.
    let text: String

    init(_ status: crocks_status, _ error: UnsafePointer<crocks_error>) {
        self.status = status
        let words = withUnsafeBytes(of: error.pointee.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        text = String(words.map { $0.isNewline ? " " : $0 })
    }

    /// How a call ended; nil when it ended well.
    static func of(_ call: (UnsafeMutablePointer<crocks_error>) -> crocks_status) -> RocksDBFailure? {
        var error = crocks_error()
        let status = withUnsafeMutablePointer(to: &error) { call($0) }
        return status == CROCKS_OK ? nil : RocksDBFailure(status, &error)
    }

    /// - Parameter operation: what was done, for the line that says that it failed: `writing to`.
    func error(_ operation: String, _ directory: String) -> any Error {
        switch status {
        case CROCKS_FULL: DiskError(.full, operation, directory, text)
        case CROCKS_DAMAGED:
            StorageDamage(
                "\(directory) is damaged: \(text). A member of a replica set can be started with an empty directory, "
                    + "and is then cloned from another one; otherwise restore a backup")
        case CROCKS_UNKNOWN_FORMAT:
            StorageDamage(
                "\(directory) cannot be read by this version of RocksDB: \(text). Start the version that wrote it")
        default: DiskError(.other, operation, directory, text)
        }
    }
}
