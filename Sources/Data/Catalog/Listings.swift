public import BSON
public import Core

/// What the catalogue commands show.
extension DataStore {
    /// One document of `listCollections` for each collection of a database, in the order of their names:
    /// `{name, type, options, info: {readOnly, uuid}, idIndex}`.
    public func listCollections(_ database: String) -> [Document] {
        var documents = catalog.collections(in: database).map { collection in
            Document { writer in
                writer.append("name", string: collection.namespace.collection)
                writer.append("type", string: "collection")
                writer.document("options") { collection.options.write(to: $0) }
                writer.document("info") { info in
                    info.append("readOnly", bool: false)
                    info.append("uuid", collection.uuid)
                }
                writer.append("idIndex", collection.idIndex.definition)
            }
        }
        if database == "local", !documents.contains(where: { $0["name"] == "oplog.rs" }), oplog.last != nil {
            documents.append([
                "name": "oplog.rs", "type": "collection",
                "options": ["capped": true, "size": .int64(Int64(oplog.bytesMax))], "info": ["readOnly": false],
            ])
        }
        return documents
    }

    /// One document of `listIndexes` for each index of a collection; `NamespaceNotFound` (26) when there is none.
    public func listIndexes(_ namespace: Namespace, includesBuilds: Bool = false) throws(ServerError) -> [Document] {
        guard let collection = catalog.find(namespace) else {
            throw ServerError(.namespaceNotFound, "ns does not exist: \(namespace)")
        }
        return collection.indexes.compactMap { index in
            if index.state == .ready { return index.definition }
            guard includesBuilds, let build = index.buildID else { return nil }
            var definition = index.definition
            definition.append("buildUUID", build.value)
            return definition
        }
    }

    /// One document of `listDatabases` for each database: `{name, sizeOnDisk, empty}`.
    public func listDatabases() -> [Document] {
        var names = catalog.databases
        if oplog.last != nil, !names.contains("local") { names.append("local") }
        return names.sorted().map { name in
            var bytes = catalog.collections(in: name).reduce(0) { $0 + storageBytes($1) }
            if name == "local" { bytes += oplog.storedBytes }
            return ["name": .string(name), "sizeOnDisk": .int64(Int64(bytes)), "empty": .bool(bytes == 0)]
        }
    }

    private func storageBytes(_ collection: Collection) -> Int {
        collection.indexes.reduce(versions.engine.statistics(collection.table).bytes) {
            $0 + versions.engine.statistics($1.table).bytes
        }
    }

    /// `collStats` of a collection; zeros when there is none, as MongoDB answers.
    public func collectionStatistics(_ namespace: Namespace, scale: Int64 = 1) -> Document {
        if namespace.isOplog { return oplogStatistics(scale) }
        let collection = catalog.find(namespace)
        return Document { writer in
            writer.append("ns", string: namespace.fullName)
            writer.append("size", int64: Int64(collection?.dataBytes ?? 0) / scale)
            writer.append("count", int64: Int64(collection?.count ?? 0))
            guard let collection else {
                writer.append("nindexes", int32: 0)
                return
            }
            if collection.count > 0 {
                writer.append("avgObjSize", int64: Int64(collection.dataBytes / collection.count))
            }
            writer.append("storageSize", int64: Int64(versions.engine.statistics(collection.table).bytes) / scale)
            writer.append("capped", bool: collection.options.capped != nil)
            if let capped = collection.options.capped {
                writer.append("maxSize", int64: capped.size / scale)
                writer.append("max", int64: capped.max ?? Int64(Int32.max))
            }
            writer.append("nindexes", int32: Int32(collection.indexes.count))
            var total: Int64 = 0
            writer.document("indexSizes") { sizes in
                for index in collection.indexes {
                    let bytes = Int64(versions.engine.statistics(index.table).bytes)
                    total += bytes
                    sizes.append(index.name, .int64(bytes / scale))
                }
            }
            writer.append("totalIndexSize", int64: total / scale)
            writer.append("scaleFactor", int64: scale)
        }
    }

    private func oplogStatistics(_ scale: Int64) -> Document {
        [
            "ns": "local.oplog.rs", "size": .int64(Int64(oplog.byteCount) / scale),
            "count": .int64(Int64(oplog.count)), "storageSize": .int64(Int64(oplog.storedBytes) / scale),
            "capped": true, "maxSize": .int64(Int64(oplog.bytesMax) / scale), "nindexes": 0,
        ]
    }

    /// `dbStats` of a database.
    public func databaseStatistics(_ database: String, scale: Int64 = 1) -> Document {
        let collections = catalog.collections(in: database)
        let objects = collections.reduce(0) { $0 + $1.count }
        let data = collections.reduce(0) { $0 + $1.dataBytes }
        let storage = collections.reduce(0) { $0 + versions.engine.statistics($1.table).bytes }
        let total = collections.reduce(0) { $0 + storageBytes($1) }
        return Document { writer in
            writer.append("db", string: database)
            writer.append("collections", int64: Int64(collections.count))
            writer.append("views", int64: 0)
            writer.append("objects", int64: Int64(objects))
            writer.append("avgObjSize", double: objects > 0 ? Double(data) / Double(objects) : 0)
            writer.append("dataSize", double: Double(data) / Double(scale))
            writer.append("storageSize", double: Double(storage) / Double(scale))
            writer.append("indexes", int64: Int64(collections.reduce(0) { $0 + $1.indexes.count }))
            writer.append("indexSize", double: Double(total - storage) / Double(scale))
            writer.append("totalSize", double: Double(total) / Double(scale))
            writer.append("scaleFactor", int64: scale)
        }
    }
}
