import BSON
import Client
import Core

/// A client that inserts documents into a collection with a TTL index (I28): what expires must go on all members, by
/// the deletions of primaries alone, and nothing else may.
final class ExpiryWorkload {
    /// When a document expires.
    private enum Lifetime: CaseIterable {
        /// Long ago, whatever the clock of a primary says.
        case past
        /// Around now: it may be there or not.
        case soon
        case never
    }

    private let set: SimulatedReplicaSet
    let client: SimulatedClient
    private var lifetimes: [Int64: Lifetime] = [:]
    private var acknowledged: Set<Int64> = []
    private var isStopped = false
    private var isRunning = false
    private var hasIndex = false
    var name: String { client.name }
    /// Documents that were acknowledged and are to go.
    var expired: Int { acknowledged.count { lifetimes[$0] == .past } }

    init(_ set: SimulatedReplicaSet) {
        self.set = set
        client = SimulatedClient(set, name: "expiry")
    }

    func start() {
        isRunning = true
        client.runtime.spawn("expiry") { [self] in
            while !isStopped {
                do {
                    if hasIndex { try await insert() } else { try await makeIndex() }
                } catch {
                    set.timeline.add(client.name, "\(error)")
                }
                await client.runtime.sleep(for: .milliseconds(Int64(20 + client.runtime.random(below: 200))))
            }
            isRunning = false
        }
    }

    private func makeIndex() async throws {
        let index: Document = ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 0]
        try await client.client[WriteWorkload.database].runCommand([
            "createIndexes": "expiring", "indexes": [.document(index)],
            "writeConcern": ["w": "majority", "wtimeout": 5000],
        ])
        hasIndex = true
    }

    private func insert() async throws {
        let id = Int64(lifetimes.count)
        let lifetime = Lifetime.allCases[Int(client.runtime.random(below: UInt64(Lifetime.allCases.count)))]
        lifetimes[id] = lifetime
        let at: Int64 =
            switch lifetime {
            case .past: id
            case .soon: client.runtime.wallClock.milliseconds + Int64(client.runtime.random(below: 2000))
            case .never: .max
            }
        let concern = WriteConcern(w: .majority, timeoutMillis: 5000)
        let collection = client.client[WriteWorkload.database]["expiring"].with(writeConcern: concern)
        _ = try await collection.insertOne(["_id": .int64(id), "at": .dateTime(at)])
        acknowledged.insert(id)
    }

    /// Runs the world until the client has its last answer, and until what has expired is gone.
    func stop(within limit: Duration) throws {
        isStopped = true
        try set.world.run(until: { !self.isRunning }, atMost: limit, "the end of the expiry client\n  \(set.summary)\n")
        try set.world.run(
            until: { self.readable.allSatisfy { (try? self.left($0).isEmpty) == true } }, atMost: limit,
            "what has expired to be deleted\n  \(set.summary)\n")
    }

    private var readable: [SimulatedMember] {
        self.set.members.filter { $0.state == .primary || $0.state == .secondary }
    }

    /// Documents that have expired long ago.
    private func left(_ member: SimulatedMember) throws -> [Int64] {
        try ids(member).filter { lifetimes[$0] == .past }
    }

    private func ids(_ member: SimulatedMember) throws -> [Int64] {
        try member.documents(WriteWorkload.database, "expiring").map { $0["_id"]?.asInteger ?? -1 }
    }

    /// Compares what every member holds with what has to be there. Call at quiescence.
    func check() throws {
        for member in readable {
            let ids = try ids(member)
            let held = Set(ids)
            guard held.count == ids.count, held.allSatisfy({ lifetimes[$0] != nil }) else {
                throw set.failure("\(member.name) holds expiring documents twice, or some that nobody wrote: \(ids)")
            }
            for id in acknowledged.sorted() where lifetimes[id] == .never && !held.contains(id) {
                throw set.failure("\(member.name) has lost the document \(id), which never expires")
            }
            for id in ids where lifetimes[id] == .past {
                throw set.failure("\(member.name) holds the document \(id), which has expired")
            }
        }
    }
}
