internal import BSON
internal import Core
internal import Data

/// `convertToCapped` and `cloneCollectionAsCapped`.
enum CappedCommands {
    static func add(to table: inout CommandTable) {
        table.add(
            Command("convertToCapped", [.write], help: "makes a collection capped; its newest documents stay") {
                context in
                try context.checkFields { $0 == "size" }
                try context.checkWritable()
                let namespace = try context.namespace()
                let concern = try context.writeConcern()
                let capped = try CollectionOptions.Capped(size: context.body["size"])
                return .later { context in
                    let data = context.node.data
                    let collection = try data.convertToCapped(namespace, capped, try context.writeContext())
                    while case .yield = try data.trimToSize(
                        collection, try context.writeContext(), until: context.runtime.loopSliceEnd)
                    {
                        try await context.awaitNextSlice()
                    }
                    try await context.awaitWriteConcern(context.node.lastOpTime, concern)
                }
            })
        table.add(
            Command("cloneCollectionAsCapped", [.write], help: "copies a collection into a new capped one") { context in
                try context.checkFields { key in
                    switch key {
                    case "toCollection", "size": true
                    default: false
                    }
                }
                try context.checkWritable()
                let from = try context.namespace()
                guard let name = context.body["toCollection"] else {
                    throw ServerError(
                        .missingField,
                        "BSON field 'cloneCollectionAsCapped.toCollection' is missing but a required field")
                }
                let to = try context.namespace(collection: name, field: "toCollection")
                let concern = try context.writeConcern()
                let capped = try CollectionOptions.Capped(size: context.body["size"])
                return .later { context in
                    let copy = try CappedCopy(context.node.data, from: from, to: to, capped, try context.writeContext())
                    while case .yield = try copy.run(try context.writeContext(), until: context.runtime.loopSliceEnd) {
                        try await context.awaitNextSlice()
                    }
                    try await context.awaitWriteConcern(context.node.lastOpTime, concern)
                }
            })
    }
}
