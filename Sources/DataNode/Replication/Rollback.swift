internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Takes back what this member has and its sync source has not: entries of a primary that was replaced before a
/// majority held them. Carries out what `RollbackCourse` decides.
///
/// What lies behind the common point is undone, the oplog is cut there, and everything in memory is loaded afresh. The
/// vote, the configuration and the incarnation stay: nothing that was acknowledged by a majority is forgotten, so the
/// member goes on voting.
final class Rollback {
    private unowned let role: ReplicaSetRole
    private let node: Node
    private let source: MemberID
    private let sourceHost: String
    private var course = RollbackCourse()
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

    // MARK: Events in, directives out

    func start() {
        let link = role.makeLink(to: sourceHost)
        self.link = link
        node.runtime.spawn("rollback") { [self] in
            do {
                var directives = course.onStart()
                while let directive = directives.first, !isCancelled {
                    do {
                        directives = try await perform(directive, link)
                    } catch let error as ServerError {
                        directives = course.onNoAnswer("\(error)")
                    }
                }
            } catch {
                node.fail(error)
            }
            link.close()
        }
    }

    private func perform(
        _ directive: RollbackCourse.Directive, _ link: PeerLink
    ) async throws -> [RollbackCourse.Directive] {
        switch directive {
        case .readOwnEntries(let newer):
            let entries = try await node.data.whenResident { try ownEntries(olderThan: newer) }
            return course.onOwnEntries(entries, situation)
        case .ask(let request):
            let answer = try await link.call(request) { $0 }
            return course.onAnswer(answer, situation)
        case .undo(let common): try await undo(to: common)
        case .refuse(let common, let commitPoint):
            try RollbackOperation.checkCommonPoint(common, commitPoint: commitPoint)
        case .resynchronize(let answer): role.resynchronize(because: answer)
        case .giveUp(let why): giveUp(why)
        }
        return []
    }

    private var situation: RollbackCourse.Situation {
        RollbackCourse.Situation(
            commitPoint: role.member.commitPoint, undoneFrom: node.data.versions.commitPoint,
            isSourcePrimary: role.member.primaryHost == sourceHost)
    }

    private func giveUp(_ why: String) {
        guard !isCancelled else { return }
        role.drive { member, now in member.onSyncSourceFailed(source, deniedFor: Limits.syncSourceDenialShort, now: now)
        }
        role.rollbackEnded(self, "given up: \(why)")
    }

    /// Newest first.
    private func ownEntries(olderThan newer: OpTime?) throws -> [OpTime] {
        var optimes: [OpTime] = []
        try node.data.oplog.read(
            from: newer?.timestamp ?? node.lastOpTime.timestamp, inclusive: newer == nil, direction: .backward,
            limitEntries: node.runtime.buggified("few optimes", Limits.rollbackOptimesPerRequest, 2), limitBytes: .max
        ) { entry in
            if let base = entry.baseAddress, let optime = OpTime(DocumentView(base: base)) { optimes.append(optime) }
            return true
        }
        return optimes
    }

    private func undo(to common: OpTime) async throws {
        let data = node.data
        let last = node.lastOpTime
        // Cursors hold on to what is about to be replaced.
        node.frontend.cursors.closeAll()
        // Before anything is undone: others that sync from us must not mistake our new entries for what follows these.
        let id = try await role.local.raiseRollbackID(node)
        if isCancelled { return }
        let kept = try await data.whenResident { try firstKept(common) }
        let operation = try RollbackOperation(data, to: kept, rollbackID: id)
        // A member that stops here goes on when it starts again.
        try await node.inSlices {
            isCancelled ? () : try operation.run(until: $0).ended
        } between: {
            try await operation.settle { isCancelled }
            try await node.endSlice()
        }
        if isCancelled { return }
        role.rollbackEnded(
            self,
            "from \(last) to \(common); \(operation.keptCount) documents kept as rollback \(id) \(operation.place)")
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
