/// Which members of a replica set an operation may go to, in MongoDB's terms.
public struct ReadPreference: Hashable, Sendable {
    public enum Mode: String, Sendable, CaseIterable {
        case primary, primaryPreferred, secondary, secondaryPreferred, nearest
    }

    public var mode: Mode
    /// Tags that a member must all have; the first set that any member matches counts. Empty allows every member.
    public var tagSets: [[String: String]]
    /// Members estimated to lag further behind are left out; nil for no bound.
    public var maxStalenessSeconds: Int?

    public init(_ mode: Mode, tagSets: [[String: String]] = [], maxStalenessSeconds: Int? = nil) {
        self.mode = mode
        self.tagSets = tagSets
        self.maxStalenessSeconds = maxStalenessSeconds
    }

    public static let primary = ReadPreference(.primary)
    public static let primaryPreferred = ReadPreference(.primaryPreferred)
    public static let secondary = ReadPreference(.secondary)
    public static let secondaryPreferred = ReadPreference(.secondaryPreferred)
    public static let nearest = ReadPreference(.nearest)
}

/// A read preference that cannot be served, whatever the members' state.
public struct InvalidReadPreference: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

extension ReadPreference {
    /// The smallest bound that may be asked for: below it a healthy secondary could be left out.
    public static let smallestMaxStalenessSeconds = 90
    /// How often an idle primary writes a no-op, which bounds how exactly staleness can be estimated.
    public static let idleWritePeriod: Duration = .seconds(10)

    /// Checks what the specification forbids: bounds or tags with mode `primary`, and bounds that are too small for how
    /// often servers are looked at. Routers check for themselves, so only replica sets are checked here.
    public func validate(heartbeatInterval: Duration, isReplicaSet: Bool) throws(InvalidReadPreference) {
        if mode == .primary, tagSets.contains(where: { !$0.isEmpty }) {
            throw InvalidReadPreference("read preference primary cannot be combined with tags")
        }
        guard let bound = maxStalenessSeconds, bound != -1 else { return }
        if mode == .primary {
            throw InvalidReadPreference("read preference primary cannot be combined with maxStalenessSeconds")
        }
        guard isReplicaSet else { return }
        if bound < ReadPreference.smallestMaxStalenessSeconds {
            throw InvalidReadPreference(
                "maxStalenessSeconds is \(bound), but must be at least \(ReadPreference.smallestMaxStalenessSeconds)")
        }
        let least = heartbeatInterval + ReadPreference.idleWritePeriod
        if Duration.seconds(bound) < least {
            throw InvalidReadPreference(
                "maxStalenessSeconds is \(bound), but must be at least the heartbeat interval and 10 s: \(least)")
        }
    }
}
