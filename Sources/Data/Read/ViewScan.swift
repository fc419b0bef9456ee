import BSON
import Core
import Query

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
