package import BSON
package import Core

/// Names that a command's arguments carry.
extension RequestContext {
    /// `$db` and the collection that the command's first field names, checked.
    package final func namespace() throws(ServerError) -> Namespace {
        try namespace(collection: argument, field: command.name)
    }

    package final func namespace(collection value: ValueView, field: StaticString) throws(ServerError) -> Namespace {
        guard let name = value.asString else {
            if value.type == .string { throw ServerError(.invalidNamespace, "collection name is not UTF-8") }
            throw ServerError(
                .invalidNamespace,
                "collection name has invalid type \(value.type.operatorName): \(field) needs a string")
        }
        return try Namespace(validating: database, collection: name)
    }
}
