import BSON
import Client
public import Core

/// Writers that keep a record of what they were told, and the comparison of that record with what the members hold.
///
/// Three kinds of writers: inserts with `w: "majority"`, inserts with `w: 1`, and retryable increments of one counter,
/// each of which also leaves its number in a list, so that one applied twice shows.
public final class WriteWorkload {
    public static let database = "load"
    private static let text: Value = "written by the workload"
    /// What is known of the outcome of one write.
    private enum Outcome { case acknowledged, unknown }

    private let set: SimulatedReplicaSet
    let client: SimulatedClient
    private var inserts: [Int64: Outcome] = [:]
    private var increments: [Int64: Outcome] = [:]
    /// Writes that the primary alone has confirmed: they may be rolled back, and are then kept (I18).
    private var unsafe: [Int64: Outcome] = [:]
    private var nextID: Int64 = 0
    private var running = 0
    private var isStopped = false
    /// Writes that were acknowledged as asked for.
    public private(set) var acknowledged = 0
    /// Writes of which nobody knows: the answer was lost, or time ran out.
    public private(set) var unknown = 0
    /// When a majority write was acknowledged last.
    public private(set) var lastAcknowledged = Instant.zero
    public let maximumWait: Duration
    /// The node that the writers run on.
    public var name: String { client.name }

    /// - Parameter maximumWait: `wtimeout` of majority writes.
    public init(_ set: SimulatedReplicaSet, name: String = "writers", maximumWait: Duration = .seconds(5)) {
        self.set = set
        self.maximumWait = maximumWait
        client = SimulatedClient(set, name: name)
    }

    /// Starts writers that pause up to `pause` between two writes.
    public func start(inserters: Int = 2, incrementers: Int = 1, unsafe: Int = 1, pause: Duration = .milliseconds(20)) {
        let majority = WriteConcern(w: .majority, timeoutMillis: maximumWait.wholeMilliseconds)
        for _ in 0..<inserters { writer(pause) { [self] in await insert("majority", majority) } }
        for _ in 0..<unsafe { writer(pause) { [self] in await insert("one", .w(1)) } }
        for _ in 0..<incrementers { writer(pause) { [self] in await increment(majority) } }
    }

    private func writer(_ pause: Duration, _ write: @escaping () async -> Void) {
        running += 1
        let runtime = client.runtime
        runtime.spawn("writer") { [self] in
            while !isStopped {
                await write()
                await runtime.sleep(for: .nanoseconds(Int64(runtime.random(below: UInt64(pause.nanoseconds)))))
            }
            running -= 1
        }
    }

    /// Stops the writers and runs the world until each has had its answer.
    public func stop(within limit: Duration = .seconds(60)) throws {
        isStopped = true
        try set.world.run(until: { self.running == 0 }, atMost: limit, "the end of all writers\n  \(set.summary)\n")
    }

    private func nextNumber() -> Int64 {
        nextID += 1
        return nextID
    }

    private func insert(_ collection: String, _ concern: WriteConcern) async {
        let id = nextNumber()
        let target = client.client[Self.database][collection].with(writeConcern: concern)
        let outcome = await outcome {
            _ = try await target.insertOne(["_id": .int64(id), "text": Self.text])
        }
        guard collection == "majority" else {
            unsafe[id] = outcome
            return
        }
        inserts[id] = outcome
        if outcome == .acknowledged { lastAcknowledged = client.runtime.now }
    }

    private func increment(_ concern: WriteConcern) async {
        let id = nextNumber()
        let target = client.client[Self.database]["counters"].with(writeConcern: concern)
        let outcome = await outcome {
            _ = try await target.updateOne(
                ["_id": "counter"], ["$inc": ["n": 1], "$push": ["done": .int64(id)]], upsert: true)
        }
        increments[id] = outcome
    }

    private func outcome(_ write: () async throws -> Void) async -> Outcome {
        do {
            try await write()
            acknowledged += 1
            return .acknowledged
        } catch {
            unknown += 1
            set.timeline.add(client.name, "a write failed: \(error)")
            return .unknown
        }
    }

    // MARK: Checks

    /// Compares what was acknowledged with what every member holds (I5, I15). Call at quiescence.
    public func check() throws {
        for member in set.members where member.state == .primary || member.state == .secondary {
            try checkInserts(member)
            try checkIncrements(member)
        }
    }

    /// Every document that was confirmed and is gone was rolled back, and is kept by whoever did so; and nothing is
    /// kept that nobody wrote (I18). For members that remember: what others held went with them.
    func checkRolledBack() throws -> Int {
        guard let primary = set.primary else { return 0 }
        let there = Set(try primary.documents(Self.database, "one").compactMap { $0["_id"]?.asInteger })
        var kept: Set<Int64> = []
        for member in set.members {
            var places: Set<String> = []
            for (document, place) in try member.rolledBack() where document["text"] == Self.text {
                // Majority writes that nobody knows the outcome of may be lost as well.
                guard let id = document["_id"]?.asInteger, unsafe[id] != nil || inserts[id] != nil else {
                    throw set.failure("\(member.name) keeps a document that nobody wrote in \(place): \(document)")
                }
                guard places.insert("\(id) \(place)").inserted else {
                    throw set.failure("\(member.name) keeps the document \(id) twice in \(place)")
                }
                if unsafe[id] != nil { kept.insert(id) }
            }
        }
        for (id, outcome) in unsafe.sorted(by: { $0.key < $1.key })
        where outcome == .acknowledged && !there.contains(id) && !kept.contains(id) {
            throw set.failure("the w:1 write \(id) was rolled back, and nobody has kept it")
        }
        return kept.count
    }

    private func checkInserts(_ member: SimulatedMember) throws {
        var seen: [Int64: Int] = [:]
        for document in try member.documents(Self.database, "majority") {
            seen[document["_id"]?.asInteger ?? 0, default: 0] += 1
        }
        for (id, outcome) in inserts.sorted(by: { $0.key < $1.key }) where outcome == .acknowledged && seen[id] != 1 {
            throw set.failure("\(member.name) has the acknowledged write \(id) \(seen[id] ?? 0) times")
        }
        for (id, count) in seen.sorted(by: { $0.key < $1.key }) where inserts[id] == nil || count > 1 {
            throw set.failure("\(member.name) has the document \(id) \(count) times; known: \(inserts[id] != nil)")
        }
    }

    private func checkIncrements(_ member: SimulatedMember) throws {
        guard let counter = try member.documents(Self.database, "counters").first else {
            guard !increments.values.contains(.acknowledged) else {
                throw set.failure("\(member.name) has no counter, and increments were acknowledged")
            }
            return
        }
        let done = (counter["done"]?.asArray ?? []).compactMap(\.asInteger)
        let distinct = Set(done)
        if distinct.count != done.count { throw set.failure("\(member.name): an increment was applied twice") }
        if counter["n"]?.asInteger != Int64(done.count) {
            throw set.failure(
                "\(member.name): the counter is \(String(describing: counter["n"])) after \(done.count) increments")
        }
        for (id, outcome) in increments.sorted(by: { $0.key < $1.key })
        where outcome == .acknowledged && !distinct.contains(id) {
            throw set.failure("\(member.name) lost the acknowledged increment \(id)")
        }
    }
}
