internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `collStats` and `dbStats`: how much is stored.
enum StatisticsCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("collStats", [.read], .collStats, help: "how much a collection stores") { context in
                try context.checkReadable()
                let namespace = try context.namespace()
                if context.node.data.catalog.find(namespace) == nil { try context.node.data.checkNoView(namespace) }
                write(namespace, context.node, scale: try scale(context), to: context.writer)
                return .done
            }, aliases: ["collstats"])
        table.add(
            Command("dbStats", [.read], .scale, help: "how much a database stores") { context in
                try context.checkReadable()
                writeDatabase(context.database, context.node, scale: try scale(context), to: context.writer)
                return .done
            }, aliases: ["dbstats"])
    }

    private static func scale(_ context: CommandContext) throws(ServerError) -> Int64 {
        guard let value = context.body["scale"] else { return 1 }
        guard let scale = value.asNumber else { throw wrongType("\(context.command.name).scale", value, "long") }
        guard scale >= 1, scale < 1e15 else {
            throw ServerError(.badValue, "BSON field 'scale' value must be >= 1, actual value '\(scale)'")
        }
        return Int64(scale)
    }

    /// A number as the shell shows it: an int where it fits.
    private static func append(_ key: StaticString, _ value: Int64, to writer: DocumentWriter) {
        if let narrow = Int32(exactly: value) {
            writer.append(key, int32: narrow)
        } else {
            writer.append(key, int64: value)
        }
    }

    /// The fields of `collStats`, and of `$collStats`' `storageStats`.
    static func write(_ namespace: Namespace, _ node: Node, scale: Int64, to writer: DocumentWriter) {
        writer.append("ns", string: namespace.fullName)
        if namespace.isOplog, !node.data.oplog.isEmpty { return writeOplog(node.data.oplog, scale: scale, to: writer) }
        let collection = node.data.catalog.find(namespace)
        let count = Int64(collection?.count ?? 0)
        let bytes = Int64(collection?.dataBytes ?? 0)
        append("size", bytes / scale, to: writer)
        append("count", count, to: writer)
        if count > 0 { append("avgObjSize", bytes / count, to: writer) }
        append("numOrphanDocs", 0, to: writer)
        append("storageSize", collection.map { tableBytes($0.table, node) / scale } ?? 0, to: writer)
        append("freeStorageSize", 0, to: writer)
        writer.append("capped", bool: collection?.options.capped != nil)
        if let capped = collection?.options.capped {
            append("max", capped.max ?? Int64(Int32.max), to: writer)
            append("maxSize", capped.size / scale, to: writer)
        }
        let indexes = collection?.readyIndexes ?? []
        append("nindexes", Int64(indexes.count), to: writer)
        writer.array("indexBuilds") { builds in
            for index in collection?.indexes ?? [] where index.state == .building { builds.append(string: index.name) }
        }
        let total = indexes.reduce(Int64(0)) { $0 &+ tableBytes($1.table, node) }
        append("totalIndexSize", total / scale, to: writer)
        append("totalSize", ((collection.map { tableBytes($0.table, node) } ?? 0) &+ total) / scale, to: writer)
        writer.document("indexSizes") { sizes in
            for index in indexes { sizes.append(index.name, .int64(tableBytes(index.table, node) / scale)) }
        }
        append("scaleFactor", scale, to: writer)
    }

    /// `size` is what `maxSize` bounds, the bytes that are kept: tools take the two for how full the oplog is.
    private static func writeOplog(_ oplog: Oplog, scale: Int64, to writer: DocumentWriter) {
        let count = Int64(oplog.count)
        append("size", Int64(oplog.storedBytes) / scale, to: writer)
        append("count", count, to: writer)
        if count > 0 { append("avgObjSize", Int64(oplog.byteCount) / count, to: writer) }
        append("storageSize", Int64(oplog.storedBytes) / scale, to: writer)
        writer.append("capped", bool: true)
        append("max", -1, to: writer)
        append("maxSize", Int64(oplog.bytesMax) / scale, to: writer)
        append("nindexes", 0, to: writer)
        append("totalIndexSize", 0, to: writer)
        append("totalSize", Int64(oplog.storedBytes) / scale, to: writer)
        writer.document("indexSizes") { _ in }
        append("scaleFactor", scale, to: writer)
    }

    private static func tableBytes(_ table: TableID, _ node: Node) -> Int64 {
        Int64(node.engine.statistics(table).bytes)
    }

    private static func writeDatabase(_ name: String, _ node: Node, scale: Int64, to writer: DocumentWriter) {
        var (objects, bytes, storage, indexCount, indexBytes): (Int64, Int64, Int64, Int64, Int64) = (0, 0, 0, 0, 0)
        let collections = node.data.catalog.collections(in: name)
        for collection in collections {
            objects += Int64(collection.count)
            bytes += Int64(collection.dataBytes)
            storage += tableBytes(collection.table, node)
            for index in collection.readyIndexes {
                indexCount += 1
                indexBytes += tableBytes(index.table, node)
            }
        }
        writer.append("db", string: name)
        append("collections", Int64(collections.count), to: writer)
        append("views", 0, to: writer)
        append("objects", objects, to: writer)
        writer.append("avgObjSize", double: objects > 0 ? Double(bytes) / Double(objects) : 0)
        writer.append("dataSize", double: Double(bytes / scale))
        writer.append("storageSize", double: Double(storage / scale))
        append("indexes", indexCount, to: writer)
        writer.append("indexSize", double: Double(indexBytes / scale))
        writer.append("totalSize", double: Double((storage &+ indexBytes) / scale))
        append("scaleFactor", scale, to: writer)
    }
}
