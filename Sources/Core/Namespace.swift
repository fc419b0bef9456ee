import BSON

/// The name of a collection: database and collection, as in `shop.orders`.
public struct Namespace: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let database: String
    public let collection: String

    /// Takes names that are known to be valid. Names from outside go through `init(validating:collection:)`.
    public init(_ database: String, _ collection: String) {
        self.database = database
        self.collection = collection
    }

    /// Checks names from outside by MongoDB's rules; `InvalidNamespace` (73) says which one is broken.
    public init(validating database: String, collection: String) throws(ServerError) {
        try Namespace.checkDatabase(database)
        try Namespace.checkCollection(collection)
        guard database.utf8.count + 1 + collection.utf8.count <= Limits.namespaceBytesMax else {
            throw ServerError(
                .invalidNamespace,
                "Fully qualified namespace is too long. Namespace: \(database).\(collection) "
                    + "Max: \(Limits.namespaceBytesMax)")
        }
        self.init(database, collection)
    }

    /// Splits `database.collection` at the first dot and checks both.
    public init(validating fullName: String) throws(ServerError) {
        let bytes = fullName.utf8
        guard let dot = bytes.firstIndex(of: UInt8(ascii: ".")) else {
            throw ServerError(.invalidNamespace, "Invalid namespace specified '\(fullName)'")
        }
        try self.init(
            validating: String(fullName[..<dot]), collection: String(fullName[fullName.index(after: dot)...]))
    }

    /// Splits a name that is known to be valid; nil when there is no dot.
    public init?(fullName: String) {
        guard let dot = fullName.utf8.firstIndex(of: UInt8(ascii: ".")) else { return nil }
        self.init(String(fullName[..<dot]), String(fullName[fullName.index(after: dot)...]))
    }

    public var description: String { "\(database).\(collection)" }
    public var fullName: String { description }

    public static func < (a: Namespace, b: Namespace) -> Bool {
        (a.database, a.collection) < (b.database, b.collection)
    }

    /// Whether writes to it stay on this member: the `local` database, and what a member profiles.
    public var isLocal: Bool { database == "local" || isProfile }
    /// Where the profiler of a database keeps its entries.
    public var isProfile: Bool { collection == "system.profile" }
    public static func profile(of database: String) -> Namespace { Namespace(database, "system.profile") }
    /// Where a shard keeps what it owns: replicated as all data, and written by the shard alone.
    public var isAboutOwnership: Bool { database == "config" && collection.hasPrefix("shard.") }
    /// The oplog as clients read it.
    public var isOplog: Bool { database == "local" && collection == "oplog.rs" }
    /// What a pipeline over no collection names: `{aggregate: 1}`. No collection can have that name.
    public static func withoutCollection(_ database: String) -> Namespace { Namespace(database, "$cmd.aggregate") }
    /// Whether it stands for no collection.
    public var isWithoutCollection: Bool { collection == "$cmd.aggregate" }
    /// Whether the name is one of the server's own.
    public var isSystem: Bool { collection.hasPrefix("system.") }
    /// The namespace that commands of the database are sent and logged under.
    public static func command(_ database: String) -> String { "\(database).$cmd" }

    // MARK: Rules

    /// Throws when `name` cannot be the name of a database.
    public static func checkDatabase(_ name: String) throws(ServerError) {
        let bytes = name.utf8
        guard !bytes.isEmpty, bytes.count <= Limits.databaseNameBytesMax else {
            throw ServerError(.invalidNamespace, "Invalid database name: '\(name)'")
        }
        for byte in bytes where forbiddenInDatabase(byte) {
            throw ServerError(.invalidNamespace, "Invalid database name: '\(name)'")
        }
    }

    private static func forbiddenInDatabase(_ byte: UInt8) -> Bool {
        switch byte {
        case 0, UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "."), UInt8(ascii: " "), UInt8(ascii: "\""),
            UInt8(ascii: "$"):
            true
        default: false
        }
    }

    /// Throws when `name` cannot be the name of a collection.
    public static func checkCollection(_ name: String) throws(ServerError) {
        let bytes = name.utf8
        func refuse(_ why: String) -> ServerError {
            ServerError(.invalidNamespace, "Invalid collection name: '\(name)': \(why)")
        }
        guard let first = bytes.first, let last = bytes.last else {
            throw ServerError(.invalidNamespace, "Collection names cannot be empty")
        }
        if first == UInt8(ascii: ".") || last == UInt8(ascii: ".") { throw refuse("it must not start or end with '.'") }
        var previous: UInt8 = 0
        for byte in bytes {
            if byte == 0 { throw refuse("it must not contain the null character") }
            if byte == UInt8(ascii: "$") { throw refuse("it must not contain '$'") }
            if byte == UInt8(ascii: "."), previous == byte { throw refuse("it must not contain an empty part") }
            previous = byte
        }
    }

    /// Throws when a client may not write to the collection or create it.
    public func checkUserWritable() throws(ServerError) {
        if isOplog {
            throw ServerError(.invalidNamespace, "cannot write to '\(self)': only replication writes the oplog")
        }
        if isAboutOwnership {
            throw ServerError(.invalidNamespace, "cannot write to '\(self)': only the shard itself does")
        }
        guard isSystem else { return }
        if isProfile { throw ServerError(.invalidNamespace, "cannot write to '\(self)': only the profiler does") }
        switch (database, collection) {
        case ("admin", _), ("config", _), ("local", _), (_, "system.js"): return
        default: throw ServerError(.invalidNamespace, "cannot write to '\(self)'")
        }
    }
}
