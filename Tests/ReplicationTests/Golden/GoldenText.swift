import BSON
import Core

@testable import Replication

/// How scripts write what directives and commands hold: optimes as `term:increment`, times as `500ms` and `5s`.
extension GoldenFile.Command {
    func optime(_ key: String) throws -> OpTime? { try fields[key].map(Self.optime) }

    static func optime(_ text: String) throws -> OpTime {
        let parts = text.split(separator: ":")
        guard text != "null" else { return .null }
        guard parts.count == 2, let term = Int64(parts[0]), let increment = UInt32(parts[1]) else {
            throw GoldenFile.Failure("no optime: \(text)")
        }
        return OpTime(term, increment)
    }

    func integer(_ key: String) throws -> Int64? {
        try fields[key].map { text in
            guard let number = Int64(text) else { throw GoldenFile.Failure("no number: \(text)") }
            return number
        }
    }

    func duration(_ key: String) throws -> Duration? { try fields[key].map(Self.duration) }

    static func duration(_ text: String) throws -> Duration {
        if text.hasSuffix("ms"), let number = Int64(text.dropLast(2)) { return .milliseconds(number) }
        if text.hasSuffix("s"), let number = Int64(text.dropLast()) { return .seconds(number) }
        throw GoldenFile.Failure("no time: \(text)")
    }

    /// The first argument, as a member's id.
    func memberID() throws -> MemberID {
        guard let id = arguments.first.flatMap({ MemberID($0) }) else { throw GoldenFile.Failure("\(name): no member") }
        return id
    }

    var unknown: GoldenFile.Failure { GoldenFile.Failure("unknown command: \(name)") }
}

extension OpTime {
    var golden: String { isNull ? "null" : "\(term):\(timestamp.increment)" }
}

extension Duration {
    var golden: String {
        let milliseconds = wholeMilliseconds
        return milliseconds % 1000 == 0 && milliseconds != 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }
}

extension ReplicationMetadata {
    /// What a source says of itself, for scripts that care for little of it.
    static func golden(
        term: Int64 = 1, commitPoint: OpTime = .null, applied: OpTime = OpTime(1, 10), isPrimary: Bool = false,
        primaryID: MemberID? = nil, syncSourceID: MemberID? = nil, rollbackID: Int32 = 1
    ) -> ReplicationMetadata {
        ReplicationMetadata(
            term: term, commitPoint: commitPoint, applied: applied, config: ConfigVersion(version: 1, term: 1),
            primaryID: primaryID, syncSourceID: syncSourceID, isPrimary: isPrimary, rollbackID: rollbackID)
    }
}

extension FetchOplogRequest {
    var golden: String {
        var text = "entries after \(after.golden), commit point \(knownCommitPoint.golden)"
        switch purpose {
        case .following(let term): text += ", term \(term)"
        case .initialSync(let isInclusive):
            text += isInclusive ? " and that one, for an initial sync" : ", for an initial sync"
        }
        return text + ", waiting \(Duration.milliseconds(awaitMillis).golden)"
    }
}
