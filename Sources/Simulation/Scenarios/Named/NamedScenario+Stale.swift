import BSON
import Client
import Core

/// Reads on members that do not know what the rest of the set knows.
extension NamedScenario {
    static let stale = [
        NamedScenario(
            name: "stale-commit-point",
            summary:
                "a new primary that has not heard of a commit shows a client its own majority write (SERVER-53813)",
            make: { SimulatedReplicaSet($0, kinds: [.normal, .normal, .normal], remembers: true) },
            script: staleCommitPoint),
        NamedScenario(
            name: "deposed-linearizable",
            summary: "a linearizable read on a deposed primary fails, it does not answer (Jepsen, MongoDB 3.4)",
            make: { SimulatedReplicaSet($0, kinds: [.normal, .normal, .normal], remembers: true) },
            script: deposedLinearizable),
        NamedScenario(
            name: "deposed-waiter",
            summary: "a majority write that waits on a deposed primary is not acknowledged by its successor's commits",
            make: ScenarioStage.commanded(3), script: deposedWaiter),
        NamedScenario(
            name: "late-long-write",
            summary: "a long write that was taken before a step-down and begins after it is refused",
            make: ScenarioStage.commanded(3), script: lateLongWrite),
        NamedScenario(
            name: "causal-secondary",
            summary: "a secondary that has not seen what a session has seen does not answer it",
            make: ScenarioStage.commanded(3), script: causalSecondary),
        NamedScenario(
            name: "repeated-write",
            summary: "a retryable write that is sent to each primary in turn happens once",
            make: ScenarioStage.commanded(3), script: repeatedWrite),
        NamedScenario(
            name: "isolated-majority-read",
            summary: "majority and snapshot reads on an isolated primary do not show what only it has",
            make: ScenarioStage.commanded(3), script: isolatedMajorityRead),
    ]

