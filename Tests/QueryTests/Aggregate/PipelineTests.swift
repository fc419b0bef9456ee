import BSON
import Core
import Testing

@testable import Query

@Suite struct PipelineTests {
    private static let numbers = (1...5).map { "{'_id': \($0), 'n': \($0 % 3)}" }

    @Test(
        "streaming stages",
        arguments: [
            PipelineCase("[]", ["{'_id': 1}"], ["{'_id': 1}"]),
            PipelineCase("[{'$match': {'n': 1}}]", numbers, ["{'_id': 1, 'n': 1}", "{'_id': 4, 'n': 1}"]),
            PipelineCase(
                "[{'$skip': 1}, {'$limit': 2}, {'$project': {'_id': 1}}]", numbers, ["{'_id': 2}", "{'_id': 3}"]),
            PipelineCase(
                "[{'$match': {'_id': 2}}, {'$set': {'m': {'$multiply': ['$n', 10]}}}]", numbers,
                ["{'_id': 2, 'n': 2, 'm': 20}"]),
            PipelineCase(
                "[{'$limit': 1}, {'$addFields': {'a.b': 1, 'n': '$$REMOVE'}}]", numbers, ["{'_id': 1, 'a': {'b': 1}}"]),
            PipelineCase("[{'$limit': 1}, {'$unset': 'n'}]", numbers, ["{'_id': 1}"]),
            PipelineCase(
                "[{'$limit': 1}, {'$project': {'_id': 0, 'r': {'$round': [{'$divide': ['$n', 3]}, 2]}}}]", numbers,
                ["{'r': 0.33}"]),
            PipelineCase("[{'$limit': 1}, {'$replaceRoot': {'newRoot': {'k': '$_id'}}}]", numbers, ["{'k': 1}"]),
            PipelineCase(
                "[{'$unwind': '$l'}]",
                ["{'_id': 1, 'l': [1, 2], 'z': 0}", "{'_id': 2, 'l': []}", "{'_id': 3}", "{'_id': 4, 'l': 7}"],
                ["{'_id': 1, 'l': 1, 'z': 0}", "{'_id': 1, 'l': 2, 'z': 0}", "{'_id': 4, 'l': 7}"]),
            PipelineCase(
                "[{'$unwind': {'path': '$a.l', 'includeArrayIndex': 'i', 'preserveNullAndEmptyArrays': true}}]",
                [
                    "{'_id': 1, 'a': {'x': 1, 'l': ['p', 'q']}}", "{'_id': 2, 'a': {'l': []}}",
                    "{'_id': 3, 'a': {'l': null}}", "{'_id': 4}",
                ],
                [
                    "{'_id': 1, 'a': {'x': 1, 'l': 'p'}, 'i': {'$numberLong': '0'}}",
                    "{'_id': 1, 'a': {'x': 1, 'l': 'q'}, 'i': {'$numberLong': '1'}}", "{'_id': 2, 'a': {}, 'i': null}",
                    "{'_id': 3, 'a': {'l': null}, 'i': null}", "{'_id': 4, 'i': null}",
                ]),
            PipelineCase(
                "[{'$unwind': {'path': '$a.b', 'preserveNullAndEmptyArrays': true}}]",
                ["{'a': 5}", "{'a': [{'b': [1]}]}", "{'a': {'b': []}, 'c': 1}", "{'a': {'b': 7}}", "{'a': {'c': 1}}"],
                ["{'a': 5}", "{'a': [{'b': [1]}]}", "{'a': {}, 'c': 1}", "{'a': {'b': 7}}", "{'a': {'c': 1}}"]),
            PipelineCase("[{'$unwind': '$a.b'}]", ["{'a': 5}", "{'a': {'b': 7}}"], ["{'a': {'b': 7}}"]),
        ])
    func streaming(_ row: PipelineCase) throws { try row.check() }

