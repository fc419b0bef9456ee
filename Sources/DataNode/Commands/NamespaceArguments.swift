internal import BSON
internal import Core
internal import Query
internal import Data
internal import Frontend

extension CommandContext {
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
