import BSON
import Core

/// `$facet`: several pipelines over the same input, each result an array of the one output document.
final class FacetStage: StageExecution {
    private final class Facet {
        let name: String
        let execution: PipelineExecution
        var results: [Document] = []
        init(name: String, execution: PipelineExecution) {
            self.name = name
            self.execution = execution
        }
    }

    private let source: any StageExecution
    private let facets: [Facet]
    private var bytes = 0
    /// The document that is being handed to the facets, and how many are done with it.
    private var current: DocumentView?
    private var fed = 0
    /// Whether the facet at `fed` has taken the document.
    private var hasPushed = false
    /// At the end of the input, the facets that have given all their results.
    private var drained = 0
    private var isComplete = false
    private let buffer = ByteBuffer()

    init(_ source: any StageExecution, _ pipelines: [(name: String, pipeline: Pipeline)]) throws(ServerError) {
        self.source = source
        var facets: [Facet] = []
        for (name, pipeline) in pipelines {
            facets.append(Facet(name: name, execution: try pipeline.makeExecution()))
        }
        self.facets = facets
    }

    func next() throws(ServerError) -> StageOutput {
        while !isComplete {
            if let current {
                guard try feed(current) else { return .yield }
                self.current = nil
            }
            switch try source.next() {
            case .document(let document):
                current = document
                fed = 0
            case .needsInput: return .needsInput
            case .yield: return .yield
            case .end:
                while drained < facets.count {
                    facets[drained].execution.finish()
                    guard try drain(facets[drained]) else { return .yield }
                    drained += 1
                }
                isComplete = true
                return .document(try write())
            }
        }
        return .end
    }

    /// Hands a document to the facets; false when one has more work to do first.
    private func feed(_ document: DocumentView) throws(ServerError) -> Bool {
        while fed < facets.count {
            if !hasPushed { hasPushed = try facets[fed].execution.push(document) }
            if hasPushed {
                guard try drain(facets[fed]) else { return false }
            }
            hasPushed = false
            fed += 1
        }
        return true
    }

    /// Takes the results that a facet has; false when it has more work to do first.
    private func drain(_ facet: Facet) throws(ServerError) -> Bool {
        while true {
            switch try facet.execution.next({ facet.results.append($0.document) }) {
            case .document:
                bytes += facet.results.last?.byteCount ?? 0
                try StageMemory.check(bytes, "$facet")
            case .needsInput, .end: return true
            case .yield: return false
            }
        }
    }

    private func write() throws(ServerError) -> DocumentView {
        let writer = DocumentWriter(startingIn: buffer)
        for facet in facets {
            writer.array(facet.name) { array in for result in facet.results { array.append(result) } }
        }
        writer.finish()
        return try buffer.stageDocument()
    }
}