    @Test(
        "blocking stages",
        arguments: [
            PipelineCase(
                "[{'$sort': {'n': -1, '_id': 1}}, {'$project': {'_id': 1}}]", numbers,
                ["{'_id': 2}", "{'_id': 5}", "{'_id': 1}", "{'_id': 4}", "{'_id': 3}"]),
            PipelineCase(
                "[{'$sort': {'_id': -1}}, {'$skip': 1}, {'$limit': 2}, {'$project': {'_id': 1}}]", numbers,
                ["{'_id': 4}", "{'_id': 3}"]),
            PipelineCase("[{'$count': 'total'}]", numbers, ["{'total': 5}"]),
            // A key of one field that is missing is null; in one of several, missing fields stay away.
            PipelineCase(
                "[{'$group': {'_id': {'p': '$h.p'}, 'n': {'$sum': 1}}}]",
                ["{'h': {'p': null}}", "{'h': 5}", "{}", "{'h': {'p': 1}}"],
                ["{'_id': {'p': null}, 'n': 3}", "{'_id': {'p': 1}, 'n': 1}"]),
            PipelineCase(
                "[{'$group': {'_id': {'p': '$p', 'q': '$q'}, 'n': {'$sum': 1}}}]",
                ["{'p': 1}", "{'p': 1, 'q': null}", "{'p': 1}"],
                ["{'_id': {'p': 1}, 'n': 2}", "{'_id': {'p': 1, 'q': null}, 'n': 1}"]),
            PipelineCase("[{'$count': 'total'}]", [], []),
            PipelineCase(
                "[{'$sortByCount': '$n'}]", numbers,
                ["{'_id': 1, 'count': 2}", "{'_id': 2, 'count': 2}", "{'_id': 0, 'count': 1}"]),
            PipelineCase(
                "[{'$bucket': {'groupBy': '$_id', 'boundaries': [0, 2, 4], 'default': 'rest'}}]", numbers,
                ["{'_id': 0, 'count': 1}", "{'_id': 2, 'count': 2}", "{'_id': 'rest', 'count': 2}"]),
            PipelineCase(
                "[{'$facet': {'first': [{'$limit': 1}, {'$project': {'_id': 1}}], 'all': [{'$count': 'n'}], "
                    + "'none': [{'$match': {'_id': 99}}]}}]",
                numbers, ["{'first': [{'_id': 1}], 'all': [{'n': 5}], 'none': []}"]),
            PipelineCase(
                "[{'$facet': {'all': [{'$count': 'n'}]}}, {'$project': {'n': {'$size': '$all'}}}]", [], ["{'n': 0}"]),
            PipelineCase(
                "[{'$group': {'_id': {'$month': '$d'}, 'total': {'$sum': '$v'}}}, {'$sort': {'_id': 1}}]",
                [
                    "{'d': {'$date': '2024-02-01T00:00:00Z'}, 'v': 2}",
                    "{'d': {'$date': '2024-01-05T00:00:00Z'}, 'v': 1.5}",
                    "{'d': {'$date': '2024-02-09T00:00:00Z'}, 'v': 3}",
                ], ["{'_id': 1, 'total': 1.5}", "{'_id': 2, 'total': 5}"]),
        ])
    func blocking(_ row: PipelineCase) throws { try row.check() }

    @Test(
        "bad stages are refused with MongoDB's codes",
        arguments: [
            ErrorCase("[{'$foo': 1}]", 40324, "Unrecognized pipeline stage name: '$foo'"),
            ErrorCase("[5]", 14),
            ErrorCase("[{'$match': {}, '$limit': 1}]", 40323),
            ErrorCase("[{}]", 40323),
            ErrorCase("[{'$match': 5}]", 15959),
            ErrorCase("[{'$limit': 0}]", 15958),
            ErrorCase("[{'$limit': 'x'}]", 5_107_201),
            ErrorCase("[{'$skip': -1}]", 5_107_200),
            ErrorCase("[{'$sort': 5}]", 15973),
            ErrorCase("[{'$sort': {}}]", 15976),
            ErrorCase("[{'$project': 5}]", 15969),
            ErrorCase("[{'$project': {}}]", 51272),
            ErrorCase("[{'$unwind': 5}]", 15981),
            ErrorCase("[{'$unwind': 'a'}]", 28818),
            ErrorCase("[{'$unwind': {}}]", 28812),
            ErrorCase("[{'$unwind': {'path': '$a', 'x': 1}}]", 28811),
            ErrorCase("[{'$unwind': {'path': '$a', 'includeArrayIndex': '$b'}}]", 28822),
            ErrorCase("[{'$count': ''}]", 40157),
            ErrorCase("[{'$count': '$a'}]", 40158),
            ErrorCase("[{'$count': 'a.b'}]", 40160),
            ErrorCase("[{'$group': 5}]", 15947),
            ErrorCase("[{'$group': {}}]", 15955),
            ErrorCase("[{'$group': {'_id': 1, 'a': 5}}]", 40234),
            ErrorCase("[{'$group': {'_id': 1, 'a.b': {'$sum': 1}}}]", 40235),
            ErrorCase("[{'$group': {'_id': 1, 'a': {'$foo': 1}}}]", 15952, "unknown group operator '$foo'"),
            ErrorCase("[{'$group': {'_id': 1, 'a': {'$sum': 1, '$avg': 1}}}]", 40238),
            ErrorCase("[{'$group': {'_id': 1, 'a': {'$sum': [1, 2]}}}]", 40237),
            ErrorCase("[{'$sample': 5}]", 28745),
            ErrorCase("[{'$sample': {'size': -1}}]", 28747),
            ErrorCase("[{'$sortByCount': 'x'}]", 40148),
            ErrorCase("[{'$bucket': {'groupBy': '$a', 'boundaries': [1]}}]", 40192),
            ErrorCase("[{'$bucket': {'groupBy': '$a', 'boundaries': [1, 'x']}}]", 40193),
            ErrorCase("[{'$bucket': {'groupBy': '$a', 'boundaries': [2, 1]}}]", 40194),
            ErrorCase("[{'$bucket': {'groupBy': '$a', 'boundaries': [1, 3], 'default': 2}}]", 40199),
            ErrorCase("[{'$facet': {}}]", 40169),
            ErrorCase("[{'$facet': {'a': [{'$out': 'x'}]}}]", 40600),
            ErrorCase("[{'$facet': {'a': [{'$facet': {'b': []}}]}}]", 40600),
            ErrorCase("[{'$facet': {'a': [{'$documents': []}]}}]", 40600),
            ErrorCase("[{'$group': {'_id': {'a': 1}}}]", 17390),
            ErrorCase("[{'$group': {'_id': {'a': '$x', 'b': true}}}]", 17390),
            ErrorCase("[{'$out': 'x'}, {'$limit': 1}]", 40601),
            ErrorCase("[{'$limit': 1}, {'$collStats': {}}]", 40602),
            ErrorCase("[{'$replaceRoot': {}}]", 40231),
            ErrorCase("[{'$geoNear': {}}]", 238),
        ])
    func errors(_ row: ErrorCase) throws { try row.check { _ = try pipeline(row.source) } }

