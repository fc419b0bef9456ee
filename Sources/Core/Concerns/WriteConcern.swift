public import BSON

/// When a write counts as done.
public struct WriteConcern: Hashable, Sendable {
    /// How many members must have the write.
    public var w: Acknowledgement
    /// Whether it must be in their journals. Nil: the configuration decides for `majority`, otherwise not.
    public var journal: Bool?
    /// How long the primary waits for them; 0: without end.
    public var timeoutMillis: Int64
    /// Who asked for it.
    public var provenance = Provenance.clientSupplied

    /// Where a write concern comes from, in MongoDB's words.
    public enum Provenance: String, Hashable, Sendable {
        case clientSupplied, getLastErrorDefaults, customDefault, implicitDefault
    }

    /// Which members must have the write.
    public enum Acknowledgement: Hashable, Sendable {
        /// So many data-bearing members, the primary among them. 0: no reply.
        case number(Int)
        /// The majority of voters.
        case majority
        /// A name of `settings.getLastErrorModes`.
        case mode(String)
    }

    /// A write concern of these parts.
    public init(w: Acknowledgement, journal: Bool? = nil, timeoutMillis: Int64 = 0) {
        self.w = w
        self.journal = journal
        self.timeoutMillis = timeoutMillis
    }

    /// The majority of voters.
    public static let majority = WriteConcern(w: .majority)
    /// The primary alone.
    public static let acknowledged = WriteConcern(w: .number(1))
    /// So many members, the primary among them; 0 waits for no answer.
    public static func w(_ count: Int) -> WriteConcern { WriteConcern(w: .number(count)) }

    /// Whether the server answers at all.
    public var isAcknowledged: Bool { w != .number(0) || journal == true }

    /// When a wait that starts at `now` gives up; nil: never.
    public func deadline(from now: Instant) -> Instant? {
        timeoutMillis > 0 ? now + .milliseconds(timeoutMillis) : nil
    }

    /// Reads `{w, j, wtimeout}`; a missing `w` is 1.
    /// - Throws: `FailedToParse`, naming the field.
    public init(_ view: DocumentView) throws(ServerError) {
        self.init(w: .number(1))
        for element in view {
            switch element.key {
            case "w": w = try Self.acknowledgement(element.value)
            case "j":
                guard let flag = element.value.asBool ?? element.value.asNumber.map({ $0 != 0 }) else {
                    throw ServerError(.typeMismatch, "writeConcern.j must be a boolean")
                }
                journal = flag
            case "wtimeout":
                // What is no number counts as none given, as in MongoDB.
                let number = element.value.asNumber ?? 0
                guard number.isNaN || number <= Double(Int32.max) else {
                    throw ServerError(.failedToParse, "writeConcern.wtimeout must be at most \(Int32.max)")
                }
                timeoutMillis = number.isNaN ? 0 : Int64(max(0, min(number, Double(Int32.max))))
            case "fsync", "provenance", "wElectionId", "getLastError", "wOpTime": continue
            default:
                throw ServerError(.failedToParse, "unrecognized write concern field: \(element.key.string)")
            }
        }
    }

    private static func acknowledgement(_ value: ValueView) throws(ServerError) -> Acknowledgement {
        if let text = value.asString { return text == "majority" ? .majority : .mode(text) }
        guard let number = value.coercedInteger else {
            throw ServerError(.failedToParse, "writeConcern.w must be a number or a string")
        }
        guard (0...Int64(Limits.membersMax)).contains(number) else {
            throw ServerError(
                .failedToParse, "writeConcern.w must be from 0 to \(Limits.membersMax), not \(number)")
        }
        return .number(Int(number))
    }

    /// Writes `{w, j?, wtimeout}`.
    public func encode(to writer: DocumentWriter) {
        encodeMembers(to: writer)
        writer.append("wtimeout", int32: Int32(clamping: timeoutMillis))
    }

    /// Writes `{w, j?, wtimeout?}`, as a client asks for it.
    package func encodeAsked(to writer: DocumentWriter) {
        encodeMembers(to: writer)
        if timeoutMillis > 0 { writer.append("wtimeout", int64: timeoutMillis) }
    }

    private func encodeMembers(to writer: DocumentWriter) {
        switch w {
        case .number(let count): writer.append("w", int32: Int32(clamping: count))
        case .majority: writer.append("w", string: "majority" as StaticString)
        case .mode(let name): writer.append("w", string: name)
        }
        if let journal { writer.append("j", bool: journal) }
    }
}
