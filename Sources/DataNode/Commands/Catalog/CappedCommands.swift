internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `convertToCapped` and `cloneCollectionAsCapped`.
enum CappedCommands {
    /// Deletes what a collection that was made capped has no room for.
    static func trim(_ collection: Collection, _ context: CommandContext) async throws {
        try await context.inWriteSlices { try context.node.data.trimToSize(collection, $0, until: $1).ended }
    }

    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "convertToCapped", [.write], .convertToCapped,
                help: "makes a collection capped; its newest documents stay"
            ) { context in
                try context.checkWritable()
                let namespace = try context.namespace()
                let concern = try context.writeConcern()
                let capped = try CollectionOptions.Capped(size: context.body["size"])
                return .later {
                    let data = context.node.data
                    let collection = try data.convertToCapped(namespace, capped, try context.writeContext())
                    try await trim(collection, context)
                    try await context.awaitWriteConcern(context.node.lastOpTime, concern)
                }
            })
        table.add(
            Command(
                "cloneCollectionAsCapped", [.write], .cloneCollectionAsCapped,
                help: "copies a collection into a new capped one"
            ) { context in
                try context.checkWritable()
                guard context.argument.type == .string else {
                    throw wrongType("cloneCollectionAsCapped", context.argument, "string")
                }
                let from = try context.namespace()
                let to = try Namespace(
                    validating: context.database, collection: context.body["toCollection"]?.asString ?? "")
                let concern = try context.writeConcern()
                let capped = try CollectionOptions.Capped(size: context.body["size"])
                return .later {
                    let copy = try CappedCopy(context.node.data, from: from, to: to, capped, try context.writeContext())
                    try await context.inWriteSlices { try copy.run($0, until: $1).ended }
                    try await context.awaitWriteConcern(context.node.lastOpTime, concern)
                }
            })
    }
}
