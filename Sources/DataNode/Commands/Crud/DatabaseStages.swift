internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// First stages of a pipeline that make their documents themselves.
enum DatabaseStages {
    /// Those that need no collection.
    static let names: Set<String> = [
        "$currentOp", "$listSessions", "$listLocalSessions", "$documents", "$changeStream",
    ]

    static func documents(
        of stage: PipelineStage, _ context: CommandContext, _ namespace: Namespace
    ) throws -> [Document]? {
        switch stage.name {
        case "$collStats": return [try collectionStatistics(stage, context, namespace)]
        case "$indexStats": return try indexStatistics(context, namespace)
        case "$currentOp":
            return try OperationCommands.documents(stage.specification, context, namespace.collection)
        case "$listSessions", "$listLocalSessions": return context.frontend.sessions.documents
        default: return nil
        }
    }

    private static func collectionStatistics(
        _ stage: PipelineStage, _ context: CommandContext, _ namespace: Namespace
    ) throws -> Document {
        let collection = context.node.data.catalog.find(namespace)
        let wanted = stage.specification.asDocument?.keys ?? []
        if collection == nil, !namespace.isOplog, wanted.contains("count") {
            throw ServerError(
                .namespaceNotFound,
                "Unable to retrieve count in $collStats stage :: caused by :: Collection "
                    + "[\(namespace)] not found.")
        }
        return Document { writer in
            writer.append("ns", string: namespace.fullName)
            writer.append("host", string: context.node.frontend.advertisedName)
            writer.append("localTime", dateTime: context.runtime.wallClock.milliseconds)
            if wanted.contains("storageStats") {
                writer.document("storageStats") { StatisticsCommands.write(namespace, context.node, scale: 1, to: $0) }
            }
            if wanted.contains("count") {
                let count = collection?.count ?? context.node.data.oplog.count
                writer.append("count", int64: Int64(count))
            }
        }
    }

    private static func indexStatistics(_ context: CommandContext, _ namespace: Namespace) throws -> [Document] {
        guard let collection = context.node.data.catalog.find(namespace) else { return [] }
        return collection.readyIndexes.map { index in
            Document { writer in
                writer.append("name", string: index.name)
                writer.append("key", index.keyPattern)
                writer.append("host", string: context.node.frontend.advertisedName)
                writer.document("accesses") {
                    $0.append("ops", int64: index.accesses)
                    let created = Int64(index.visibleFrom.seconds) * 1000
                    $0.append("since", dateTime: max(context.node.startedAtWall.milliseconds, created))
                }
                writer.append("spec", index.definition)
            }
        }
    }
}
