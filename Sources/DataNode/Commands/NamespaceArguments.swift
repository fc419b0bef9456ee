internal import BSON
internal import Core
internal import Query
internal import Data
internal import Frontend

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
                .invalidNamespace,
                "collection name has invalid type \(value.type.operatorName): \(field) needs a string")
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
