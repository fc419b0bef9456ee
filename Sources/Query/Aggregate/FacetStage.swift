import BSON
import Core

/// `$facet`: several pipelines over the same input, each result an array of the one output document.
///
/// Each document of the input is handed to all facets before the next one is asked for. A facet that has seen it and
/// wants another is told to wait, as by a slice that is used up: its stages know how to go on after that.
final class FacetStage: InnerStage {
    /// What the first stage of a facet asks.
    private final class Tap: StageExecution {
        /// The document that all facets are shown now, until this one has taken it.
        var document: DocumentView?
        var isInputOver = false
        /// Was asked for more than there is.
        var isDry = false

        func next() -> StageOutput {
            guard let document else {
                isDry = !isInputOver
                return isInputOver ? .end : .yield
            }
            self.document = nil
            return .document(document)
        }

        func close() {}
    }

    private final class Facet {
        let name: String
        let tap: Tap
        let output: any StageExecution
        var results: [Document] = []
        var isOver = false

        init(_ name: String, _ pipeline: Pipeline, _ environment: PipelineEnvironment) throws {
            self.name = name
            tap = Tap()
            output = try pipeline.makeExecution(over: tap, environment)
        }
    }

    let source: any StageExecution
    private let facets: [Facet]
    /// The facet whose turn it is; behind the last one the next document is asked for.
    private var turn = 0
    private var bytes = 0
    private var isComplete = false
    private let buffer = ByteBuffer()

    init(
        _ source: any StageExecution, _ pipelines: [(name: String, pipeline: Pipeline)],
        _ environment: PipelineEnvironment
    ) throws {
        self.source = source
        facets = try pipelines.map { try Facet($0.name, $0.pipeline, environment) }
        turn = facets.count
    }

    func next() throws -> StageOutput {
        while !isComplete {
            while turn < facets.count {
                guard try run(facets[turn]) else { return .yield }
                turn += 1
            }
            isComplete = facets.allSatisfy { $0.isOver }
            if isComplete {
                source.close()
                return .document(try write())
            }
            switch try source.next() {
            case .document(let document): for facet in facets where !facet.isOver { facet.tap.document = document }
            case .yield: return .yield
            case .end: for facet in facets { facet.tap.isInputOver = true }
            }
            turn = 0
        }
        return .end
    }

    /// Takes what a facet makes of the input so far; false when the slice is used up first.
    private func run(_ facet: Facet) throws -> Bool {
        while !facet.isOver {
            facet.tap.isDry = false
            switch try facet.output.next() {
            case .document(let document):
                facet.results.append(document.document)
                bytes += document.byteCount
                try StageMemory.check(bytes, "$facet")
            case .yield: return facet.tap.isDry
            case .end:
                facet.isOver = true
                facet.tap.document = nil
                facet.output.close()
            }
        }
        return true
    }

    func close() {
        for facet in facets { facet.output.close() }
        source.close()
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
