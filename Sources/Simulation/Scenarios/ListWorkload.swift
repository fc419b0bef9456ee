import BSON
import Client
public import Core

/// Clients that append to lists and read them, in all the ways that promise something: with majority writes and
/// linearizable, majority, snapshot and causal reads, on the primary and on secondaries, alone and in sessions, and
/// with requests that are sent more than once. `ListChecker` compares what they saw with what is there in the end.
public final class ListWorkload {
    static let collection = "lists"
    /// Lists in use at a time, and appends to one before a new one takes its place: readers read whole lists.
    private static let width = 3
    private static let length: Int64 = 30

    private let set: SimulatedReplicaSet
    private(set) var history = ListHistory()
    private(set) var clients: [SimulatedClient] = []
    private var appended: [Int64] = []
    private var nextValue: Int64 = 0
    private var nextSession = 0
    private var visitors = 0
    private var running = 0
    private var isStopped = false
    /// Operations that were answered, by what they were.
    public private(set) var counts: [String: Int] = [:]
    public private(set) var lastAcknowledged = Instant.zero
    public var names: [String] { clients.map(\.name) }

    public init(_ set: SimulatedReplicaSet, clients count: Int) {
        self.set = set
        appended = Array(repeating: 0, count: Self.width)
        for index in 0..<count { clients.append(SimulatedClient(set, name: "lists-\(index)")) }
    }

    /// Starts one actor of each kind a client, and the sessions among them.
    public func start(sessions: Int, pause: Duration = .milliseconds(120)) {
        for client in clients { loop(client, pause) { [self] in await step(client) } }
        for index in 0..<sessions {
            let client = clients[index % clients.count]
            loop(client, pause) { [self] in await runSession(client, pause) }
        }
    }

    private func loop(_ client: SimulatedClient, _ pause: Duration, _ body: @escaping () async -> Void) {
        running += 1
        let runtime = client.runtime
        runtime.spawn("list client") { [self] in
            while !isStopped {
                await body()
                await sleep(client, upTo: pause)
            }
            running -= 1
        }
    }

    private func sleep(_ client: SimulatedClient, upTo most: Duration) async {
        await client.runtime.sleep(for: .nanoseconds(Int64(client.runtime.random(below: UInt64(most.nanoseconds)))))
    }

    /// Stops the clients and runs the world until each has had its answer.
    public func stop(within limit: Duration = .seconds(60)) throws {
        isStopped = true
        try set.world.run(
            until: { self.running == 0 }, atMost: limit, "the end of the list clients\n  \(set.summary)\n")
    }

    /// The list in a slot: a new one when it has become long.
    private func key(_ client: SimulatedClient) -> Int {
        let slot = Int(client.runtime.random(below: UInt64(Self.width)))
        return Int(appended[slot] / Self.length) * Self.width + slot
    }

    private func count(_ what: String) { counts[what, default: 0] += 1 }

    // MARK: Single operations

    private func step(_ client: SimulatedClient) async {
        let key = key(client)
        switch client.runtime.random(below: 16) {
        case 0, 1, 2, 3: await append(client, key, .majority, session: nil, nil)
        case 4, 10, 11: await append(client, key, .w(1), session: nil, nil)
        case 5: await appendTwice(client, key)
        case 6, 7: await read(client, key, .linearizable, .primary, session: nil, nil)
        case 8: await read(client, key, .majority, preference(client), session: nil, nil)
        case 9: await read(client, key, .local, preference(client), session: nil, nil)
        case 12: await killCursor(client)
        case 13: await shareSession(client)
        default: await readSnapshot(client, key)
        }
    }

    private func preference(_ client: SimulatedClient) -> ReadPreference {
        [.primary, .secondaryPreferred, .nearest][Int(client.runtime.random(below: 3))]
    }

    private func begin(_ key: Int, session: Int?) -> (place: Int, value: Int64) {
        nextValue += 1
        appended[key % Self.width] += 1
        return (history.invoke(nextValue, key: key, session: session), nextValue)
    }

