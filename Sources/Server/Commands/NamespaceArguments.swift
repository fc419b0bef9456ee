internal import BSON
internal import Core
internal import Query
internal import Data

/// Names that a command's arguments carry.
extension CommandContext {
    /// `$db` and the collection that the command's first field names, checked.
    func namespace() throws(ServerError) -> Namespace {
        try namespace(collection: argument, field: command.name)
    }

    func namespace(collection value: ValueView, field: StaticString) throws(ServerError) -> Namespace {
        guard let name = value.asString else {
            if value.type == .string { throw ServerError(.invalidNamespace, "collection name is not UTF-8") }
            throw ServerError(
                .typeMismatch, "collection name has invalid type \(value.type.operatorName): \(field) needs a string")
        }
        return try Namespace(validating: database, collection: name)
    }

    /// The collection that the command's first field names, found by its bytes; nil when there is none or the name is
    /// bad.
    @inline(__always)
    func existingCollection() -> Collection? {
        guard let database = arguments.database, argument.type == .string, let name = argument.asStringBytes else {
            return nil
        }
        let collection = node.data.catalog.find(database: database, collection: name)
        foundCollection = collection
        return collection
    }
}

extension Node {
    /// - Throws: `InvalidNamespace` for a `$db` that cannot be a database's name.
    func checkDatabaseName(_ name: UnsafeRawBufferPointer) throws(ServerError) {
        // What is nearly every name needs no string.
        var isPlain = !name.isEmpty && name.count < 64
        for byte in name {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                continue
            default: isPlain = false
            }
        }
        if !isPlain { try Namespace.checkDatabase(String(decoding: name, as: UTF8.self)) }
    }
}

extension DocumentView {
    /// Whether the first field, which says what a document asks for, has that name.
    func isFirst(_ name: StaticString) -> Bool { first.map { $0.key == name } ?? false }
}