    @Test("a pipeline of more stages than allowed is refused")
    func tooLong() throws {
        let stages = Array(repeating: "{'$match': {}}", count: Limits.pipelineStagesMax + 1).joined(separator: ",")
        #expect(ServerError.caught { _ = try pipeline("[\(stages)]") }?.code.rawValue == 7_749_501)
    }

    /// Counts what is asked of it, and whether it was closed.
    private final class Endless: StageExecution {
        var asked = 0
        var isClosed = false
        private let document: Document
        private let buffer = ByteBuffer()

        init(_ document: Document) { self.document = document }

        func next() -> StageOutput {
            asked += 1
            return .document(buffer.show(document))
        }
        func close() { isClosed = true }
    }

    @Test(
        "a stage that wants no more asks for no more, and closes what comes before it",
        arguments: [
            ("[{'$limit': 2}]", 2), ("[{'$match': {}}, {'$unwind': '$l'}, {'$limit': 3}]", 2),
            ("[{'$limit': 3}, {'$count': 'n'}]", 3), ("[{'$limit': 2}, {'$sort': {'a': 1}}]", 2),
            ("[{'$facet': {'a': [{'$limit': 2}], 'b': [{'$skip': 1}, {'$limit': 3}]}}]", 4),
        ])
    func limitEnds(stages: String, asked: Int) throws {
        let source = Endless(["a": 1, "l": [1, 2]])
        let environment = PipelineEnvironment(clock: PipelineClock { .zero }) { _, source in source }
        let output = try pipeline(stages).makeExecution(over: source, environment)
        while case .document = try output.next() {}
        #expect(source.asked == asked)
        #expect(source.isClosed)
    }

    @Test("the leading stages that a find can serve are recognised, in its order")
    func prefix() throws {
        let served = try pipeline(
            "[{'$match': {'a': 1}}, {'$match': {'b': 2}}, {'$sort': {'c': 1}}, {'$skip': 3}, {'$limit': 4}, "
                + "{'$limit': 1}]"
        ).leadingMatch
        #expect(served.filter == ["$and": [["a": 1], ["b": 2]]])
        #expect(served.sort == ["c": 1])
        #expect(served.skip == 3)
        #expect(served.limit == 4)
        #expect(served.stageCount == 5)
        let other = try pipeline("[{'$limit': 4}, {'$skip': 3}, {'$match': {'a': 1}}]").leadingMatch
        #expect(other.filter.isEmpty)
        #expect(other.limit == 4)
        #expect(other.stageCount == 1)
        #expect(try pipeline("[{'$group': {'_id': 1}}]").leadingMatch.stageCount == 0)
    }

    @Test("stages that reach beyond their input are made by whoever runs the pipeline, within a facet too")
    func external() throws {
        let compiled = try pipeline(
            "[{'$lookup': {'from': 'x', 'as': 'y'}}, {'$facet': {'f': [{'$unionWith': 'z'}, {'$count': 'n'}]}}]")
        var made: [Value] = []
        let clock = PipelineClock { .zero }
        let environment = PipelineEnvironment(clock: clock) { stage, source in
            made.append(stage.specification)
            return source
        }
        let output = try compiled.makeExecution(over: DocumentsSource([["a": 1], ["a": 2]], clock), environment)
        #expect(made == [["from": "x", "as": "y"], "z"])
        guard case .document(let result) = try output.next() else { throw ServerError(.internalError, "no result") }
        #expect(result.document == ["f": [["n": 2]]])
    }

    @Test("$sample draws distinct documents, the same for the same seed")
    func sample() throws {
        let input = (0..<50).map { "{'_id': \($0)}" }
        let draw = { try aggregate("[{'$sample': {'size': 10}}]", over: input, context: QueryContext(randomSeed: 3)) }
        let first = try draw()
        #expect(first.count == 10)
        #expect(Set(first).count == 10)
        #expect(try draw() == first)
        #expect(
            try aggregate("[{'$sample': {'size': 99}}]", over: input, context: QueryContext(randomSeed: 3)).count == 50)
    }
}
