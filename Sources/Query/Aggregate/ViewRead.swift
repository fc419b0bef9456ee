public import BSON
public import Core

/// A read of a view by a command that is no pipeline, as the pipeline that does the same.
public enum ViewRead {
    /// The pipeline of a `find`.
    /// - Throws: `InvalidPipelineOperator` (168) for options that no pipeline has.
    public static func find(_ command: DocumentView) throws(ServerError) -> Document {
        for element in command where element.value.type != .null {
            switch element.key {
            case "tailable", "awaitData", "returnKey", "showRecordId":
                guard !element.value.isTruthy else { throw refused(element.key.string) }
            case "min", "max":
                guard element.value.asDocument?.isEmpty == true else { throw refused(element.key.string) }
            case "sort":
                guard element.value.asDocument?["$natural"] == nil else { throw refused("$natural sort") }
            default: continue
            }
        }
        var stages = selection(command, filter: "filter")
        if let projection = command["projection"]?.asDocument, !projection.isEmpty {
            stages.append(["$project": .document(projection.document)])
        }
        return Document(array: stages)
    }

    private static func refused(_ option: String) -> ServerError {
        ServerError(.invalidPipelineOperator, "Option \(option) is not supported on a view")
    }

    /// The pipeline of a `count`: one document `{count}`, or none.
    public static func count(_ command: DocumentView) -> Document {
        Document(array: selection(command, filter: "query") + [["$count": "count"]])
    }

    /// The pipeline that finds the documents of a `distinct`.
    public static func distinct(_ command: DocumentView) -> Document {
        Document(array: selection(command, filter: "query"))
    }

    /// `$match`, `$sort`, `$skip`, `$limit` as a command has them. What is wrong with them, their stages say.
    private static func selection(_ command: DocumentView, filter: String) -> [Value] {
        var stages: [Value] = []
        if let filter = command[filter]?.asDocument, !filter.isEmpty {
            stages.append(["$match": .document(filter.document)])
        }
        if let sort = command["sort"]?.asDocument, !sort.isEmpty { stages.append(["$sort": .document(sort.document)]) }
        if let skip = command["skip"]?.asInteger, skip > 0 { stages.append(["$skip": .int64(skip)]) }
        if let limit = command["limit"]?.asInteger, limit != 0 {
            stages.append(["$limit": .int64(Int64(clamping: limit.magnitude))])
        }
        return stages
    }

    /// The pipeline by which an explained command reads a view; nil for a command that reads none.
    public static func explained(_ command: DocumentView) throws(ServerError) -> Document? {
        switch command.first?.key.string {
        case "find": return try find(command)
        case "count": return count(command)
        case "distinct": return distinct(command)
        default: return nil
        }
    }
}
