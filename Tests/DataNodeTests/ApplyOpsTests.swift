import BSON
import Core
import Testing

/// What `applyOps` takes from outside leaves every member as it should be.
@Suite struct ApplyOpsTests {
    @Test("a collection that applyOps makes capped keeps its size")
    func applyOpsTrims() throws {
        let node = try NodeHarness()
        let text = Value.string(String(repeating: "x", count: 1000))
        let documents = (0..<100).map { Value.document(["_id": .int32($0), "s": text]) }
        _ = try node.run(["insert": "c", "documents": .array(Document(array: documents))])
        let reply = try node.run(
            ["applyOps": [["op": "c", "ns": "shop.$cmd", "o": ["convertToCapped": "c", "size": 16384]]]],
            database: "admin")
        #expect(reply.isOK)
        let left = try node.run(["find": "c", "projection": ["_id": 1], "sort": ["_id": 1]]).batch
        #expect((10...16).contains(left.count))
        #expect(left.last == ["_id": 99])
    }

    @Test("an operation of applyOps does not change the _id of a document")
    func applyOpsKeepsIDs() throws {
        let node = try NodeHarness()
        _ = try node.run(["insert": "c", "documents": [["_id": 1, "a": 1]]])
        for diff in [["u": ["_id": 2]], ["d": ["_id": false]]] as [Document] {
            let reply = try node.run(
                [
                    "applyOps": [
                        ["op": "u", "ns": "shop.c", "o2": ["_id": 1], "o": ["$v": 2, "diff": .document(diff)]]
                    ]
                ], database: "admin")
            #expect(reply.code == 66, "\(reply)")
        }
        #expect(try node.run(["find": "c", "filter": ["_id": 1]]).batch == [["_id": 1, "a": 1]])
        #expect(try node.run(["delete": "c", "deletes": [["q": ["_id": 1], "limit": 1]]]).isOK)
        #expect(try node.run(["find": "c", "filter": ["_id": 1]]).isOK)
    }
}
