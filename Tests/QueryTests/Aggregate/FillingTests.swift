import BSON
import Core
import Testing

@testable import Query

@Suite("stages that fill, bucket and redact")
struct FillingTests {
    private func code(_ stage: String, over documents: [String] = []) -> Int32? {
        do {
            _ = try aggregate("[\(stage)]", over: documents)
            return nil
        } catch { return (error as? ServerError)?.code.rawValue }
    }

    // MARK: $densify

    @Test(
        "missing values are made, step by step",
        arguments: [
            PipelineCase(
                "[{'$densify': {'field': 'n', 'range': {'step': 2, "
                    + "'bounds': 'full'}}}]", ["{'n': 1}", "{'n': 4}", "{'n': 5}"],
                ["{'n': 1}", "{'n': 3}", "{'n': 4}", "{'n': 5}"]),
            PipelineCase(
                "[{'$densify': {'field': 'n', 'range': {'step': 1, 'bounds': [0, "
                    + "3]}}}]", ["{'n': 1, 'x': 1}", "{'n': 7}", "{'y': 1}"],
                ["{'y': 1}", "{'n': 0}", "{'n': 1, 'x': 1}", "{'n': 2}", "{'n': 7}"]),
            PipelineCase(
                "[{'$densify': {'field': 'n', 'range': {'step': 1, 'bounds': [0, "
                    + "2]}}}]", [], ["{'n': 0}", "{'n': 1}"]),
            PipelineCase(
                "[{'$densify': {'field': 'n', 'partitionByFields': ['p'], 'range': {'step': 1, "
                    + "'bounds': 'partition'}}}]",
                ["{'p': 2, 'n': 1}", "{'p': 1, 'n': 5}", "{'p': 2, 'n': 3}"],
                ["{'p': 1, 'n': 5}", "{'p': 2, 'n': 1}", "{'p': 2, 'n': 2}", "{'p': 2, 'n': 3}"]),
            PipelineCase(
                "[{'$densify': {'field': 'a.n', 'partitionByFields': ['p'], 'range': {'step': 1, 'bounds': 'full'}}}]",
                ["{'p': 1, 'a': {'n': 1}}", "{'p': 2, 'a': {'n': 3}}"],
                [
                    "{'p': 1, 'a': {'n': 1}}", "{'p': 1, 'a': {'n': 2}}", "{'p': 1, 'a': {'n': 3}}",
                    "{'p': 2, 'a': {'n': 1}}",
                    "{'p': 2, 'a': {'n': 2}}", "{'p': 2, 'a': {'n': 3}}",
                ]),
            PipelineCase(
                "[{'$densify': {'field': 'd', 'range': {'step': 1, 'unit': 'month', 'bounds': 'full'}}}]",
                ["{'d': {'$date': '2024-01-31T00:00:00Z'}}", "{'d': {'$date': '2024-03-31T00:00:00Z'}}"],
                [
                    "{'d': {'$date': '2024-01-31T00:00:00Z'}}", "{'d': {'$date': '2024-02-29T00:00:00Z'}}",
                    "{'d': {'$date': '2024-03-31T00:00:00Z'}}",
                ]),
        ])
    func densify(_ test: PipelineCase) throws { try test.check() }

