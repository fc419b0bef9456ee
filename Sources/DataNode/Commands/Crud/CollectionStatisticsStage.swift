internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `$collStats`: `{latencyStats, storageStats: {scale}, count: {}, queryExecStats: {}}`.
struct CollectionStatisticsStage {
    private var hasLatency = false
    /// Nil when it is not asked for.
    private var storageScale: Int64?
    private var hasCount = false
    private var hasExecution = false

    init(_ specification: Value) throws(ServerError) {
        guard let fields = specification.asDocument else {
            throw ServerError(
                ErrorCode(rawValue: 5_447_000),
                "$collStats must take a nested object but found: \(specification.type.operatorName)")
        }
        for (key, value) in fields.fields {
            guard ["latencyStats", "storageStats", "count", "queryExecStats"].contains(key) else {
                throw ServerError(.unknownField, "BSON field '$collStats.\(key)' is an unknown field.")
            }
            if case .null = value { continue }
            guard let options = value.asDocument else {
                throw CollectionStatisticsStage.wrongType(key, value, "object")
            }
            switch key {
            case "latencyStats":
                try CollectionStatisticsStage.checkLatency(options)
                hasLatency = true
            case "storageStats": storageScale = try CollectionStatisticsStage.scale(options)
            default:
                guard options.isEmpty else {
                    throw ServerError(
                        ErrorCode(rawValue: 31170), "\(key) argument to $collStats must be an empty object")
                }
                if key == "count" { hasCount = true } else { hasExecution = true }
            }
        }
    }

    private static func wrongType(_ field: String, _ value: Value, _ wanted: String) -> ServerError {
        ServerError(
            .typeMismatch,
            "BSON field '$collStats.\(field)' is the wrong type '\(value.type.operatorName)', "
                + "expected type '\(wanted)'")
    }

    private static func checkLatency(_ options: Document) throws(ServerError) {
        for (key, value) in options.fields {
            guard key == "histograms" else {
                throw ServerError(.unknownField, "BSON field '$collStats.latencyStats.\(key)' is an unknown field.")
            }
            guard case .bool(let flag) = value else { throw wrongType("latencyStats.histograms", value, "bool") }
            guard !flag else {
                throw ServerError(.notImplemented, "latencyStats.histograms is not supported yet: only sums are kept")
            }
        }
    }

    private static func scale(_ options: Document) throws(ServerError) -> Int64 {
        guard let value = options["scale"] else { return 1 }
        if case .null = value { return 1 }
        guard value.type.isNumber else { throw wrongType("storageStats.scale", value, "number") }
        let number: Double
        switch value {
        case .int32(let whole): number = Double(whole)
        case .int64(let whole): number = Double(whole)
        case .double(let double): number = double.rounded(.towardZero)
        case .decimal128(let decimal): number = decimal.doubleValue.rounded(.toNearestOrEven)
        default: number = 0
        }
        guard number >= 1 else {
            throw ServerError(.badValue, "BSON field 'storageStats.scale' value must be >= 1, actual value '\(number)'")
        }
        return number >= Double(Int32.max) ? Int64(Int32.max) : Int64(number)
    }

    /// The stage's one document.
    func document(_ namespace: Namespace, _ context: CommandContext) throws -> Document {
        let node = context.node
        let collection = node.data.catalog.find(namespace)
        if collection == nil, !namespace.isOplog, storageScale != nil || hasCount || hasExecution {
            try node.data.checkNoView(namespace)
            throw ServerError(
                .namespaceNotFound,
                "Unable to retrieve statistics in $collStats stage :: caused by :: Collection [\(namespace)] not found."
            )
        }
        return Document { writer in
            writer.append("ns", string: namespace.fullName)
            writer.append("host", string: node.frontend.advertisedName)
            writer.append("localTime", dateTime: context.runtime.wallClock.milliseconds)
            if hasLatency { writer.document("latencyStats") { writeLatency(collection?.usage, to: $0) } }
            if let storageScale {
                writer.document("storageStats") {
                    StatisticsCommands.write(namespace, node, scale: storageScale, to: $0)
                }
            }
            if hasCount {
                let count = collection?.count ?? node.data.oplog.count
                if let narrow = Int32(exactly: count) {
                    writer.append("count", int32: narrow)
                } else {
                    writer.append("count", int64: Int64(count))
                }
            }
            if hasExecution {
                writer.document("queryExecStats") { stats in
                    stats.document("collectionScans") { scans in
                        scans.append("total", int64: collection?.scanCount ?? 0)
                        scans.append("nonTailable", int64: collection?.scanCount ?? 0)
                    }
                }
            }
        }
    }

    private func writeLatency(_ usage: CollectionUsage?, to writer: DocumentWriter) {
        func append(_ name: StaticString, _ kinds: [CollectionUsage.Kind]) {
            writer.document(name) { total in
                let parts = kinds.compactMap { usage?[$0] }
                total.append("latency", int64: parts.reduce(0) { $0 &+ $1.nanoseconds } / 1000)
                total.append("ops", int64: parts.reduce(0) { $0 &+ $1.count })
            }
        }
        append("reads", [.queries, .getmore])
        append("writes", [.insert, .update, .remove])
        append("commands", [.commands])
        append("transactions", [])
    }
}
