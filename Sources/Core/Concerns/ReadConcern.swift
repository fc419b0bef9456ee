public import BSON

/// Which state of the data a read may see.
public struct ReadConcern: Hashable, Sendable {
    /// What is there of the member's data, and what can still be taken back.
    public enum Level: String, Hashable, Sendable, CaseIterable {
        /// The newest data of the member, which may be rolled back.
        case local
        /// As `local` in a replica set.
        case available
        /// What a majority has.
        case majority
        /// As `majority`, and not older than any write that was acknowledged before the read began.
        case linearizable
        /// What a majority had at one time, over several reads.
        case snapshot
    }

    /// Which data.
    public var level: Level
    /// Causal consistency: read nothing older.
    public var afterClusterTime: Timestamp?
    /// Read at exactly this time (`snapshot`).
    public var atClusterTime: Timestamp?

    /// A read concern of that level.
    public init(_ level: Level = .local) { self.level = level }

    /// The newest data of the member, which may be rolled back.
    public static let local = ReadConcern(.local)
    /// As `local` in a replica set.
    public static let available = ReadConcern(.available)
    /// What a majority has.
    public static let majority = ReadConcern(.majority)
    /// As `majority`, and not older than any write that was acknowledged before the read began.
    public static let linearizable = ReadConcern(.linearizable)
    /// What a majority had at one time, over several reads.
    public static let snapshot = ReadConcern(.snapshot)

    /// Reads `{level, afterClusterTime, atClusterTime}`.
    /// - Throws: `FailedToParse`, `InvalidOptions`, `TypeMismatch`, naming the field.
    public init(_ view: DocumentView) throws(ServerError) {
        self.init()
        for element in view {
            switch element.key {
            case "level":
                guard element.value.type == .string else {
                    throw wrongType("readConcern.level", element.value, "string")
                }
                guard let name = element.value.asString, let level = Level(rawValue: name) else {
                    throw ServerError(
                        .badValue,
                        "readConcern.level must be either 'local', 'majority', 'linearizable', 'available', "
                            + "or 'snapshot'")
                }
                self.level = level
            case "afterClusterTime":
                guard let time = element.value.asTimestamp else {
                    throw wrongType("readConcern.afterClusterTime", element.value, "timestamp")
                }
                guard time > .zero else {
                    throw ServerError(.invalidOptions, "afterClusterTime cannot be a null timestamp")
                }
                afterClusterTime = time
            case "atClusterTime":
                guard let time = element.value.asTimestamp else {
                    throw wrongType("readConcern.atClusterTime", element.value, "timestamp")
                }
                guard time > .zero else {
                    throw ServerError(.invalidOptions, "atClusterTime cannot be a null timestamp")
                }
                atClusterTime = time
            case "provenance": try Provenance.check(element.value, in: "readConcern")
            default:
                throw ServerError(.unknownField, "BSON field 'readConcern.\(element.key.string)' is an unknown field.")
            }
        }
        if afterClusterTime != nil, level == .available || level == .linearizable {
            throw ServerError(
                .invalidOptions,
                "afterClusterTime field can be set only if level is equal to majority, local, or snapshot")
        }
        if atClusterTime != nil {
            guard level == .snapshot, afterClusterTime == nil else {
                throw ServerError(
                    .invalidOptions, "readConcern.atClusterTime needs level 'snapshot' and no afterClusterTime")
            }
        }
    }
}
