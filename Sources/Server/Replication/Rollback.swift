internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Takes back what this member has and its sync source has not: entries of a primary that was replaced before a
/// majority held them.
///
/// The newest entry that both have is found by asking the source; what lies behind it is undone, the oplog is cut
/// there, and everything in memory is loaded afresh. The vote, the configuration and the incarnation stay: nothing that
/// was acknowledged by a majority is forgotten, so the member goes on voting.
final class Rollback {
    private unowned let role: ReplicaSetRole
    private let node: Node
    private let source: MemberID
    private let sourceHost: String
    private var link: PeerLink?
    private var isCancelled = false

    init(role: ReplicaSetRole, source: MemberID, sourceHost: String) {
        self.role = role
        node = role.node
        self.source = source
        self.sourceHost = sourceHost
    }

    func cancel() {
        isCancelled = true
        link?.close()
    }

    func start() {
        let link = role.makeLink(to: sourceHost)
        self.link = link
        node.runtime.spawn("rollback") { [self] in
            do {
                if let common = try await findCommonPoint(link), !isCancelled { try await undo(to: common) }
            } catch let error as ServerError {
                // The source is gone, or has changed its mind: whoever is followed next finds the difference again.
                giveUp("\(error)")
            } catch {
                node.fail(error)
            }
            link.close()
        }
    }

    private func giveUp(_ why: String) {
        guard !isCancelled else { return }
        role.drive { member, now in member.onSyncSourceFailed(source, deniedFor: Limits.syncSourceDenialShort, now: now)
        }
        role.rollbackEnded(self, "given up: \(why)")
    }

    /// Asks the source, newest entries first, which of ours it has. nil: it cannot say, and what follows has been done.
    private func findCommonPoint(_ link: PeerLink) async throws -> OpTime? {
        var from = node.lastOpTime.timestamp
        var isFirst = true
        while !isCancelled {
            var optimes: [OpTime] = []
            try node.data.oplog.read(
                from: from, inclusive: isFirst, direction: .backward,
                limitEntries: node.runtime.buggified("few optimes", Limits.rollbackOptimesPerRequest, 2),
                limitBytes: .max
            ) { entry in
                if let base = entry.baseAddress, let optime = OpTime(DocumentView(base: base)) {
                    optimes.append(optime)
                }
                return true
            }
            guard let oldest = optimes.last else { return .null }
            // Its log may begin later than what we share: another member may know more. The primary has the last word.
            let answer = try await link.call(CommonPointRequest(optimes: optimes)) { $0 }
            if let common = answer.common { return common }
            let first = answer.first ?? .null
            if first > oldest, role.member.commitPoint < first {
                if role.member.primaryHost == sourceHost {
                    role.resynchronize(because: .stale)
                } else {
                    giveUp("its oplog begins at \(first)")
                }
                return nil
            }
            from = oldest.timestamp
            isFirst = false
        }
        return nil
    }

    private func undo(to common: OpTime) async throws {
        let data = node.data
        try RollbackOperation.checkCommonPoint(common, commitPoint: role.member.commitPoint)
        // The data were cloned behind that point, or have nothing in common: there is nothing to go back to.
        guard !common.isNull, common.timestamp >= data.versions.commitPoint.timestamp else {
            return role.resynchronize(because: .diverged)
        }
        let last = node.lastOpTime
        // Cursors hold on to what is about to be replaced.
        node.frontend.cursors.closeAll()
        let id = try role.local.beginRollback(to: common, node)
        let operation = try RollbackOperation(data, to: try firstKept(common), rollbackID: id)
        while true {
            do {
                if case .done = try operation.run(until: node.runtime.now + Limits.loopSliceMax) { break }
                await node.frontend.yieldLoop()
            } catch let missing as StorageNotResident {
                try await data.prefetch(missing)
            }
            // A member that stops here goes on when it starts again.
            if isCancelled { return }
        }
        role.rollbackEnded(self, "from \(last) to \(common); \(operation.keptCount) documents kept as rollback \(id)")
    }
}

extension Rollback {
    /// What is undone comes behind it. With that bug planted, one entry too many stays.
    private func firstKept(_ common: OpTime) throws -> OpTime {
        guard node.runtime.hasMutant(.rollbackSkipsEntry) else { return common }
        var next = common
        try node.forEachOplogEntry(after: common.timestamp) { if next == common { next = OpTime($0) ?? common } }
        return next
    }

    /// `replSetFindCommonPoint`: the source's side. Of the given optimes, newest first, the first that it has.
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "replSetFindCommonPoint", [.memberOnly, .followerOnly, .adminOnly], .memberMessage,
                help: "which entries this member has, for members"
            ) { context in
                let oplog = context.node.data.oplog
                let request = try CommonPointRequest(decoding: context.body)
                let common = try request.optimes.first { try oplog.contains($0) }
                CommonPointReply(first: oplog.first, common: common).encode(to: context.writer)
                return .done
            })
    }
}