    /// The primary acknowledges and dies before anybody else has heard that the write is committed.
    private static func staleCommitPoint(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        guard let old = set.primary else { throw set.failure("no primary") }
        let client = stage.makeClient()
        var session: ClientSession?
        var outcome: Result<Void, any Error>?
        client.runtime.spawn("write") {
            session = client.client.startSession()
            let target = client.client["load"]["things"].with(writeConcern: .majority)
            do {
                _ = try await target.insertOne(["_id": 1], session: session)
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
        }
        // The moment at which it commits: the answer goes out, and nothing to the members.
        let before = set.committed
        try stage.wait("the commit") {
            old.commitPoint > before && set.committed == old.commitPoint && old.lastApplied == old.commitPoint
                && (try? stage.things(old)) == [1]
        }
        for other in set.members where other !== old { set.cut(old.name, other.name) }
        try stage.wait("the answer to the write") { outcome != nil }
        if case .failure(let error)? = outcome { throw set.failure("the write was not acknowledged: \(error)") }
        let unaware = set.members.filter { $0 !== old && $0.commitPoint < old.commitPoint }.count
        try stage.expect(unaware == set.members.count - 1, "no other member has heard of the commit: \(set.summary)")
        old.crash()
        set.heal()
        let seen = try client.run { client in
            let reader = client["load"]["things"].with(readConcern: .majority)
            return try await reader.findOne(["_id": 1], session: session)
        }
        try stage.expect(seen != nil, "the session sees its own majority write on the new primary")
        let linearizable = try client.run { client in
            try await client["load"]["things"].with(readConcern: .linearizable).findOne(["_id": 1])
        }
        try stage.expect(linearizable != nil, "a linearizable read sees the acknowledged write")
        old.restart()
        try set.runUntilConverged(within: .seconds(60))
        return "only the dead primary had heard of the commit; the write was seen on the new one"
    }

    private static func deposedLinearizable(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        guard let old = set.primary else { throw set.failure("no primary") }
        try stage.write(1, on: old, w: "majority")
        // Cut off, it takes itself for the primary until its timeout; the others elect another.
        set.isolate(old)
        var answer: Document?
        old.send(
            [
                "find": "things", "filter": ["_id": 2], "readConcern": ["level": "linearizable"], "maxTimeMS": 20_000,
            ], in: WriteWorkload.database
        ) { answer = $0 }
        let new = try set.runUntilPrimary(within: .seconds(30), otherThan: old)
        try stage.write(2, on: new, w: "majority")
        set.heal()
        try stage.wait("an answer of the deposed primary", within: .seconds(60)) { answer != nil }
        try stage.expect(answer?["ok"]?.asNumber != 1, "the read fails, instead of answering \(answer ?? [:])")
        try set.runUntilConverged(within: .seconds(60))
        return "the read failed: \(answer?["errmsg"]?.asString ?? "?")"
    }

    /// The request is taken, and its task begins behind the step-down. Written now, its entries would be in a term that
    /// another member may lead.
    private static func lateLongWrite(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let old = set.members[0]
        var answer: Document?
        // A search by a field without an index is a task; the step-down runs in front of it.
        old.send(
            ["findAndModify": "things", "query": ["n": 1], "update": ["n": 1], "upsert": true],
            in: WriteWorkload.database
        ) { answer = $0 }
        old.send(["replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 0, "force": true]) { _ in }
        try stage.wait("an answer") { answer != nil }
        try stage.expect(answer?["ok"]?.asNumber != 1, "the write is refused, not \(answer ?? [:])")
        try stage.expect(try stage.things(old).isEmpty, "nothing is written after the step-down")
        try stage.reunite(under: set.members[1])
        return "it was refused: \(answer?["errmsg"]?.asString ?? "?")"
    }

    private static func causalSecondary(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (primary, secondary) = (set.members[0], set.members[2])
        stage.together([primary, set.members[1]])
        let written = try stage.write(1, on: primary)
        guard let time = written["operationTime"], let clusterTime = written["$clusterTime"] else {
            throw set.failure("no operation time in \(written)")
        }
        let read: Document = [
            "find": "things", "readConcern": ["afterClusterTime": time], "$clusterTime": clusterTime,
            "$readPreference": ["mode": "secondary"], "maxTimeMS": 500,
        ]
        let early = try secondary.run(read, in: WriteWorkload.database)
        try stage.expect(early["ok"]?.asNumber != 1, "the secondary does not answer \(early) before it has the write")
        set.heal()
        try set.runUntilConverged(within: .seconds(30))
        let late = try secondary.run(read, in: WriteWorkload.database)
        try stage.expect(
            late["cursor"]?.asDocument?["firstBatch"]?.asArray?.count == 1, "the write is seen then, not \(late)")
        return "it waited, and answered when it had caught up"
    }

    private static func repeatedWrite(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let write: Document = [
            "update": "things", "updates": [["q": ["_id": 1], "u": ["$inc": ["n": 1]], "upsert": true]],
            "lsid": ["id": .binary(subtype: 4, Array(repeating: 7, count: 16))], "txnNumber": .int64(1),
            "writeConcern": ["w": "majority"],
        ]
        for primary in set.members {
            if !primary.isWritablePrimary { try stage.elect(primary) }
            for _ in 0..<2 {
                let reply = try primary.run(write, in: WriteWorkload.database)
                try stage.expect(reply["ok"]?.asNumber == 1 && reply["n"]?.asNumber == 1, "success, not \(reply)")
            }
        }
        try set.runUntilConverged(within: .seconds(30))
        let found = try set.members[0].documents(WriteWorkload.database, "things")
        try stage.expect(found == [["_id": 1, "n": 1]], "it happened once: \(found)")
        return "six requests, one write"
    }

    private static func isolatedMajorityRead(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let old = set.members[0]
        try stage.write(1, on: old, w: "majority")
        stage.together([old])
        try stage.write(2, on: old)
        for level in ["majority", "snapshot"] {
            let reply = try old.run(
                ["find": "things", "readConcern": ["level": .string(level)], "maxTimeMS": 2000],
                in: WriteWorkload.database)
            let shown = (reply["cursor"]?.asDocument?["firstBatch"]?.asArray ?? []).compactMap {
                $0.asDocument?["_id"]?.asInteger
            }
            try stage.expect(shown == [1], "a \(level) read shows [1], not \(shown)")
        }
        stage.together([set.members[1], set.members[2]])
        try stage.elect(set.members[1])
        set.heal()
        try set.runUntilConverged(within: .seconds(60))
        return "neither showed the write that was then rolled back"
    }

    private static func deposedWaiter(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (old, new) = (set.members[0], set.members[1])
        stage.together([old])
        var answer: Document?
        old.send(
            ["insert": "things", "documents": [["_id": 1]], "writeConcern": ["w": "majority"]],
            in: WriteWorkload.database
        ) { answer = $0 }
        try stage.wait("the write") { (try? stage.things(old)) == [1] }
        stage.together([new, set.members[2]])
        try stage.elect(new)
        for id in Int64(2)...5 { try stage.write(id, on: new, w: "majority") }
        set.heal()
        try stage.wait("an answer of the deposed primary") { answer != nil }
        let wasAcknowledged = answer?["ok"]?.asNumber == 1 && answer?["writeConcernError"] == nil
        try set.runUntilConverged(within: .seconds(60))
        let isThere = try stage.things(new).contains(1)
        try stage.expect(isThere || !wasAcknowledged, "the lost write was not acknowledged, but got \(answer ?? [:])")
        return "the write was rolled back and its client told so"
    }
}