    @Test("a step of nothing, a mixture of dates and numbers, and far too many are refused")
    func densifyRefusals() {
        #expect(code("{'$densify': {'field': 'n', 'range': {'step': 0, 'bounds': 'full'}}}") == 5_733_401)
        #expect(code("{'$densify': {'field': 'n', 'range': {'step': 1, 'bounds': [3, 1]}}}") == 5_733_404)
        #expect(code("{'$densify': {'field': 'n', 'range': {'step': 1, 'bounds': 'all'}}}") == 5_946_802)
        #expect(code("{'$densify': {'field': 'n', 'range': {'step': 1, 'bounds': 'partition'}}}") == 5_733_408)
        #expect(code("{'$densify': {'range': {'step': 1, 'bounds': 'full'}}}") == 40414)
        #expect(
            code(
                "{'$densify': {'field': 'n', 'range': {'step': 1, "
                    + "'bounds': 'full'}}}", over: ["{'n': 'x'}"]) == 5_733_201)
        #expect(
            code(
                "{'$densify': {'field': 'n', 'range': {'step': 1, 'unit': 'day', "
                    + "'bounds': 'full'}}}", over: ["{'n': 1}"])
                == 6_053_600)
        #expect(
            code(
                "{'$densify': {'field': 'n', 'range': {'step': 1, "
                    + "'bounds': 'full'}}}", over: ["{'n': 0}", "{'n': 1e9}"])
                == 5_897_900)
    }

    // MARK: $fill

    @Test(
        "null and missing fields are filled by value and by method",
        arguments: [
            PipelineCase(
                "[{'$fill': {'output': {'a': {'value': '$b'}}}}]",
                ["{'b': 1}", "{'a': null, 'b': 2}", "{'a': 3, 'b': 4}"],
                ["{'b': 1, 'a': 1}", "{'a': 2, 'b': 2}", "{'a': 3, 'b': 4}"]),
            PipelineCase(
                "[{'$fill': {'sortBy': {'t': 1}, 'partitionByFields': ['p'], 'output': {'v': {'method': 'locf'}}}}]",
                ["{'p': 1, 't': 2, 'v': null}", "{'p': 2, 't': 3, 'v': null}", "{'p': 1, 't': 1, 'v': 8}"],
                ["{'p': 1, 't': 1, 'v': 8}", "{'p': 1, 't': 2, 'v': 8}", "{'p': 2, 't': 3, 'v': null}"]),
            PipelineCase(
                "[{'$fill': {'sortBy': {'t': 1}, 'output': {'v': {'method': 'linear'}, 'w': {'value': 0}}}}]",
                ["{'t': 1, 'v': 1}", "{'t': 2}", "{'t': 3, 'v': 5}"],
                ["{'t': 1, 'v': 1, 'w': 0}", "{'t': 2, 'v': 3.0, 'w': 0}", "{'t': 3, 'v': 5, 'w': 0}"]),
        ])
    func fill(_ test: PipelineCase) throws { try test.check() }

    @Test("a fill without a way, or with two, is refused")
    func fillRefusals() {
        #expect(code("{'$fill': {'output': {'a': {}}}}") == 6_050_200)
        #expect(code("{'$fill': {'output': {'a': {'value': 1, 'method': 'locf'}}}}") == 6_050_200)
        #expect(code("{'$fill': {'output': {'a': {'method': 'guess'}}}}") == 6_050_202)
        #expect(
            code(
                "{'$fill': {'partitionBy': '$a', 'partitionByFields': ['a'], "
                    + "'output': {'a': {'value': 1}}}}") == 6_050_204)
        #expect(code("{'$fill': {}}") == 40414)
    }

    // MARK: $bucketAuto

    @Test(
        "buckets are of about the same size, and equal values stay together",
        arguments: [
            PipelineCase(
                "[{'$bucketAuto': {'groupBy': '$n', 'buckets': 2}}]",
                ["{'n': 9}", "{'n': 1}", "{'n': 4}", "{'n': 7}", "{'n': 2}"],
                ["{'_id': {'min': 1, 'max': 7}, 'count': 3}", "{'_id': {'min': 7, 'max': 9}, 'count': 2}"]),
            PipelineCase(
                "[{'$bucketAuto': {'groupBy': '$n', 'buckets': 3, 'output': {'all': {'$push': '$k'}}}}]",
                ["{'n': 1, 'k': 'a'}", "{'n': 1, 'k': 'b'}", "{'n': 1, 'k': 'c'}", "{'n': 2, 'k': 'd'}"],
                [
                    "{'_id': {'min': 1, 'max': 2}, 'all': ['a', 'b', 'c']}",
                    "{'_id': {'min': 2, 'max': 2}, 'all': ['d']}",
                ]),
            PipelineCase(
                "[{'$bucketAuto': {'groupBy': '$n', 'buckets': 5}}]", ["{}", "{'n': 'x'}"],
                ["{'_id': {'min': null, 'max': 'x'}, 'count': 1}", "{'_id': {'min': 'x', 'max': 'x'}, 'count': 1}"]),
            PipelineCase(
                "[{'$bucketAuto': {'groupBy': '$n', 'buckets': 2, 'granularity': 'R5'}}]",
                ["{'n': 0}", "{'n': 3}", "{'n': 20}", "{'n': 30}"],
                ["{'_id': {'min': 0, 'max': 4.0}, 'count': 2}", "{'_id': {'min': 4.0, 'max': 40.0}, 'count': 2}"]),
            PipelineCase(
                "[{'$bucketAuto': {'groupBy': '$n', 'buckets': 2, 'granularity': 'POWERSOF2'}}]",
                ["{'n': 3}", "{'n': 4}", "{'n': 5}", "{'n': 1000}"],
                ["{'_id': {'min': 2, 'max': 8}, 'count': 3}", "{'_id': {'min': 8, 'max': 1024}, 'count': 1}"]),
            PipelineCase(
                "[{'$bucketAuto': {'groupBy': '$n', 'buckets': 2, "
                    + "'granularity': 'E192'}}]", ["{'n': 9.195}", "{'n': 0.05}"],
                [
                    "{'_id': {'min': 0.0499, 'max': 0.0505}, 'count': 1}",
                    "{'_id': {'min': 0.0505, 'max': 9.2}, 'count': 1}",
                ]),
        ])
    func bucketAuto(_ test: PipelineCase) throws { try test.check() }

    @Test("what cannot be rounded has no granularity")
    func granularities() {
        let stage = "{'$bucketAuto': {'groupBy': '$n', 'buckets': 2, 'granularity': 'R5'}}"
        #expect(code(stage, over: ["{'n': 'x'}"]) == 40258)
        #expect(code(stage, over: ["{'n': {'$numberDouble': 'NaN'}}"]) == 40259)
        #expect(code(stage, over: ["{'n': -1}"]) == 40260)
        #expect(code("{'$bucketAuto': {'groupBy': '$n', 'buckets': 2, 'granularity': 'R6'}}") == 40257)
        #expect(code("{'$bucketAuto': {'groupBy': '$n', 'buckets': 0}}") == 40243)
        #expect(code("{'$bucketAuto': {'groupBy': 'n', 'buckets': 1}}") == 40239)
    }

    // MARK: $redact

    @Test(
        "documents go, stay or are looked into, part by part",
        arguments: [
            PipelineCase(
                "[{'$redact': {'$cond': ['$secret', '$$PRUNE', '$$DESCEND']}}]",
                [
                    "{'a': {'secret': true}, 'b': [1, {'secret': true}, {'c': [{'secret': true}, 2]}], "
                        + "'d': {}}", "{'secret': 1}",
                ],
                ["{'b': [1, {'c': [2]}], 'd': {}}"]),
            PipelineCase(
                "[{'$redact': {'$cond': [{'$eq': ['$l', 2]}, '$$KEEP', {'$cond': ['$$ROOT.open', "
                    + "'$$DESCEND', '$$PRUNE']}]}}]",
                ["{'open': true, 'a': {'l': 2, 'b': {'x': 1}}, 'c': {'d': {}}}", "{'open': false, 'a': {'l': 2}}"],
                ["{'open': true, 'a': {'l': 2, 'b': {'x': 1}}, 'c': {'d': {}}}"]),
        ])
    func redact(_ test: PipelineCase) throws { try test.check() }

    @Test("anything but the three answers is refused, and they mean nothing elsewhere")
    func redactRefusals() {
        #expect(code("{'$redact': 'KEEP'}", over: ["{}"]) == 17053)
        #expect(code("{'$redact': null}", over: ["{}"]) == 17053)
        #expect(code("{'$set': {'a': '$$KEEP'}}", over: ["{}"]) == 17276)
    }

    @Test("a document of ten thousand parts is redacted in slices")
    func redactInSlices() throws {
        let parts = Value.array((0..<10_000).map { .document(["n": .int32($0)]) })
        let context = QueryContext()
        var yields = 0
        let found = try run(
            try pipeline(
                "[{'$redact': {'$cond': [{'$eq': [{'$mod': ['$n', 2]}, 1]}, '$$PRUNE', "
                    + "'$$DESCEND']}}]", context: context),
            over: [["parts": parts]], yielded: { yields += 1 })
        #expect(found.first?["parts"]?.asArray?.count == 5_000)
        #expect(yields > 10)
    }
}
