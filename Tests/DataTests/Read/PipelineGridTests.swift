import BSON
import Core
import Data
import Query
import Testing

/// Every pair and every triple of stages, over few documents and many, in long slices and in the shortest, to the end
/// and broken off: what comes is what an array in memory gives, and nothing stays open behind it.
@Suite("Pipelines of any stages")
struct PipelineGridTests {
    private func filled(_ count: Int) async throws -> Fixture {
        let node = try await Fixture()
        for number in 0..<count { try node.insertOne(ReferenceStage.input(number)) }
        let stock = Namespace(Fixture.orders.database, "stock")
        for document in ReferenceStage.stock { try node.insertOne(document, into: stock) }
        if count == 0 { try node.createCollection() }
        return node
    }

    /// How a cursor is asked.
    private struct Asking {
        /// Slices of one step instead of one that lasts.
        var isHasty = false
        var batch = 101
        /// Closes behind so many results.
        var most = Int.max
    }

    private func results(_ node: Fixture, _ stages: [ReferenceStage], _ asking: Asking) throws -> [Document] {
        let point = ReadPoint.at(try #require(node.store.oplog.last).timestamp)
        let pipeline = Document(array: stages.map(\.stage))
        var context = node.context.query
        context.random = QueryContext(randomSeed: 1).random
        let cursor = try pipeline.withView {
            try AggregateCursor(node.store, Fixture.orders, pipeline: $0, context: context, at: point)
        }
        var results: [Document] = []
        while results.count < asking.most {
            let buffer = ByteBuffer()
            var array = ArrayWriter(startingIn: buffer)
            var progress = CursorProgress.yield
            while case .yield = progress {
                progress = try cursor.next(
                    into: &array, maxDocuments: min(asking.batch, asking.most - results.count) - array.count,
                    maxBytes: Limits.cursorBatchBytesMax, deadline: asking.isHasty ? .zero : .distantFuture)
            }
            array.finish()
            results += DocumentView(base: UnsafeRawPointer(buffer.base)).compactMap { $0.value.asDocument?.document }
            if case .exhausted = progress { break }
        }
        if results.count == asking.most { cursor.close() }
        #expect(node.versions.openSnapshotCount == 0, "\(stages.map(\.name)) left something open")
        return results
    }

    private func check(_ node: Fixture, _ count: Int, _ stages: [ReferenceStage], _ askings: [Asking]) throws {
        let input = (0..<count).map { ReferenceStage.input($0) }
        let expected = stages.reduce(input) { $1.apply($0) }
        for asking in askings {
            let found = try results(node, stages, asking)
            let wanted = Array(expected.prefix(asking.most))
            guard found != wanted else { continue }
            let place = zip(found, wanted).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            let shown = place.map { "\(found[$0]) instead of \(wanted[$0])" } ?? "\(found.count) of \(wanted.count)"
            Issue.record("\(stages.map(\.name)) over \(count), \(asking): \(shown)")
        }
    }

    private static let allAskings = [
        Asking(), Asking(isHasty: true, batch: 2), Asking(isHasty: true, most: 1), Asking(batch: 1, most: 3),
    ]

    @Test("every pair of stages over none, one, two and a few documents", arguments: [0, 1, 2, 30])
    func pairs(count: Int) async throws {
        let node = try await filled(count)
        try check(node, count, [], Self.allAskings)
        for first in ReferenceStage.all {
            try check(node, count, [first], Self.allAskings)
            for second in ReferenceStage.all { try check(node, count, [first, second], Self.allAskings) }
        }
    }

    @Test("every triple of stages over none, one, two and a few documents", arguments: [0, 1, 2, 12])
    func triples(count: Int) async throws {
        let node = try await filled(count)
        for first in ReferenceStage.all {
            for second in ReferenceStage.all {
                for third in ReferenceStage.all {
                    try check(node, count, [first, second, third], [Asking(isHasty: true, batch: 2)])
                }
            }
        }
    }

    @Test(
        "every pair of stages over ten thousand documents (a thousand without optimisation)",
        arguments: ReferenceStage.all.indices)
    func manyDocuments(first: Int) async throws {
        #if DEBUG
            let count = 1000
        #else
            let count = 10_000
        #endif
        let node = try await filled(count)
        for second in ReferenceStage.all {
            try check(
                node, count, [ReferenceStage.all[first], second],
                [Asking(batch: 1000), Asking(isHasty: true, most: 150)])
        }
    }
}
