public import Core
internal import LiveRuntime
public import DataNode

/// A replica set to be built: its members, and the parts that they are made of.
///
/// ```swift
/// let set = try await ReplicaSet("rs0", members: 3).start()
/// try await set.client["shop"]["orders"].insert(["_id": 1, "total": 59.99], writeConcern: .majority)
/// ```
///
/// Without further words the members keep their data in memory, talk inside the process and stand for election as soon
/// as they miss their primary. Each modifier returns a changed copy.
public struct ReplicaSet: Sendable {
    /// As clients name the set.
    public let name: String
    /// In the order of their `_id`, counted from 0.
    public let members: [Member]
    var registry = PartRegistry.standard
    var parts = PartChoices()
    var timing = Timing()
    var log: any LogSink & Sendable = LineLog(minimumLevel: .error)
    var describe: @Sendable (inout NodeOptions) -> Void = { _ in }

    /// A set of equal members.
    /// - Parameters:
    ///   - name: the set's name, as clients name it.
    ///   - members: 1 to 7; all of them vote and hold data.
    public init(_ name: String = "rs0", members: Int = 3) {
        self.name = name
        self.members = Array(repeating: Member(), count: max(members, 0))
    }

    /// A set of chosen members:
    ///
    /// ```swift
    /// ReplicaSet("rs0") {
    ///     Member(priority: 2, tags: ["dc": "ny"])
    ///     Member(tags: ["dc": "sf"])
    ///     Member.arbiter
    /// }
    /// ```
    public init(_ name: String = "rs0", @MembersBuilder _ members: () -> [Member]) {
        self.name = name
        self.members = members()
    }

    /// Where members keep their data.
    /// - Parameters:
    ///   - choice: the storage engine.
    ///   - directory: below it each member has a directory of its own; nil for storage without files.
    public func storage(_ choice: StorageChoice, directory: String? = nil) -> ReplicaSet {
        with {
            $0.parts.storage = choice
            $0.parts.directory = directory
        }
    }
    /// How members, and clients, reach one another.
    public func transport(_ choice: TransportChoice) -> ReplicaSet { with { $0.parts.transport = choice } }
    /// When members stand for election.
    public func elections(_ choice: ElectionChoice) -> ReplicaSet { with { $0.parts.elections = choice } }
    /// How the set's client chooses among the members that may serve a read, and members among those they may copy.
    public func readSelector(_ choice: ReadSelectorChoice) -> ReplicaSet { with { $0.parts.readSelector = choice } }
    /// Parts of every kind at once.
    /// - Parameters:
    ///   - choices: which parts.
    ///   - registry: where those that are named are looked up.
    public func parts(_ choices: PartChoices, from registry: PartRegistry = .standard) -> ReplicaSet {
        with {
            $0.parts = choices
            $0.registry = registry
        }
    }
    /// How often members give signs of life, and when one counts as lost.
    public func timing(heartbeatInterval: Duration = .milliseconds(200), electionTimeout: Duration = .seconds(1))
        -> ReplicaSet
    {
        with { $0.timing = Timing(heartbeatInterval: heartbeatInterval, electionTimeout: electionTimeout) }
    }
    /// Where lines for people go, each with its member's name in front (`rs0-1: now PRIMARY`). Errors go to standard
    /// error unless this says otherwise.
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

    /// Why no set can be called so; nil when one can.
    public static func problem(withName name: String) -> String? {
        if name.isEmpty { return "must not be empty" }
        return name.contains("/") ? "must not contain '/', which ends it in front of hosts: 'rs0/host:port'" : nil
    }

    /// Starts the members, makes them a set, and returns when a majority has acknowledged a write.
    /// - Throws: `TransportError` when an address cannot be had, `PartOptionError` for a part that there is not,
    ///   `ReplicaSetError`.
    public func start() async throws -> RunningReplicaSet {
        if let problem = Self.problem(withName: name) { throw ReplicaSetError("the set's name \(problem)") }
        let voters = members.count { $0.votes }
        guard (1...Limits.votersMax).contains(voters), members.count <= Limits.membersMax else {
            throw ReplicaSetError(
                "a replica set has 1 to \(Limits.votersMax) voting members and at most \(Limits.membersMax) in all, "
                    + "not \(voters) and \(members.count)")
        }
        // It initiates the set, and is the first to stand for election.
        guard members[0].holdsData, members[0].priority > 0 else {
            throw ReplicaSetError("the first member must be one that can become primary")
        }
        guard members.allSatisfy({ $0.delay >= .zero && $0.delay.components.attoseconds == 0 }) else {
            throw ReplicaSetError("a member's delay must be in whole seconds")
        }
        return try await RunningReplicaSet.start(self, try parts.parts(from: registry))
    }

    struct Timing: Sendable {
        var heartbeatInterval: Duration = .milliseconds(200)
        var electionTimeout: Duration = .seconds(1)
    }
}

/// Why a replica set could not be started or did not do what it was asked.
public struct ReplicaSetError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, in a sentence.
    public let description: String
    /// An error with that description.
    public init(_ description: String) { self.description = description }
}
