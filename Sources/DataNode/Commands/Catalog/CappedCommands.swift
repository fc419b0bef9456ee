internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `convertToCapped` and `cloneCollectionAsCapped`.
enum CappedCommands {
    /// Deletes what a collection that was made capped has no room for.
    static func trim(_ collection: Collection, _ context: CommandContext) async throws {
        while case .yield = try context.node.data.trimToSize(
            collection, try context.writeContext(), until: context.runtime.loopSliceEnd)
        {
            try await context.awaitNextSlice()
        }
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
                    while case .yield = try copy.run(try context.writeContext(), until: context.runtime.loopSliceEnd) {
                        try await context.awaitNextSlice()
                    }
                    try await context.awaitWriteConcern(context.node.lastOpTime, concern)
                }
            })
    }
}
