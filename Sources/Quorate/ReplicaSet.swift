public import Core
internal import ElectionPolicies
internal import LiveRuntime
internal import LoopbackTransport
internal import MemoryStorage
public import Server

/// A replica set to be built: its members, and the parts that they are made of.
///
/// ```swift
/// let set = try await ReplicaSet("rs0", members: 3).start()
/// try await set.client["shop"]["orders"].insert(["_id": 1, "total": 59.99], writeConcern: .majority)
/// ```
///
/// Without further words the members keep their data in memory, talk inside the process and stand for election as soon as
/// they miss their primary. Each modifier returns a changed copy.
public struct ReplicaSet: Sendable {
    public let name: String
    public let memberCount: Int
    var storage = StorageChoice.memory
    var transport = TransportChoice.loopback
    var elections = ElectionChoice.fast
    var timing = Timing()
    var log: any LogSink & Sendable = LineLog(minimumLevel: .error)
    var describe: @Sendable (inout NodeOptions) -> Void = { _ in }

    /// - Parameter members: 1 to 7; all of them vote and hold data.
    public init(_ name: String = "rs0", members: Int = 3) {
        self.name = name
        memberCount = members
    }

    /// Where members keep their data.
    public func storage(_ choice: StorageChoice) -> ReplicaSet { with { $0.storage = choice } }
    /// How members, and clients, reach one another.
    public func transport(_ choice: TransportChoice) -> ReplicaSet { with { $0.transport = choice } }
    /// When members stand for election.
    public func elections(_ choice: ElectionChoice) -> ReplicaSet { with { $0.elections = choice } }
    /// How often members give signs of life, and when one counts as lost.
    public func timing(heartbeatInterval: Duration = .milliseconds(200), electionTimeout: Duration = .seconds(1)) -> ReplicaSet {
        with { $0.timing = Timing(heartbeatInterval: heartbeatInterval, electionTimeout: electionTimeout) }
    }
    /// Where lines for people go. Errors go to standard error unless this says otherwise.
    public func log(_ sink: any LogSink & Sendable) -> ReplicaSet { with { $0.log = sink } }
    /// Further options of every node.
    public func nodeOptions(_ change: @escaping @Sendable (inout NodeOptions) -> Void) -> ReplicaSet {
        with { $0.describe = change }
    }

    private func with(_ change: (inout ReplicaSet) -> Void) -> ReplicaSet {
        var copy = self
        change(&copy)
        return copy
    }

    /// Starts the members, makes them a set, and returns when a majority has acknowledged a write.
    /// - Throws: `TransportError` when an address cannot be had, `ReplicaSetError`.
    public func start() async throws -> RunningReplicaSet {
        guard (1...Limits.votersMax).contains(memberCount) else {
            throw ReplicaSetError("a replica set has 1 to \(Limits.votersMax) voting members, not \(memberCount)")
        }
        return try await RunningReplicaSet.start(self)
    }

    struct Timing: Sendable {
        var heartbeatInterval: Duration = .milliseconds(200)
        var electionTimeout: Duration = .seconds(1)
    }
}

/// Why a replica set could not be started or did not do what it was asked.
public struct ReplicaSetError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The storage of a cluster's members.
public struct StorageChoice: Sendable {
    let name: String
    let make: StorageMaker
    /// A B+tree in memory, forgotten when the member stops.
    public static let memory = StorageChoice(name: "memory") { MemoryStorage() }
    /// An engine of your own; called once for each start of a member, on its loop.
    public static func custom(_ name: String, _ make: @escaping StorageMaker) -> StorageChoice {
        StorageChoice(name: name, make: make)
    }
}

/// The transport of a cluster.
public struct TransportChoice: Sendable {
    let name: String
    let firstPort: Int
    let make: @Sendable () throws -> any TransportNetwork
    /// Inside this process only.
    public static let loopback = TransportChoice(name: "loopback", firstPort: 0) { LoopbackTransportNetwork() }
    /// TCP on 127.0.0.1: members listen on `port` and the ports behind it; 0 for any free ones.
    public static func socket(port: Int = 0) -> TransportChoice {
        TransportChoice(name: "socket", firstPort: port) { SocketNetwork() }
    }
    /// A transport of your own.
    public static func custom(
        _ name: String, firstPort: Int = 0, _ make: @escaping @Sendable () throws -> any TransportNetwork
    ) -> TransportChoice {
        TransportChoice(name: name, firstPort: firstPort, make: make)
    }
}

/// The election policy of a cluster's members.
public struct ElectionChoice: Sendable {
    let name: String
    let policy: any ElectionPolicy
    /// Stands as soon as the connection to the primary breaks.
    public static let fast = ElectionChoice(name: "fast", policy: FastElectionPolicy())
    /// MongoDB's protocol version 1.
    public static let mongodb = ElectionChoice(name: "mongodb", policy: MongoDBElectionPolicy())
    /// A policy of your own.
    public static func custom(_ policy: any ElectionPolicy) -> ElectionChoice {
        ElectionChoice(name: policy.name, policy: policy)
    }
}
