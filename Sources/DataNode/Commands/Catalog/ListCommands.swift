internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `listDatabases`, `listCollections`, `listIndexes`: what is there.
enum ListCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "listDatabases", [.read, .adminOnly, .stable], .listDatabases, help: "the databases, with their sizes"
            ) { context in
                try context.checkReadable()
                try listDatabases(context)
                return .done
            })
        table.add(
            Command("listCollections", [.read, .stable], .listCollections, help: "the collections of a database") {
                context in
                try context.checkReadable()
                return try listCollections(context)
            })
        table.add(
            Command(
                "listIndexes", [.read, .stable], .listIndexes, help: "the indexes of a collection", run: listIndexes))
    }

    private static func listIndexes(_ context: CommandContext) throws -> CommandOutcome {
        try context.checkReadable()
        let namespace = try context.namespace()
        let collection = try context.node.data.collection(namespace)
        let showsBuilds = context.body["includeBuildUUIDs"]?.isTruthy ?? false
        let wraps = context.body["includeIndexBuildInfo"]?.isTruthy ?? false
        guard !showsBuilds || !wraps else {
            throw ServerError(
                .invalidOptions, "includeBuildUUIDs and includeIndexBuildInfo exclude one another")
        }
        let indexes = showsBuilds || wraps ? collection.indexes : collection.readyIndexes
        let clustered = collection.options.clustered?.definition
        let documents = indexes.map { index -> Document in
            if let clustered, index === collection.indexes.first { return clustered }
            let id = index.state == .building ? index.buildID?.value : nil
            guard wraps || id != nil else { return index.definition }
            return Document { writer in
                writer.append("spec", index.definition)
                guard let id else { return }
                if wraps {
                    writer.document("indexBuildInfo") { $0.append("buildUUID" as String, id) }
                } else {
                    writer.append("buildUUID" as String, id)
                }
            }
        }
        return try answer(context, documents, namespace)
    }

    private static func filter(_ context: CommandContext) throws(ServerError) -> Filter? {
        guard let value = context.body["filter"] else { return nil }
        guard let view = value.asDocument else { throw wrongType("\(context.command.name).filter", value, "object") }
        return try Filter(view, context: context.queryContext())
    }

    private static func listDatabases(_ context: CommandContext) throws {
        let node = context.node
        let filter = try filter(context)
        let namesOnly = context.body["nameOnly"]?.isTruthy ?? false
        var total: Int64 = 0
        try context.writer.array("databases") { (array: inout ArrayWriter) throws in
            for name in node.data.catalog.databases {
                let size = node.data.catalog.collections(in: name).reduce(0) { $0 + $1.dataBytes }
                let entry = Document { writer in
                    writer.append("name", string: name)
                    if !namesOnly {
                        writer.append("sizeOnDisk", int64: Int64(size))
                        writer.append("empty", bool: false)
                    }
                }
                if let filter, try !entry.withView({ try filter.matches($0) }) { continue }
                total += Int64(size)
                array.append(entry)
            }
        }
        if !namesOnly {
            context.writer.append("totalSize", int64: total)
            context.writer.append("totalSizeMb", int64: total >> 20)
        }
    }

    private static func listCollections(_ context: CommandContext) throws -> CommandOutcome {
        let filter = try filter(context)
        let namesOnly = context.body["nameOnly"]?.isTruthy ?? false
        let database = context.database
        var entries: [Document] = []
        for collection in context.node.data.catalog.collections(in: database) {
            let entry = Document { writer in
                writer.append("name", string: collection.namespace.collection)
                writer.append("type", string: "collection")
                guard !namesOnly else { return }
                writer.document("options") { collection.options.write(to: $0) }
                writer.document("info") {
                    $0.append("readOnly", bool: false)
                    $0.append("uuid" as String, collection.uuid.value)
                }
                if let index = collection.indexes.first { writer.append("idIndex", index.definition) }
            }
            if let filter, try !entry.withView({ try filter.matches($0) }) { continue }
            entries.append(entry)
        }
        for view in try context.node.data.views(in: database) {
            let entry = Document { writer in
                writer.append("name", string: view.namespace.collection)
                writer.append("type", string: "view")
                guard !namesOnly else { return }
                writer.document("options") { view.write(to: $0) }
                writer.document("info") { $0.append("readOnly", bool: true) }
            }
            if let filter, try !entry.withView({ try filter.matches($0) }) { continue }
            entries.append(entry)
        }
        if database == "local", context.node.role.isReplicated {
            let oplog = Document { writer in
                writer.append("name", string: "oplog.rs")
                writer.append("type", string: "collection")
                guard !namesOnly else { return }
                writer.document("options") {
                    $0.append("capped", bool: true)
                    $0.append("size", int64: Int64(context.node.data.oplog.bytesMax))
                    $0.append("autoIndexId", bool: false)
                }
                writer.document("info") { $0.append("readOnly", bool: false) }
            }
            let isWanted = try filter.map { filter in try oplog.withView { try filter.matches($0) } } ?? true
            if isWanted { entries.append(oplog) }
        }
        return try answer(context, entries, Namespace(database, "$cmd.listCollections"))
    }

    /// Answers with a cursor that has as many documents in its first batch as the client wants: all, unless it says so.
    private static func answer(
        _ context: CommandContext, _ documents: [Document], _ namespace: Namespace
    ) throws -> CommandOutcome {
        let batchSize = context.body["cursor"]?.asDocument?["batchSize"]?.asInteger.map { Int(clamping: $0) }
        return try ReadGate(withoutConcern: context).run { _ in
            FirstBatch(context, of: DocumentList(documents), namespace, size: batchSize ?? .max)
        }
    }
}
