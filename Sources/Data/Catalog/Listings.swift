public import BSON
public import Core

/// What the catalog commands show.
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
}
