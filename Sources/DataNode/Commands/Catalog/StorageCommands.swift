internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// Commands about what is stored and how: `compact`, `dataSize`, `planCacheClear`, `validateDBMetadata`.
enum StorageCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "compact", [.write], .compact, help: "gives back unused space: there is none to give", run: compact))
        table.add(
            Command("dataSize", [.read], .dataSize, help: "how much a range of documents takes", run: dataSize),
            aliases: ["datasize"])
        table.add(
            Command(
                "planCacheClear", .planCacheClear, help: "forgets cached plans: plans are made anew for every query",
                run: clearPlans))
        table.add(
            Command(
                "validateDBMetadata", [.read], .validateDBMetadata,
                help: "what in the catalog a version of the API does not have",
                run: validateMetadata))
    }

    /// Engines give back what is deleted when it is deleted, so there is nothing to do, and nothing is claimed.
    private static func compact(_ context: CommandContext) throws -> CommandOutcome {
        let isDryRun = context.body["dryRun"]?.isTruthy ?? false
        if let size = context.body["freeSpaceTargetMB"]?.asNumber, size < 1 {
            throw ServerError(.badValue, "BSON field 'compact.freeSpaceTargetMB' value must be >= 1")
        }
        let namespace = try context.namespace()
        guard context.node.data.catalog.find(namespace) != nil else {
            try context.node.data.checkNoView(namespace)
            throw ServerError(.namespaceNotFound, "collection does not exist: \(namespace)")
        }
        context.writer.append(isDryRun ? "estimatedBytesFreed" : "bytesFreed", int32: 0)
        return .done
    }

    private static func dataSize(_ context: CommandContext) throws -> CommandOutcome {
        try context.checkReadable()
        guard let name = context.argument.asString else { throw wrongType("dataSize", context.argument, "string") }
        let namespace = try Namespace(validating: name)
        let isEstimate = context.body["estimate"]?.isTruthy ?? false
        let began = context.runtime.now
        let collection = context.node.data.catalog.find(namespace)
        guard context.body["min"] != nil || context.body["max"] != nil, let collection else {
            append(
                bytes: collection?.dataBytes ?? 0, count: collection?.count ?? 0, isEstimate, began, to: context)
            return .done
        }
        let range = try StoredRange(
            collection, keyPattern: try document("keyPattern", context), min: try document("min", context),
            max: try document("max", context))
        return .later {
            try await context.inReadSlices { try range.run(context.node.data, until: $0).ended }
            append(bytes: range.bytes, count: range.count, isEstimate, began, to: context)
        }
    }

    private static func document(_ field: String, _ context: CommandContext) throws(ServerError) -> DocumentView? {
        guard let value = context.body[field], value.type != .null else { return nil }
        guard let document = value.asDocument else { throw wrongType("dataSize.\(field)", value, "object") }
        return document
    }

    private static func append(
        bytes: Int, count: Int, _ isEstimate: Bool, _ began: Instant, to context: CommandContext
    ) {
        context.writer.append("estimate", bool: isEstimate)
        context.writer.append("size", int64: Int64(bytes))
        context.writer.append("numObjects", int64: Int64(count))
        context.writer.append(
            "millis", int32: Int32(clamping: (context.runtime.now - began).wholeMilliseconds))
    }

    private static func clearPlans(_ context: CommandContext) throws -> CommandOutcome {
        try context.node.data.checkNoView(context.namespace())
        if context.body["query"] == nil, context.body["sort"] != nil || context.body["projection"] != nil {
            throw ServerError(.badValue, "sort or projection provided without query")
        }
        return .done
    }

    /// Everything here is in version 1 of the API but sparse indexes, which a strict client may not create.
    private static func validateMetadata(_ context: CommandContext) throws -> CommandOutcome {
        let parameters = context.body["apiParameters"]?.asDocument
        guard parameters?["version"]?.asString == "1" else {
            throw ServerError(.apiVersionError, "API version must be \"1\"")
        }
        let database = context.body["db"]?.asString
        let name = context.body["collection"]?.asString
        if let database {
            guard !database.isEmpty else { throw ServerError(ErrorCode(rawValue: 28539), "db must not be empty") }
            guard database.utf8.count < 64, !database.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: ".") })
            else {
                throw ServerError(.invalidNamespace, "Invalid database name '\(database)'")
            }
            guard !database.contains(where: { "/\\ \"".contains($0) }) else {
                throw ServerError(ErrorCode(rawValue: 13280), "Invalid database name '\(database)'")
            }
        }
        if let name, name.hasPrefix(".") || name.utf8.contains(0) {
            throw ServerError(.invalidNamespace, "Invalid collection name '\(name)'")
        }
        context.writer.array("apiVersionErrors") { array in
            guard parameters?["strict"]?.isTruthy == true else { return }
            for collection in context.node.data.catalog.collections where !collection.namespace.isLocal {
                if let database, collection.namespace.database != database { continue }
                if let name, name != collection.namespace.collection { continue }
                for index in collection.indexes where index.spec.isSparse {
                    array.document { entry in
                        entry.append("ns", string: collection.namespace.fullName)
                        entry.append("code", int32: ErrorCode.apiStrictError.rawValue)
                        entry.append("codeName", string: ErrorCode.apiStrictError.name)
                        entry.append(
                            "errmsg", string: "The index \(index.name) is sparse, which is not in API Version 1")
                    }
                }
            }
        }
        return .done
    }
}
