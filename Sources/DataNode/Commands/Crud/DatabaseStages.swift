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
        case "$collStats":
            return [try CollectionStatisticsStage(stage.specification).document(namespace, context)]
        case "$indexStats":
            guard stage.specification.asDocument?.isEmpty == true else {
                throw ServerError(
                    ErrorCode(rawValue: 28803), "The $indexStats stage specification must be an empty object")
            }
            return try indexStatistics(context, namespace)
        case "$planCacheStats": return try planCache(stage, context, namespace)
        case "$currentOp":
            return try OperationCommands.documents(stage.specification, context, namespace.collection)
        case "$listSessions", "$listLocalSessions": return context.frontend.sessions.documents
        default: return nil
        }
    }

    /// Plans are made anew for each query, so there are none to show.
    private static func planCache(
        _ stage: PipelineStage, _ context: CommandContext, _ namespace: Namespace
    ) throws -> [Document] {
        let name = "$planCacheStats"
        guard let fields = stage.specification.asDocument else {
            throw ServerError(
                .failedToParse, "\(name) value must be an object. Found: \(stage.specification.type.operatorName)")
        }
        var isOfAllHosts = false
        for (key, value) in fields.fields {
            guard key == "allHosts" else {
                throw ServerError(.failedToParse, "unrecognized option to \(name): \(key)")
            }
            guard case .bool(let flag) = value else {
                throw ServerError(
                    ErrorCode(rawValue: 13111), "Wrong type for field (allHosts) \(value.type.operatorName) != bool")
            }
            isOfAllHosts = isOfAllHosts || flag
        }
        guard !isOfAllHosts else {
            throw ServerError(
                ErrorCode(rawValue: 4_503_200), "\(name) stage supports allHosts parameter only for sharded clusters")
        }
        let level = try context.readConcern().level
        guard level == .local || level == .available else {
            throw ServerError(.invalidOptions, "\(name) does not support read concern '\(level.rawValue)'")
        }
        guard context.node.data.catalog.find(namespace) != nil else {
            throw ServerError(ErrorCode(rawValue: 50933), "collection '\(namespace)' does not exist")
        }
        return []
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
