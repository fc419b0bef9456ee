internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// `replSetFetchOplog`: the sync source's side. Waits until there is something new and sends it as one compressed
/// frame.
enum OplogServing {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "replSetFetchOplog", [.memberOnly, .followerOnly, .adminOnly], .memberMessage,
                help: "entries of the oplog, for members"
            ) {
                context in
                guard let role = context.node.replication else { throw notAMember() }
                guard let after = context.body["after"]?.asDocument.flatMap({ OpTime($0) }),
                    let known = context.body["lastKnownCommitted"]?.asDocument.flatMap({ OpTime($0) })
                else { throw ServerError(.failedToParse, "replSetFetchOplog needs 'after' and 'lastKnownCommitted'") }
                let inclusive = context.body["inclusive"]?.isTruthy ?? false
                if context.body["initialSync"]?.isTruthy == true {
                    role.oplogPins.keep(from: after.timestamp, for: context.connection)
                }
                if let term = context.body["term"]?.asInteger {
                    role.drive { member, now in member.onTermSeen(term, now: now) }
                }
                if try append(after, known, role, inclusive, to: context.writer) { return .done }
                let wait = min(.milliseconds(context.body["maxAwaitMillis"]?.asInteger ?? 1000), Limits.awaitMax)
                let deadline = context.runtime.now + max(wait, .zero)
                return .later {
                    while try !append(after, known, role, inclusive, to: context.writer) {
                        guard context.runtime.now < deadline, !context.connection.isAbandoned,
                            !context.node.isShuttingDown
                        else { return append(.nothingNew, role, to: context.writer) }
                        await role.oplogChanged.wait(until: deadline, on: context.connection)
                    }
                }
            })
    }

    static func notAMember() -> ServerError {
        ServerError(.noReplicationEnabled, "not running with --replset")
    }

    /// Writes an answer if there is one; false: nothing new yet.
    private static func append(
        _ after: OpTime, _ known: OpTime, _ role: ReplicaSetRole, _ inclusive: Bool, to writer: DocumentWriter
    ) throws -> Bool {
        let oplog = role.node.data.oplog
        let last = role.node.lastOpTime
        if after != last || inclusive {
            if after > last {
                append(.behind, role, to: writer)
            } else if let first = oplog.first, after < first {
                append(.stale, role, to: writer)
            } else if try !oplog.contains(after) {
                append(.diverged, role, to: writer)
            } else if let frame = try oplog.nextFrame(
                after: inclusive ? Timestamp(rawValue: after.timestamp.rawValue - 1) : after.timestamp,
                limitBytes: role.runtime.buggified("small batch of entries", Limits.oplogFrameBytes, 300))
            {
                role.node.counters.replication.noteSent(frame)
                frame.bytes.withUnsafeBytes { writer.append("frame", binary: $0) }
                append(.entries, role, to: writer)
            } else {
                return false
            }
            return true
        }
        guard role.member.commitPoint > known else { return false }
        append(.nothingNew, role, to: writer)
        return true
    }

    private static func append(_ answer: OplogAnswer, _ role: ReplicaSetRole, to writer: DocumentWriter) {
        writer.append("outcome", string: answer.rawValue)
        appendMetadata(role, to: writer)
    }

    /// What every answer to a member carries.
    static func appendMetadata(_ role: ReplicaSetRole, to writer: DocumentWriter) {
        writer.document("$replData") {
            role.member.replicationMetadata(rollbackID: role.local.rollbackID).encode(to: $0)
        }
    }
}
