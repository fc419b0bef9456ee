import BSON
import Core
import Testing

@testable import Query

func pipeline(_ stages: String, context: QueryContext = QueryContext()) throws -> Pipeline {
    try json("{'value': \(stages)}").withView { view in
        try Pipeline(#require(view["value"]?.asArray), context: context)
    }
}

/// Runs a pipeline over documents, in slices of a single step each, or in one that lasts.
/// - Parameter yielded: called whenever a stage gives the loop back.
/// - Returns: the results; with `most`, so many of them, behind which the pipeline is closed.
func run(
    _ pipeline: Pipeline, over documents: [Document], inOneSlice: Bool = false, most: Int = .max,
    memory: StageMemory = StageMemory(store: nil), yielded: () -> Void = {}
) throws -> [Document] {
    let clock = PipelineClock { .zero }
    let environment = PipelineEnvironment(clock: clock, memory: memory) { stage, _ in
        throw ServerError(.commandNotSupported, "\(stage.name) reads elsewhere")
    }
    let output = try pipeline.makeExecution(over: DocumentsSource(documents, clock), environment)
    var results: [Document] = []
    while results.count < most {
        clock.begin(until: inOneSlice ? .distantFuture : .zero)
        switch try output.next() {
        case .document(let document): results.append(document.document)
        case .yield: yielded()
        case .end:
            guard case .end = try output.next() else { throw ServerError(.internalError, "a pipeline went on") }
            return results
        }
    }
    output.close()
    return results
}

func aggregate(_ stages: String, over documents: [String], context: QueryContext = QueryContext()) throws -> [Document]
{
    try run(try pipeline(stages, context: context), over: try documents.map { try json($0) })
}

/// One row of a table of pipelines.
struct PipelineCase: CustomTestStringConvertible, Sendable {
    let stages: String
    let input: [String]
    let output: [String]

    init(_ stages: String, _ input: [String], _ output: [String]) {
        self.stages = stages
        self.input = input
        self.output = output
    }

    var testDescription: String { stages }

    func check() throws {
        let results = try aggregate(stages, over: input)
        let wanted = try output.map { try json($0) }
        #expect(results == wanted, "\(results.map { "\($0)" }) is not \(wanted.map { "\($0)" })")
    }
}
