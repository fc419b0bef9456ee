import BSON
import Core
import Data
import Testing

@Suite("Stages that read other collections")
struct ReachingStageTests {
    private func filled() async throws -> Fixture {
        let node = try await Fixture()
        for id in 0..<6 { try node.insertOne(["_id": .int32(Int32(id)), "a": .int32(Int32(id % 3))]) }
        let stock = Namespace(Fixture.orders.database, "stock")
        for id in 0..<4 { try node.insertOne(["_id": .int32(Int32(id)), "n": .int32(Int32(id % 2))], into: stock) }
        return node
    }

    @Test("$lookup by equality gives each document its partners, whatever the slices and batches are")
    func lookup() async throws {
        let node = try await filled()
        let found = try node.aggregate(
            [
                ["$lookup": ["from": "stock", "localField": "a", "foreignField": "n", "as": "s"]],
                ["$project": ["count": ["$size": "$s"]]],
            ])
        let counts: [Int32] = [2, 2, 0, 2, 2, 0]
        #expect(
            found
                == counts.enumerated().map {
                    ["_id": .int32(Int32($0.offset)), "count": .int32($0.element)] as Value
                })
    }

    @Test("$unionWith shows its input first, then the other collection, and stops at a limit behind it")
    func union() async throws {
        let node = try await filled()
        let all = try node.aggregate([["$unionWith": "stock"], ["$project": ["_id": 1]]])
        #expect(all.count == 10)
        #expect(all[6] == ["_id": 0])
        #expect(try node.aggregate([["$unionWith": "stock"], ["$limit": 7]]).count == 7)
    }

    @Test("pipelines inside pipelines end at a limit instead of on the stack")
    func depth() async throws {
        let node = try await filled()
        var pipeline: [Value] = []
        for _ in 0..<(Limits.subPipelineDepthMax + 1) {
            pipeline = [["$unionWith": ["coll": "stock", "pipeline": .array(pipeline)]]]
        }
        let error = #expect(throws: ServerError.self) { try node.aggregate(pipeline) }
        #expect(error?.code == .maxSubPipelineDepthExceeded)
    }

    @Test("an output stage inside a pipeline is refused")
    func output() async throws {
        let node = try await filled()
        let error = #expect(throws: ServerError.self) { try node.aggregate([["$out": "x"]]) }
        #expect(error?.code.rawValue == 40601)
    }
}