    private func append(
        _ client: SimulatedClient, _ key: Int, _ concern: WriteConcern, session: Int?,
        _ clientSession: ClientSession?
    ) async {
        let (place, value) = begin(key, session: session)
        var concern = concern
        let isMajority = concern == .majority
        if isMajority { concern.timeoutMillis = 5000 }
        let target = client.client[WriteWorkload.database][Self.collection].with(writeConcern: concern)
        do {
            _ = try await target.updateOne(
                ["_id": .int64(Int64(key))], ["$push": ["list": .int64(value)]], upsert: true, session: clientSession)
            if isMajority { acknowledged(place) }
            count(isMajority ? "majority append" : "w:1 append")
        } catch let error as CommandError where error.code == .transactionTooOld {
            // The other user of the session was quicker.
            count("append overtaken in its session")
        } catch {
            count("append of unknown outcome")
        }
    }

    private func acknowledged(_ place: Int) {
        history.acknowledge(place)
        lastAcknowledged = set.world.now
    }

    private func read(
        _ client: SimulatedClient, _ key: Int, _ concern: ListHistory.Concern, _ preference: ReadPreference,
        session: Int?, _ clientSession: ClientSession?
    ) async {
        let invoked = history.now()
        let target = client.client[WriteWorkload.database][Self.collection]
            .with(readConcern: concern.readConcern).with(readPreference: preference)
        var options = FindOptions()
        options.maxTimeMilliseconds = 3000
        do {
            let found = try await target.findOne(
                ["_id": .int64(Int64(key))], options: options, session: clientSession)
            history.answer(key: key, concern, session: session, invoked: invoked, list: Self.list(found))
            count("\(concern.rawValue) read")
        } catch {
            count("read that failed")
        }
    }

    private static func list(_ document: Document?) -> [Int64] {
        (document?["list"]?.asArray ?? []).compactMap(\.asInteger)
    }

    /// Reads at the member's majority point, and then again at that time somewhere else.
    private func readSnapshot(_ client: SimulatedClient, _ key: Int) async {
        var time: Timestamp?
        for _ in 0..<2 {
            let invoked = history.now()
            var concern: Document = ["level": "snapshot"]
            if let time { concern.append("atClusterTime", .timestamp(time)) }
            do {
                let reply = try await client.client[WriteWorkload.database].runCommand(
                    [
                        "find": .string(Self.collection), "filter": ["_id": .int64(Int64(key))],
                        "readConcern": .document(concern), "maxTimeMS": 3000,
                    ], preference: preference(client))
                let cursor = reply["cursor"]?.asDocument
                guard let cursor, let at = cursor["atClusterTime"]?.asTimestamp, time == nil || at == time else {
                    return set.world.fail(
                        "a snapshot read at \(time.map { "\($0)" } ?? "a time of the member's choice") was answered "
                            + "with \(cursor?["atClusterTime"] ?? .null)")
                }
                let found = cursor["firstBatch"]?.asArray?.first?.asDocument
                history.answer(key: key, .snapshot, session: nil, invoked: invoked, list: Self.list(found), time: at)
                count("snapshot read")
                time = at
                await sleep(client, upTo: .milliseconds(150))
            } catch {
                return count("read that failed")
            }
        }
    }

    // MARK: Sessions

    /// A causal session: reads and writes with majority concerns, on any member, each of which must see what the
    /// session has seen.
    private func runSession(_ client: SimulatedClient, _ pause: Duration) async {
        nextSession += 1
        let number = nextSession
        let session = client.client.startSession()
        for _ in 0..<(3 + client.runtime.random(below: 15)) where !isStopped {
            let key = key(client)
            if client.runtime.random(below: 5) < 2 {
                await append(client, key, .majority, session: number, session)
            } else {
                await read(client, key, .majority, preference(client), session: number, session)
            }
            await sleep(client, upTo: pause)
        }
        session.end()
    }

    // MARK: Duplicates

