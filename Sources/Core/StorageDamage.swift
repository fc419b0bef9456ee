/// Why a data directory cannot be used: what was found, where, and what can be done. Nothing in it was changed.
public struct StorageDamage: Error, CustomStringConvertible {
    /// What was found, where, and what can be done.
    public let description: String

    /// Damage that needs words of its own.
    public init(_ description: String) { self.description = description }

    /// Something that was durable is no longer what it was.
    public init(_ path: String, offset: Int, _ what: String) {
        description =
            "\(path) is damaged at byte \(offset): \(what). Nothing was changed. A member of a replica set can be "
            + "started with an empty directory, and is then cloned from another one; otherwise restore a backup"
    }

    /// A file that a later version of the program wrote.
    public init(newer path: String, version: Int, known: Int) {
        description =
            "\(path) has the format version \(version), and this program reads up to \(known): start the version that "
            + "wrote it"
    }
}
