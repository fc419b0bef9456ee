internal import BSON
internal import Core
internal import Frontend

/// A read concern as a client asks for it.
struct ReadConcern {
    enum Level: String {
        case local, available, majority, linearizable, snapshot
    }

    var level = Level.local
    /// Causal consistency: read nothing older.
    var afterClusterTime: Timestamp?
    /// Read at exactly this time (`snapshot`).
    var atClusterTime: Timestamp?

    init() {}

    /// Reads `{level, afterClusterTime, atClusterTime}`.
    /// - Throws: `FailedToParse`, `InvalidOptions`, `TypeMismatch`, naming the field.
    init(_ view: DocumentView) throws(ServerError) {
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
