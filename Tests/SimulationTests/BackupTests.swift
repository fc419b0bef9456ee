import BSON
import Core
import DataNode
import ElectionPolicies
import Replication
import Testing

@testable import Simulation

/// Copies of running members: of one time, whatever happens meanwhile, and nobody until they are made a set.
struct BackupTests {
    /// A set under load, and what is needed to copy one of its members.
    private final class Stage {
        let set: SimulatedReplicaSet
        let disk: FileDisk
        let load: WriteWorkload
        var result: Result<BackupCopy.Summary, any Error>?
        var copy: BackupCopy?

        init(seed: UInt64, remembers: Bool = true, buggifies: Bool = false) throws {
            let world = SimulatedWorld(seed: seed)
            if buggifies { world.hooks = SimulationHooks(onProbe: { _ in }, onBuggify: { "\($0)".hasPrefix("small") }) }
            set = SimulatedReplicaSet(world, kinds: [.normal, .normal, .normal], remembers: remembers)
            disk = FileDisk(name: "backup", seed: seed) {}
            // What happens to disks is another test's.
            disk.calm()
            load = WriteWorkload(set)
            try set.start()
            let bulk = (0..<600 as Range<Int32>).map { Value.document(["_id": .int32($0)]) }
            #expect(try set.primary?.run(["insert": "bulk", "documents": .array(bulk)], in: "load").isOK == true)
            load.start(pause: .milliseconds(4))
            try world.run(for: .seconds(2))
        }

        /// Begins to copy a member.
        func begin(from source: SimulatedMember) {
            let runtime = set.world.addNode("backup")
            let copy = BackupCopy(
                runtime, set.world.network.transport(for: runtime), disk.engine(runtime), setName: set.name,
                source: source.endpoint)
            self.copy = copy
            runtime.spawn("backup") { [self] in
                do { result = .success(try await copy.run()) } catch { result = .failure(error) }
            }
        }

        func end() throws -> BackupCopy.Summary {
            try set.world.run(until: { self.result != nil }, atMost: .seconds(120), "the end of the backup")
            return try #require(result).get()
        }

        /// What the set's collections held at that time, by their names.
        func held(at optime: OpTime) throws -> [String: [Document]] {
            let primary = try set.runUntilPrimary(within: .seconds(20))
            var found: [String: [Document]] = [:]
            for name in ["majority", "one", "counters"] {
                let concern: Document = ["level": "snapshot", "atClusterTime": .timestamp(optime.timestamp)]
                let reply = try primary.run(
                    [
                        "find": .string(name), "readConcern": .document(concern), "sort": ["_id": 1],
                        "batchSize": 100_000,
                    ], in: WriteWorkload.database)
                #expect(reply.isOK, "\(reply)")
                found[name] = reply.batch
            }
            return found
        }

        /// Starts what was copied.
        func restore(startsNewSet: Bool = true, named name: String = "restored") throws -> Result<Node, any Error> {
            let runtime = set.world.addNode(name)
            var options = NodeOptions(endpoint: Endpoint(host: name, port: 27017))
            options.replicaSetName = "other"
            options.startsNewSet = startsNewSet
            let node = Node(
                runtime: runtime, transport: set.world.network.transport(for: runtime), engine: disk.engine(runtime),
                electionPolicy: FastElectionPolicy(), options: options)
            var result: Result<Void, any Error>?
            runtime.spawn("start") {
                do { result = .success(try await node.start()) } catch { result = .failure(error) }
            }
            try set.world.run(until: { result != nil }, atMost: .seconds(20), "the start")
            return try #require(result).map { node }
        }

        func run(_ node: Node, _ command: Document, database: String = "admin") throws -> Document {
            var reply: Document?
            node.runtime.spawn("command") { reply = await node.run(command, database: database) }
            try set.world.run(until: { reply != nil }, atMost: .seconds(20), "an answer")
            return try #require(reply)
        }
    }

    private func documents(_ node: Node, _ name: String) throws -> [Document] {
        var found: [Document] = []
        try node.forEachDocument(in: WriteWorkload.database, name) { found.append($0.document) }
        func id(_ document: Document) -> Int64 { document["_id"]?.asInteger ?? 0 }
        return found.sorted { id($0) < id($1) }
    }

    @Test("a copy of a member under load holds what the set held at one time, and becomes a set", arguments: 1...4)
    func underLoad(seed: UInt64) throws {
        let stage = try Stage(seed: seed, remembers: seed.isMultiple(of: 2), buggifies: seed > 2)
        let primary = try #require(stage.set.primary)
        let source = seed.isMultiple(of: 3) ? try #require(stage.set.members.first { $0.state == .secondary }) : primary
        stage.begin(from: source)
        // Another member leads by the time that it is through.
        try stage.set.world.run(for: .milliseconds(5))
        primary.send(["replSetStepDown": 10, "force": true]) { _ in }
        let summary = try stage.end()
        let expected = try stage.held(at: summary.optime)
        try stage.load.stop()
        #expect(summary.setName == stage.set.name)
        #expect(expected["majority"]?.isEmpty == false)

        guard case .failure(let refusal) = try stage.restore(startsNewSet: false, named: "refused") else {
            Issue.record("a backup was started as a member")
            return
        }
        #expect("\(refusal)".contains("--new-set"))
        let node = try stage.restore().get()
        for (name, documents) in expected {
            #expect(try self.documents(node, name) == documents, "\(name), seed \(seed)")
        }
        #expect(try node.inconsistencies() == [])
        #expect(try stage.run(node, ["replSetInitiate": .document(Document())]).isOK)
        try stage.set.world.run(
            until: { node.member?.isWritablePrimary == true }, atMost: .seconds(20), "the new set's primary")
        let write: Document = ["insert": "majority", "documents": [["_id": -1]], "writeConcern": ["w": "majority"]]
        #expect(try stage.run(node, write, database: WriteWorkload.database).isOK)
        #expect(try #require(node.oplogLast) > summary.optime)
    }

    @Test("a connection that is lost for a while is made again; one that is lost for good leaves no whole copy")
    func lostConnection() throws {
        let stage = try Stage(seed: 7, buggifies: true)
        let source = try #require(stage.set.members.first { $0.state == .secondary })
        stage.begin(from: source)
        for _ in 0..<3 {
            try stage.set.world.run(for: .milliseconds(20))
            #expect(stage.result == nil)
            stage.set.world.network.block(from: "backup", to: source.name)
            try stage.set.world.run(for: .seconds(1))
            stage.set.world.network.unblock(from: "backup", to: source.name)
        }
        try stage.set.world.run(for: .milliseconds(20))
        #expect(stage.result == nil)
        source.crash()
        try stage.set.world.run(until: { stage.result != nil }, atMost: .seconds(60), "the end of the backup")
        #expect(throws: (any Error).self) { try stage.end() }
        guard case .failure(let refusal) = try stage.restore() else {
            Issue.record("a part of a backup was started as a set")
            return
        }
        #expect("\(refusal)".contains("did not come to its end"))
    }
}
