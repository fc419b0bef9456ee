import BSON
import Core
import Testing

@testable import DataNode

@Suite struct CursorTimeoutTests {
    private func openCursor(_ node: NodeHarness, _ options: Document = [:]) throws -> Int64 {
        var find: Document = ["find": "c", "batchSize": 1]
        for (name, value) in options.fields { find.append(name, value) }
        return try #require(try node.run(find).cursorID)
    }

    @Test("an idle cursor is closed after cursorTimeoutMillis, one with noCursorTimeout stays")
    func timeout() throws {
        let node = try NodeHarness()
        #expect(try node.run(["insert": "c", "documents": [["_id": 1], ["_id": 2], ["_id": 3]]]).isOK)
        let set = try node.run(["setParameter": 1, "cursorTimeoutMillis": 2000], database: "admin")
        #expect(set["was"]?.asInteger == 600_000)
        let idle = try openCursor(node)
        let patient = try openCursor(node, ["noCursorTimeout": true])
        try node.wait(.milliseconds(1500))
        let used = try openCursor(node)
        try node.wait(.milliseconds(1500))
        #expect(try node.run(["getMore": .int64(idle), "collection": "c"]).code == 43)
        #expect(try node.run(["getMore": .int64(patient), "collection": "c"]).batch.count == 2)
        #expect(try node.run(["getMore": .int64(used), "collection": "c"]).batch.count == 2)
    }

    @Test("a parameter that cannot be changed takes the value that it has, and no other")
    func fixedParameters() throws {
        let node = try NodeHarness()
        #expect(try node.run(["setParameter": 1, "logLevel": 0], database: "admin").isOK)
        #expect(try node.run(["setParameter": 1, "logLevel": 2], database: "admin").code == 20)
        #expect(try node.run(["setParameter": 1, "noSuchParameter": 2], database: "admin").code == 72)
        #expect(try node.run(["setParameter": 1, "cursorTimeoutMillis": 0], database: "admin").code == 2)
    }
}
