import BSON
import Core
import Testing

@testable import Query

/// What stages, accumulators, projections and updates refuse, and what numbers they take for integers.
@Suite struct ArgumentCheckTests {
    private func compile(_ pipeline: String) throws {
        try json("{'v': \(pipeline)}").withView { view in
            let stages = try #require(view["v"]?.asArray)
            _ = try Pipeline(stages, context: QueryContext(randomSeed: 1))
        }
    }

    @Test(
        "stages and accumulators refuse their arguments with MongoDB's codes",
        arguments: [
            ErrorCase("[{'$limit': -1}]", 5_107_201), ErrorCase("[{'$limit': 0}]", 15958),
            ErrorCase("[{'$count': '_id'}]", 9_039_800), ErrorCase("[{'$sample': {'size': 0.5}}]", 28747),
            ErrorCase("[{'$group': {'_id': null, 'a': {'$sum': [1]}}}]", 40237),
            ErrorCase("[{'$group': {'_id': null, 'a': {'$count': []}}}]", 40237),
            ErrorCase("[{'$group': {'_id': null, 'a': {'$firstN': {'input': 1}}}}]", 5_787_906),
            ErrorCase("[{'$group': {'_id': null, 'a': {'$topN': {'output': 1, 'sortBy': {'a': 1}}}}}]", 5_788_003),
            ErrorCase(
                "[{'$group': {'_id': null, 'a': {'$topN': {'n': 0, 'output': 1, 'sortBy': {'a': 1}}}}}]", 7_548_606),
            ErrorCase(
                "[{'$group': {'_id': null, 'a': {'$percentile': {'input': 1, 'method': 'approximate', 'p': 'x'}}}}]",
                7_750_301),
            ErrorCase("[{'$set': {'a': {'b.c': 1}}}]", 40183),
            ErrorCase("[{'$set': {'a': {'$add': [], 'b': 1}}}]", 40181),
            ErrorCase("[{'$set': {'a': 1, 'a.b': 1}}]", 40176),
            ErrorCase("[{'$project': {'a': {'$elemMatch': {'b': 1}}}}]", 168),
            ErrorCase("[{'$project': {'a': {'$noSuch': 1}}}]", 31325),
            ErrorCase("[{'$project': {'a': {'$slice': 2}}}]", 28667),
            ErrorCase("[{'$project': {'a': {'$add': [], 'b': 1}}}]", 16410),
            ErrorCase("[{'$project': {'a': 0, 'b': 'x'}}]", 31310),
            ErrorCase("[{'$project': {'a': 0, 'b': {'$add': []}}}]", 31252),
            ErrorCase("[{'$sort': {'a': {'$meta': 'recordId'}}}]", 31138),
            ErrorCase("[{'$match': {'a': {'$elemMatch': {'$expr': true}}}}]", 2),
            ErrorCase("[{'$match': {'$sampleRate': 2}}]", 2), ErrorCase("[{'$match': {'$sampleRate': 'x'}}]", 2),
            ErrorCase("[{'$match': {'a': {'$size': {'$numberLong': '2147483648'}}}}]", 2),
        ])
    func refused(_ row: ErrorCase) throws { try row.check { try compile(row.source) } }

    @Test(
        "doubles are cut and decimals rounded where an integer is wanted",
        arguments: [
            "[{'$sample': {'size': 1.9}}]", "[{'$sort': {'a': 1.5}}]",
            "[{'$sort': {'a': {'$numberDecimal': '0.51'}}}]", "[{'$match': {'$sampleRate': 0.5}}]",
        ])
    func coerced(_ pipeline: String) throws { try compile(pipeline) }

    @Test("$sampleRate lets documents through with its probability")
    func sampleRate() throws {
        let filter = try json("{'$sampleRate': 0.25}").withView { try Filter($0, context: QueryContext(randomSeed: 7)) }
        var count = 0
        for _ in 0..<10_000 { if try Document().withView({ try filter.matches($0) }) { count += 1 } }
        #expect((2200...2800).contains(count))
        let never = try json("{'$sampleRate': 0}").withView { try Filter($0, context: QueryContext(randomSeed: 7)) }
        #expect(try !Document().withView { try never.matches($0) })
    }

    @Test("bits of binary data of subtype 2 begin with its length")
    func oldBinary() throws {
        let document = try json("{'a': {'$binary': {'base64': 'Bg==', 'subType': '02'}}}")
        let first = try json("{'a': {'$bitsAllSet': [0]}}").withView { try Filter($0, context: QueryContext()) }
        let data = try json("{'a': {'$bitsAllSet': [33, 34]}}").withView { try Filter($0, context: QueryContext()) }
        #expect(try document.withView { try first.matches($0) })
        #expect(try document.withView { try data.matches($0) })
    }
}
