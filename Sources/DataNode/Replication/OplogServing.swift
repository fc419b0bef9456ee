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
                let request = try FetchOplogRequest(decoding: context.body)
                switch request.purpose {
                case .initialSync: role.oplogPins.keep(from: request.after.timestamp, for: context.connection)
                case .following(let term): role.drive { member, now in member.onTermSeen(term, now: now) }
                }
                if try answer(request, role, context.writer) { return .done }
                let deadline = context.runtime.now + min(.milliseconds(request.awaitMillis), Limits.awaitMax)
                return .later {
                    let data = context.node.data
                    while try await !data.whenResident({ try answer(request, role, context.writer) }) {
                        guard context.runtime.now < deadline, !context.connection.isAbandoned,
                            !context.node.isShuttingDown
                        else { return write(.nothingNew, role, context.writer) }
                        await role.oplogChanged.wait(until: deadline, on: context.connection)
                    }
                }
            })
    }

    static func notAMember() -> ServerError {
        ServerError(.noReplicationEnabled, "not running with --replset")
    }

    /// Writes an answer if there is one; false: nothing new yet.
    private static func answer(
        _ request: FetchOplogRequest, _ role: ReplicaSetRole, _ writer: DocumentWriter
    ) throws -> Bool {
        let oplog = role.node.data.oplog
        let last = role.node.lastOpTime
        let after = request.after
        if after != last || request.isInclusive {
            if after > last {
                write(.behind, role, writer)
            } else if let first = oplog.first, after < first {
                write(.stale, role, writer)
            } else if try !oplog.contains(after) {
                write(.diverged, role, writer)
            } else if let frame = try oplog.nextFrame(
                after: request.isInclusive
                    ? Timestamp(rawValue: max(after.timestamp.rawValue, 1) - 1) : after.timestamp,
                limitBytes: role.runtime.buggified("small batch of entries", Limits.oplogFrameBytes, 300))
            {
                role.node.counters.replication.noteSent(frame)
                frame.bytes.withUnsafeBytes { write(.entries, frame: $0, role, writer) }
            } else {
                return false
            }
            return true
        }
        guard role.member.commitPoint > request.knownCommitPoint else { return false }
        write(.nothingNew, role, writer)
        return true
    }

    private static func write(
        _ answer: OplogAnswer, frame: UnsafeRawBufferPointer? = nil, _ role: ReplicaSetRole, _ writer: DocumentWriter
    ) {
        FetchOplogReply(answer, frame: frame, role.metadata).encode(to: writer)
    }
}

extension ReplicaSetRole {
    /// What those that sync from this member learn with each answer.
    var metadata: ReplicationMetadata { member.replicationMetadata(rollbackID: local.rollbackID) }
}
