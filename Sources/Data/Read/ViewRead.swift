public import BSON
public import Core
import Query

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
    static func count(_ command: DocumentView) -> Document {
        Document(array: selection(command, filter: "query") + [["$count": "count"]])
    }

    /// The pipeline that finds the documents of a `distinct`.
    static func distinct(_ command: DocumentView) -> Document {
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

/// The documents that a view shows, in slices of their own: for operations that make something else of them.
final class ViewScan {
    private let output: any StageExecution
    private let clock: PipelineClock

    /// - Parameter pipeline: what is done with the view's documents.
    init(
        _ store: DataStore, _ namespace: Namespace, _ pipeline: Document, hint: Document? = nil, context: QueryContext,
        at point: ReadPoint
    ) throws {
        let runtime = store.runtime
        clock = PipelineClock { runtime.now }
        let reach = Reach(
            store: store, database: namespace.database, point: point, context: context, clock: clock,
            memory: StageMemory(store: store.temporary))
        output = try pipeline.withView { try CollectionPipeline(reach, namespace, pipeline: $0).output }
    }

    deinit { output.close() }

    /// Shows what there is; `.yield` when the slice is used up.
    func run(until deadline: Instant, _ body: (DocumentView) throws -> Void) throws -> WriteProgress {
        clock.begin(until: deadline)
        while true {
            switch try output.next() {
            case .document(let document): try body(document)
            case .yield: return .yield
            case .end:
                output.close()
                return .done
            }
        }
    }
}