    /// A request that is sent several times with one transaction number, to whoever is primary, as a client does that
    /// has lost the answers, and as a network might.
    private func appendTwice(_ client: SimulatedClient, _ key: Int) async {
        let (place, value) = begin(key, session: nil)
        var id: [UInt8] = []
        for word in [client.runtime.randomNumber(), client.runtime.randomNumber()] {
            withUnsafeBytes(of: word.littleEndian) { id.append(contentsOf: $0) }
        }
        let command: Document = [
            "update": .string(Self.collection),
            "updates": [
                ["q": ["_id": .int64(Int64(key))], "u": ["$push": ["list": .int64(value)]], "upsert": true]
            ],
            "lsid": ["id": .binary(subtype: 4, id)], "txnNumber": .int64(1),
            "writeConcern": ["w": "majority", "wtimeout": 5000],
        ]
        for _ in 0..<(2 + client.runtime.random(below: 3)) {
            if let member = set.primary {
                member.send(command, in: WriteWorkload.database) { [weak self] reply in
                    guard let self, reply["ok"]?.asNumber == 1, reply["writeConcernError"] == nil,
                        reply["writeErrors"] == nil, history.appends[place].acknowledged == nil
                    else { return }
                    acknowledged(place)
                }
                count(FaultKind.duplicate.rawValue)
            }
            // Now and then the next one comes while this one runs.
            if client.runtime.random(below: 4) > 0 { await sleep(client, upTo: .milliseconds(400)) }
        }
    }

    // MARK: Clients that behave badly

    /// A cursor that is killed while its next batch may be under way.
    private func killCursor(_ client: SimulatedClient) async {
        let hosts = set.members.filter { $0.isWritablePrimary || $0.state == .secondary }
        guard !hosts.isEmpty else { return }
        let member = hosts[Int(client.runtime.random(below: UInt64(hosts.count)))]
        member.send(
            ["find": .string(Self.collection), "batchSize": 1, "maxTimeMS": 3000], in: WriteWorkload.database
        ) { [weak self, weak member] reply in
            guard let self, let member, let id = reply["cursor"]?.asDocument?["id"]?.asInteger, id != 0 else { return }
            let getMore: Document = ["getMore": .int64(id), "collection": .string(Self.collection), "batchSize": 1]
            let kill: Document = ["killCursors": .string(Self.collection), "cursors": [.int64(id)]]
            member.send(getMore, in: WriteWorkload.database) { _ in }
            member.send(kill, in: WriteWorkload.database) { [weak self] reply in
                if reply["cursorsKilled"]?.asArray?.count == 1 { self?.count(FaultKind.killedCursor.rawValue) }
            }
        }
    }

    /// Two operations at once in one session, as no driver promises to make work: each takes effect once or not at all.
    private func shareSession(_ client: SimulatedClient) async {
        let session = client.client.startSession()
        let other = key(client)
        var isDone = false
        client.runtime.spawn("second user of a session") { [self] in
            await append(client, other, .w(1), session: nil, session)
            isDone = true
        }
        await append(client, key(client), .majority, session: nil, session)
        count(FaultKind.sharedSession.rawValue)
        while !isDone { await sleep(client, upTo: .milliseconds(50)) }
        session.end()
    }

    /// A client of its own, whose process dies in the middle of writing.
    func visit(for lifetime: Duration, thenDying connections: DeadConnections) {
        visitors += 1
        let visitor = SimulatedClient(set, name: "visitor-\(visitors)")
        visitor.runtime.spawn("visitor") { [self] in
            while !isStopped { await append(visitor, key(visitor), .majority, session: nil, nil) }
        }
        set.later(lifetime) { [set] in
            set.timeline.add(visitor.name, "CRASH (\(connections))")
            set.world.apply(.crash(visitor.name, connections: connections))
        }
    }

    // MARK: Checks

    /// Compares what clients saw with what is there. Call at quiescence, or when the set is unavailable for good.
    public func check(isAvailable: Bool) throws {
        var final: [Int: [Int64]]?
        if isAvailable {
            guard let primary = set.primary else { throw set.failure("no primary to compare the lists with") }
            var lists: [Int: [Int64]] = [:]
            for document in try primary.documents(WriteWorkload.database, Self.collection) {
                lists[Int(document["_id"]?.asInteger ?? -1)] = Self.list(document)
            }
            final = lists
        }
        if let problem = ListChecker(history, final: final).check(isComplete: isAvailable) {
            throw set.failure(problem)
        }
    }
}

extension ListHistory.Concern {
    /// As a client asks for it.
    fileprivate var readConcern: ReadConcern {
        switch self {
        case .local: .local
        case .majority: .majority
        case .snapshot: .snapshot
        case .linearizable: .linearizable
        }
    }
}
