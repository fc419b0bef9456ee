import BSON
import Core
import Testing

@testable import Query

func pipeline(_ stages: String, context: QueryContext = QueryContext()) throws -> Pipeline {
    try json("{'value': \(stages)}").withView { view in
        try Pipeline(#require(view["value"]?.asArray), context: context)
    }
}

/// Runs a pipeline over documents, taking results after every push.
/// - Parameter yielded: called whenever a stage gives the loop back.
func run(
    _ execution: PipelineExecution, over documents: [Document], yielded: () -> Void = {}
) throws -> [Document] {
    var results: [Document] = []
    func takeResults() throws {
        while true {
            switch try execution.next({ results.append($0.document) }) {
            case .document: continue
            case .yield: yielded()
            case .needsInput, .end: return
            }
        }
    }
    for document in documents {
        let isWanted = try document.withView { view in
            guard try execution.push(view) else { return false }
            try takeResults()
            return true
        }
        if !isWanted { break }
    }
    execution.finish()
    try takeResults()
    return results
}

func aggregate(_ stages: String, over documents: [String], context: QueryContext = QueryContext()) throws -> [Document]
{
    try run(try pipeline(stages, context: context).makeExecution(), over: try documents.map { try json($0) })
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
