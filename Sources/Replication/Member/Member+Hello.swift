public import BSON
import Core

/// What `hello` says of the set, and what of it makes a new `topologyVersion`.
struct TopologySummary: Equatable, Sendable {
    let state: MemberState
    let isWritable: Bool
    let primaryID: MemberID?
    let config: ConfigVersion
    let term: Int64
    let isShuttingDown: Bool

    init(_ member: Member) {
        state = member.state
        isWritable = member.isWritablePrimary
        primaryID = member.primaryID
        config = member.config?.configVersion ?? .none
        // Only a primary's term shows, as its electionId.
        term = member.leadership == nil ? 0 : member.term
        isShuttingDown = member.isShuttingDown
    }
}

extension Member {
    /// MongoDB's form of an election id: `7fffffff` and the term, so that ids compare as terms do.
    public static func electionID(term: Int64) -> ObjectID {
        let bits = UInt64(bitPattern: term)
        return ObjectID(high: 0x7FFF_FFFF << 32 | bits >> 32, low: UInt32(truncatingIfNeeded: bits))
    }

    /// Writes the fields of a `hello` reply that come from the replica set. `legacy`: under the names of `isMaster`.
    public func writeHello(to writer: DocumentWriter, legacy: Bool = false) {
        guard let config, selfIndex != nil, let me = selfConfig, state != .startup else {
            writeUninitializedHello(to: writer, legacy: legacy)
            return
        }
        writeHosts(config, to: writer)
        writer.append("setName", string: config.setName)
        writer.append("setVersion", int32: Int32(clamping: config.version))
        if legacy {
            writer.append("ismaster", bool: isWritablePrimary)
        } else {
            writer.append("isWritablePrimary", bool: isWritablePrimary)
        }
        writer.append("secondary", bool: state == .secondary && !isShuttingDown)
        if let primaryID, let primary = config.members.first(where: { $0.id == primaryID }),
            primaryID != me.id || isWritablePrimary
        {
            writer.append("primary", string: primary.host)
        }
        if me.isArbiter { writer.append("arbiterOnly", bool: true) }
        if me.priority == 0, !me.isArbiter { writer.append("passive", bool: true) }
        if me.isHidden { writer.append("hidden", bool: true) }
        if me.secondaryDelaySeconds > 0 {
            writer.append("secondaryDelaySecs", int32: Int32(clamping: me.secondaryDelaySeconds))
        }
        if !me.tags.isEmpty {
            writer.document("tags") { document in
                for tag in me.tags { document.append(tag.name, .string(tag.value)) }
            }
        }
        writer.append("me", string: me.host)
        if isWritablePrimary { writer.append("electionId", objectID: Member.electionID(term: term)) }
        if !me.isArbiter { writeLastWrite(to: writer) }
    }

    private func writeHosts(_ config: ReplicaSetConfig, to writer: DocumentWriter) {
        let shown = config.members.filter { !$0.isHidden }
        writer.array("hosts") { array in
            for member in shown where !member.isArbiter && member.priority > 0 { array.append(string: member.host) }
        }
        let passives = shown.filter { !$0.isArbiter && $0.priority == 0 }
        if !passives.isEmpty {
            writer.array("passives") { array in for member in passives { array.append(string: member.host) } }
        }
        let arbiters = shown.filter(\.isArbiter)
        if !arbiters.isEmpty {
            writer.array("arbiters") { array in for member in arbiters { array.append(string: member.host) } }
        }
    }

    private func writeLastWrite(to writer: DocumentWriter) {
        let committed = majorityReadPoint
        writer.document("lastWrite") { document in
            document.append("opTime", progress.applied)
            document.append("lastWriteDate", dateTime: wallClock(of: progress.applied).milliseconds)
            document.append("majorityOpTime", committed)
            document.append("majorityWriteDate", dateTime: wallClock(of: committed).milliseconds)
        }
    }

    private func writeUninitializedHello(to writer: DocumentWriter, legacy: Bool) {
        if legacy {
            writer.append("ismaster", bool: false)
        } else {
            writer.append("isWritablePrimary", bool: false)
        }
        writer.append("secondary", bool: false)
        writer.append("isreplicaset", bool: true)
        writer.append("info", string: "Does not have a valid replica set config" as StaticString)
    }

    /// The date of an entry: exact for our newest one, to the second for others.
    func wallClock(of optime: OpTime) -> WallTime {
        progress.wall(of: optime) ?? WallTime(milliseconds: Int64(optime.timestamp.seconds) * 1000)
    }
}
