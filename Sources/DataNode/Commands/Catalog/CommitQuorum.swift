internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// `commitQuorum` of an index build: how many voters with data shall have the index when `createIndexes` answers.
enum CommitQuorum: Hashable {
    case number(Int)
    case majority, votingMembers
    /// A name of `settings.getLastErrorModes`.
    case mode(String)

    /// - Throws: `FailedToParse`, `TypeMismatch`.
    init(_ value: ValueView) throws(ServerError) {
        if let name = value.asString {
            switch name {
            case "majority": self = .majority
            case "votingMembers": self = .votingMembers
            default: self = .mode(name)
            }
            return
        }
        guard value.type.isNumber else { throw wrongType("commitQuorum", value, "string, int") }
        guard let count = value.asInteger, (0...Int64(Limits.membersMax)).contains(count) else {
            throw ServerError(
                .failedToParse,
                "commitQuorum has to be a non-negative number and not greater than \(Limits.membersMax)")
        }
        self = .number(Int(count))
    }

    /// What waiting for it means in this set.
    /// - Throws: `UnsatisfiableCommitQuorum` (278) for one that can never be met; `BadValue` on a standalone.
    func concern(_ node: Node) throws(ServerError) -> WriteConcern {
        guard let role = node.replication, let config = role.member.config else {
            throw ServerError(.badValue, "Standalones can't specify commitQuorum")
        }
        let concern: WriteConcern
        switch self {
        case .number(let count):
            guard count <= config.writableVoterCount else { throw CommitQuorum.unsatisfiable }
            concern = WriteConcern(w: .number(max(count, 1)))
        case .majority: concern = .majority
        case .votingMembers: concern = WriteConcern(w: .number(max(config.writableVoterCount, 1)))
        case .mode(let name): concern = WriteConcern(w: .mode(name))
        }
        guard role.member.unsatisfiable(concern) == nil else { throw CommitQuorum.unsatisfiable }
        return concern
    }

    private static let unsatisfiable = ServerError(
        .unsatisfiableCommitQuorum, "Not enough data-bearing voting nodes to satisfy commit quorum")
}

extension CommandContext {
    /// Waits until the members that a commit quorum asks for have the index.
    func awaitQuorum(_ quorum: CommitQuorum) async throws {
        let concern = try quorum.concern(node)
        let failure = await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            node.role.awaitWriteConcern(node.lastOpTime, concern, deadline: deadline, on: connection) {
                continuation.resume(returning: $0)
            }
        }
        if let failure { throw failure }
    }
}
