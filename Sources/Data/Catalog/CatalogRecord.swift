import BSON
import Core
import Query

/// The stored form of a collection: one document with all its indexes, keyed by its table's number.
///
/// `{ns, uuid, table, since, former: [{ns, since}], options, indexes: [{spec, table, state, visibleFrom, multikey,
/// build?, recordInKey}]}`
enum CatalogRecord {
    /// The key of a collection's record.
    static func key(_ table: TableID) -> [UInt8] {
        withUnsafeBytes(of: table.rawValue.bigEndian) { [UInt8]($0) }
    }

    static func encode(_ collection: Collection) -> Document {
        Document { writer in
            writer.append("ns", string: collection.namespace.fullName)
            writer.append("uuid", collection.uuid)
            writer.append("table", int64: Int64(collection.table.rawValue))
            writer.append("since", timestamp: collection.namedSince)
            writer.array("former") { array in
                for name in collection.formerNames {
                    array.document {
                        $0.append("ns", string: name.namespace.fullName)
                        $0.append("since", timestamp: name.since)
                    }
                }
            }
            writer.document("options") { collection.options.write(to: $0) }
            writer.array("indexes") { array in
                for index in collection.indexes {
                    array.document { element in
                        element.append("spec", index.definition)
                        element.append("table", int64: Int64(index.table.rawValue))
                        element.append("state", int32: index.state.rawValue)
                        element.append("visibleFrom", timestamp: index.visibleFrom)
                        element.array("multikey") { array in
                            for path in index.spec.multikeyPaths { array.append(.int64(Int64(bitPattern: path))) }
                        }
                        if let build = index.buildID { element.append("build", build) }
                        element.append("recordInKey", bool: index.keepsRecordInKey)
                    }
                }
            }
        }
    }

    static func decode(_ view: DocumentView, kind: TableKind) throws -> Collection {
        guard let fullName = view["ns"]?.asString, let namespace = Namespace(fullName: fullName),
            let uuid = CollectionUUID(view["uuid"]), let table = tableID(view["table"]),
            let since = view["since"]?.asTimestamp, let options = view["options"]?.asDocument,
            let stored = view["indexes"]?.asArray
        else { throw InvariantViolation("a stored catalog record is not readable") }
        var indexes: [CollectionIndex] = []
        for element in stored {
            guard let index = element.value.asDocument, let spec = index["spec"]?.asDocument,
                let table = tableID(index["table"]), let stateValue = index["state"]?.asInt32,
                let state = CollectionIndex.State(rawValue: stateValue),
                let visible = index["visibleFrom"]?.asTimestamp,
                let multikey = index["multikey"]?.asArray
            else { throw InvariantViolation("a stored index record of \(fullName) is not readable") }
            var compiled = try CollectionIndex.spec(spec)
            compiled.multikeyPaths = multikey.map { UInt64(bitPattern: $0.value.asInt64 ?? -1) }
            indexes.append(
                CollectionIndex(
                    compiled, table: table, state: state, visibleFrom: visible,
                    buildID: CollectionUUID(index["build"]), keepsRecordInKey: index["recordInKey"]?.asBool))
        }
        guard let first = indexes.first, first.isIDIndex else {
            throw InvariantViolation("the stored record of \(fullName) lacks its _id index")
        }
        var formerNames: [Collection.FormerName] = []
        for element in view["former"]?.asArray ?? emptyDocument {
            guard let former = element.value.asDocument, let since = former["since"]?.asTimestamp,
                let name = former["ns"]?.asString.flatMap({ Namespace(fullName: $0) })
            else { throw InvariantViolation("a stored former name of \(fullName) is not readable") }
            formerNames.append(Collection.FormerName(namespace: name, since: since))
        }
        return Collection(
            uuid: uuid, table: table, kind: kind, namespace: namespace, namedSince: since,
            formerNames: formerNames, options: try CollectionOptions(parsing: options), indexes: indexes)
    }

    static func tableID(_ value: ValueView?) -> TableID? {
        value?.asInteger.flatMap { UInt32(exactly: $0) }.map { TableID(rawValue: $0) }
    }
}
