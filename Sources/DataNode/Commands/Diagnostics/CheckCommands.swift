internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `validate` and `dbHash`: whether what is stored agrees with itself, and with another member.
enum CheckCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("validate", [.read, .readConcern], .validate, help: "whether a collection agrees with its indexes")
            { context in
                try checkValidate(context)
                let namespace = try context.namespace()
                return try SingleReplyRead.start(context) { context, _ in
                    guard let collection = context.node.data.catalog.find(namespace) else {
                        try context.node.data.checkNoView(namespace)
                        throw ServerError(.namespaceNotFound, "Collection '\(namespace)' does not exist to validate.")
                    }
                    let validation = CollectionValidation(context.node.data, collection)
                    return SingleReplyRead(run: validation.run) { write(validation.report, namespace, to: $0) }
                }
            })
        table.add(
            Command(
                "dbHash", [.read, .readConcern], .dbHash, help: "one hash for each collection, equal where the data is",
                run: hash),
            aliases: ["dbhash"])
    }

    private static func checkValidate(_ context: CommandContext) throws(ServerError) {
        let isFull = context.body["full"]?.isTruthy == true
        if isFull, context.body["background"]?.isTruthy == true {
            throw ServerError(
                .invalidOptions,
                "Running the validate command with both { background: true } and { full: true } is not supported.")
        }
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
        writer.array("warnings") { for warning in report.warnings { $0.append(string: warning) } }
        writer.array("errors") { for error in report.errors { $0.append(string: error) } }
        writer.array("extraIndexEntries") { _ in }
        writer.array("missingIndexEntries") { _ in }
        writer.array("corruptRecords") { _ in }
    }

    private static func hash(_ context: CommandContext) throws -> CommandOutcome {
        let node = context.node
        let startedAt = node.runtime.now
        let database = context.database
        var wanted: Set<String>?
        if let value = context.body["collections"] {
            guard let names = value.asArray else { throw wrongType("dbHash.collections", value, "array") }
            wanted = Set(names.compactMap { $0.value.asString })
        }
        return try SingleReplyRead.start(context) { context, _ in
            let hash = try DatabaseHash(context.node.data, database: database, collections: wanted)
            return SingleReplyRead(run: hash.run, write: { write(hash.result, database, startedAt, node, to: $0) }) {
                hash.close()
            }
        }
    }

    private static func write(
        _ hash: Document, _ database: String, _ startedAt: Instant, _ node: Node, to writer: DocumentWriter
    ) {
        let collections = hash["collections"]?.asDocument?.fields ?? []
        let existing = node.data.catalog.collections(in: database)
        writer.append("host", string: node.frontend.advertisedName)
        writer.document("collections") { writer in for (name, hash) in collections { writer.append(name, hash) } }
        writer.array("capped") { array in
            for collection in existing where collection.options.capped != nil {
                array.append(string: collection.namespace.collection)
            }
        }
        writer.document("uuids") { writer in
            for collection in existing
            where collections.contains(where: { $0.key == collection.namespace.collection }) {
                writer.append(collection.namespace.collection, collection.uuid.value)
            }
        }
        writer.append("md5" as String, hash["md5"] ?? .null)
        writer.append("timeMillis", int32: Int32(clamping: (node.runtime.now - startedAt).wholeMilliseconds))
    }
}
