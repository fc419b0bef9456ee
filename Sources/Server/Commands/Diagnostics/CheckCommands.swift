internal import BSON
internal import Core
internal import Data

/// `validate` and `dbHash`: whether what is stored agrees with itself, and with another member. Both look at everything
/// in one step of the loop.
enum CheckCommands {
    static func add(to table: inout CommandTable) {
        table.add(
            Command("validate", [.read], help: "whether a collection agrees with its indexes") { context in
                try context.checkReadable()
                let namespace = try context.namespace()
                guard let collection = context.node.data.catalog.find(namespace) else {
                    throw ServerError(.namespaceNotFound, "Collection '\(namespace)' does not exist to validate.")
                }
                write(try context.node.data.validate(collection), namespace, to: context.writer)
                return .done
            })
        table.add(
            Command("dbHash", [.read], help: "one hash for each collection, equal where the data is", run: hash),
            aliases: ["dbhash"])
    }

    private static func write(_ report: ValidationReport, _ namespace: Namespace, to writer: DocumentWriter) {
        writer.append("ns", string: namespace.fullName)
        writer.append("nInvalidDocuments", int32: 0)
        writer.append("nNonCompliantDocuments", int32: 0)
        writer.append("nrecords", int32: Int32(clamping: report.records))
        writer.append("nIndexes", int32: Int32(clamping: report.keysPerIndex.count))
        writer.document("keysPerIndex") { writer in
            for index in report.keysPerIndex { writer.append(index.name, .int32(Int32(clamping: index.keys))) }
        }
        writer.document("indexDetails") { writer in
            for index in report.keysPerIndex {
                let isValid = !report.errors.contains { $0.hasPrefix("index \(index.name) ") }
                writer.document(index.name) { $0.append("valid", bool: isValid) }
            }
        }
        writer.append("valid", bool: report.errors.isEmpty)
        writer.append("repaired", bool: false)
        writer.array("warnings") { _ in }
        writer.array("errors") { for error in report.errors { $0.append(string: error) } }
        writer.array("extraIndexEntries") { _ in }
        writer.array("missingIndexEntries") { _ in }
        writer.array("corruptRecords") { _ in }
    }

    private static func hash(_ context: CommandContext) throws -> CommandOutcome {
        try context.checkReadable()
        let node = context.node
        let startedAt = node.runtime.now
        var wanted: Set<String>?
        if let value = context.body["collections"] {
            guard let names = value.asArray else { throw wrongType("dbHash.collections", value, "array") }
            wanted = Set(names.compactMap { $0.value.asString })
        }
        let hash = try node.data.hash(database: context.database)
        let collections = (hash["collections"]?.asDocument?.fields ?? []).filter { wanted?.contains($0.key) ?? true }
        let catalogued = node.data.catalog.collections(in: context.database)
        let writer = context.writer
        writer.append("host", string: node.advertisedName)
        writer.document("collections") { writer in for (name, hash) in collections { writer.append(name, hash) } }
        writer.array("capped") { array in
            for collection in catalogued where collection.options.capped != nil {
                array.append(string: collection.namespace.collection)
            }
        }
        writer.document("uuids") { writer in
            for collection in catalogued
            where collections.contains(where: { $0.key == collection.namespace.collection }) {
                writer.append(collection.namespace.collection, collection.uuid.value)
            }
        }
        writer.append("md5" as String, hash["md5"] ?? .null)
        writer.append("timeMillis", int32: Int32(clamping: (node.runtime.now - startedAt).wholeMilliseconds))
        return .done
    }
}
