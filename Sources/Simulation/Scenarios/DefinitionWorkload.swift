import BSON
import Client
import Core

/// A client that makes and drops collections and indexes all the time (I28): what comes of it must be the same on all
/// members.
final class DefinitionWorkload {
    private let set: SimulatedReplicaSet
    let client: SimulatedClient
    private var isStopped = false
    private var isRunning = false
    private(set) var done = 0
    var name: String { client.name }

    init(_ set: SimulatedReplicaSet) {
        self.set = set
        client = SimulatedClient(set, name: "definitions")
    }

    func start() {
        isRunning = true
        client.runtime.spawn("definitions") { [self] in
            while !isStopped {
                do {
                    try await step()
                    done += 1
                } catch {
                    set.timeline.add(client.name, "\(error)")
                }
                await client.runtime.sleep(for: .milliseconds(Int64(50 + client.runtime.random(below: 500))))
            }
            isRunning = false
        }
    }

    private func step() async throws {
        let database = client.client[WriteWorkload.database]
        let name = "made-\(client.runtime.random(below: 3))"
        let field = "f\(client.runtime.random(below: 3))"
        switch client.runtime.random(below: 7) {
        case 0: try await database.runCommand(["drop": .string(name)])
        case 1: try await database[name].createIndex([field: 1], unique: client.runtime.random(below: 4) == 0)
        case 2: try await database["majority"].createIndex([field: 1])
        case 3:
            let index = Value.string("\(field)_1")
            try await database.runCommand(["dropIndexes": "majority", "index": index])
        default:
            let documents = (0..<(1 + client.runtime.random(below: 20))).map { _ -> Document in
                [field: .int64(Int64(client.runtime.random(below: 1_000_000)))]
            }
            _ = try await database[name].insertMany(documents)
        }
    }

    func stop(within limit: Duration) throws {
        isStopped = true
        try set.world.run(until: { !self.isRunning }, atMost: limit, "the end of the definitions\n  \(set.summary)\n")
    }
}
