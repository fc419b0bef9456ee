import BSON
import Core
import Testing

/// Fields that are taken have an effect, inside other commands and lists too.
@Suite struct AcceptedFieldTests {
    @Test("the command inside an explain is checked as if it were run")
    func explained() throws {
        let node = try NodeHarness()
        _ = try node.run(["insert": "c", "documents": [["_id": 1, "a": 1]]])
        let cases: [(Document, Int64?)] = [
            (["find": "c", "fliter": [:]], 40415),
            (["find": "c", "filter": 1], 14),
            (["find": "c", "awaitDta": true], 40415),
            (["aggregate": "c", "pipeline": [], "cursor": ["size": 1]], 40415),
            (["count": "c", "query": [:], "filter": [:]], 40415),
            (["update": "c"], 40414),
            (["find": "c", "filter": .null, "sort": .null], nil),
            (["find": "c", "maxTimeMS": 5, "comment": "x", "readConcern": ["level": "local"]], nil),
        ]
        for (command, code) in cases {
            let reply = try node.run(["explain": .document(command)])
            #expect(reply.code == code, "\(command): \(reply)")
        }
    }

    @Test("the command inside an explain has its variables")
    func explainedVariables() throws {
        let node = try NodeHarness()
        _ = try node.run(["insert": "c", "documents": [["_id": 1, "a": 1], ["_id": 2, "a": 2]]])
        let reply = try node.run([
            "explain": ["find": "c", "filter": ["$expr": ["$eq": ["$a", "$$x"]]], "let": ["x": 2]],
            "verbosity": "executionStats",
        ])
        #expect(reply["executionStats"]?.asDocument?["nReturned"]?.asInteger == 1, "\(reply)")
    }

    @Test("lists come in batches of the size that the client wants")
    func lists() throws {
        let node = try NodeHarness()
        for name in ["a", "b", "c"] { _ = try node.run(["create": .string(name)]) }
        _ = try node.run([
            "createIndexes": "a",
            "indexes": [["key": ["x": 1], "name": "x_1"], ["key": ["y": 1], "name": "y_1"]],
        ])
        for (command, name) in [
            (["listCollections": 1, "cursor": ["batchSize": 1]] as Document, "$cmd.listCollections"),
            (["listIndexes": "a", "cursor": ["batchSize": 1]], "a"),
        ] {
            var reply = try node.run(command)
            var seen = reply.batch
            #expect(seen.count == 1, "\(reply)")
            while let id = reply.cursorID, id != 0 {
                reply = try node.run(["getMore": .int64(id), "collection": .string(name), "batchSize": 1])
                #expect(reply.isOK && reply.batch.count <= 1, "\(reply)")
                seen += reply.batch
                if seen.count > 3 { break }
            }
            #expect(Set(seen.compactMap { $0["name"]?.asString }).count == 3, "\(seen)")
        }
        let whole = try node.run(["listCollections": 1])
        #expect(whole.batch.count == 3 && whole.cursorID == 0)
    }

    @Test("indexes are listed with what is known of their builds when that is asked for")
    func builds() throws {
        let node = try NodeHarness()
        _ = try node.run(["create": "c"])
        let wrapped = try node.run(["listIndexes": "c", "includeIndexBuildInfo": true])
        #expect(wrapped.batch.first?["spec"]?.asDocument?["name"] == "_id_", "\(wrapped)")
        let plain = try node.run(["listIndexes": "c", "includeBuildUUIDs": true])
        #expect(plain.batch.first?["name"] == "_id_", "\(plain)")
        let both = try node.run(["listIndexes": "c", "includeBuildUUIDs": true, "includeIndexBuildInfo": true])
        #expect(both.code == 72)
    }

    @Test("several parameters are set by one command")
    func parameters() throws {
        let node = try NodeHarness()
        let reply = try node.run(
            ["setParameter": 1, "ttlMonitorSleepSecs": 7, "cursorTimeoutMillis": 5000], database: "admin")
        #expect(reply.isOK && reply["was"]?.asInteger == 60, "\(reply)")
        let now = try node.run(["getParameter": "*"], database: "admin")
        #expect(now["ttlMonitorSleepSecs"]?.asInteger == 7)
        #expect(now["cursorTimeoutMillis"]?.asInteger == 5000)
        let bad = try node.run(["setParameter": 1, "ttlMonitorSleepSecs": 8, "noSuch": 1], database: "admin")
        #expect(bad.code == 72)
    }

    @Test("a section of serverStatus that is not wanted is left out")
    func sections() throws {
        let node = try NodeHarness()
        let all = try node.run(["serverStatus": 1], database: "admin")
        #expect(all["metrics"] != nil && all["opcounters"] != nil)
        let some = try node.run(["serverStatus": 1, "metrics": 0, "host": 0], database: "admin")
        #expect(some["metrics"] == nil && some["opcounters"] != nil && some["host"] != nil)
    }
}
