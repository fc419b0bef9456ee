internal import BSON
internal import Core
internal import Data
internal import Replication

/// Makes a member with nothing, or with a history that must not be kept, a copy of another one.
///
/// Everything is cloned while the source keeps taking writes; then the source's entries from before the clone are
/// applied up to a stop point, with rules that allow for data newer than the entry; then the indexes are built. The
/// member becomes a secondary when the stop point is committed: below it nothing can be undone here (DESIGN §6).
///
/// Every question to the source stands alone, so one that gets no answer is asked again, over a new connection, and the
/// clone goes on where it was; unless the source is another one by then, or has rolled back, or others could be asked.
final class InitialSync {
    let node: Node
    private unowned let role: ReplicaSetRole
    /// What this member has is thrown away once a source is found, and kept until then.
    private(set) var mustDiscard: Bool
    private(set) var isCancelled = false
    private var link: PeerLink?
    /// Who the source was when the attempt began.
    private var identity: SourceIdentity?
    private var sourceWaiter: (() -> Void)?
    private var progressTimer: TimerToken?
    var progress: InitialSyncProgress

    /// Why an attempt failed; another one follows.
    struct Failure: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    private struct SourceIdentity: Equatable {
        let incarnation: Incarnation
        let rollbackID: Int32
    }

    init(role: ReplicaSetRole, mustDiscard: Bool = false) {
        self.role = role
        self.mustDiscard = mustDiscard
        node = role.node
        progress = InitialSyncProgress(now: role.node.runtime.wallClock.milliseconds)
    }

    private var wall: Int64 { node.runtime.wallClock.milliseconds }

    func cancel() {
        isCancelled = true
        link?.close()
        if let progressTimer { node.runtime.cancel(progressTimer) }
        sourceWaiter?()
        sourceWaiter = nil
    }

    /// Starts to try, again and again until it succeeds or is cancelled.
    func start() {
        scheduleProgressLine()
        node.runtime.spawn("initial sync") { [self] in
            while !isCancelled {
                let failure: String
                do {
                    try await run()
                    return
                } catch let error as Failure {
                    node.runtime.probe("initial sync began again")
                    failure = error.reason
                } catch let error as ServerError {
                    failure = "\(error)"
                } catch {
                    return node.fail(error)
                }
                link?.close()
                guard !isCancelled else { return }
                progress.endAttempt(failure, failed: true, now: wall)
                let isHopeless = progress.failedCount % Limits.initialSyncAttemptsMax == 0
                node.runtime.log.log(
                    isHopeless ? .error : .warning, "initial sync", "attempt \(progress.failedCount) failed: \(failure)"
                )
                // Longer with every failure: what does not work is not tried ten times a second.
                let pause = Limits.initialSyncRetryDelay * min(progress.failedCount, Limits.initialSyncAttemptsMax)
                await node.runtime.sleep(for: pause)
            }
        }
    }

    /// For `initialSyncStatus` of `replSetGetStatus`.
    var status: Document { Document { progress.write(to: $0, now: wall) } }

    private func scheduleProgressLine() {
        progressTimer = node.runtime.schedule(after: Limits.initialSyncProgressInterval) { [weak self] in
            guard let self, !isCancelled else { return }
            node.runtime.log.log(.info, "initial sync", progress.line(now: wall))
            scheduleProgressLine()
        }
    }

    // MARK: One attempt

    private func run() async throws {
        let data = node.data
        progress.phase = "choosing a sync source"
        let host = await chooseSource()
        guard !isCancelled else { return }
        let link = role.makeLink(to: host)
        self.link = link
        identity = nil
        progress.beginAttempt(from: host, now: wall)
        node.runtime.log.log(.info, "initial sync", "attempt \(progress.failedCount + 1) from \(host)")

        let begin = try await position()
        progress.noteSource(rollbackID: begin.rollbackID, oplogStart: begin.applied.timestamp)
        if mustDiscard {
            mustDiscard = false
            try role.discardData()
        }
        try data.startInitialSync()
        progress.phase = "cloning"
        try await clone()
        var stop = try await position()
        progress.oplogEnd = stop.applied.timestamp
        progress.phase = "applying"
        try await apply(from: begin.applied, through: &stop)
        progress.phase = "building indexes"
        try await buildIndexes()
        // The voters of a new set cannot wait for a commit: without them there is no majority. They have acknowledged
        // nothing yet, so nothing is lost if what they cloned turns out not to last.
        if !role.member.isCountedVoter {
            progress.phase = "waiting for the stop point to be committed"
            try await awaitCommit(of: node.lastOpTime)
        }
        guard !isCancelled else { return }
        try data.finishInitialSync(at: node.lastOpTime)
        progress.endAttempt("OK", failed: false, now: wall)
        node.runtime.log.log(
            .info, "initial sync",
            "done: \(progress.documentsCopied) documents in \(progress.clonedCollections) collections, "
                + "\(progress.appliedEntries) entries")
        if let progressTimer { node.runtime.cancel(progressTimer) }
        role.initialSyncFinished(self)
        link.close()
    }

    /// Waits until some member can be cloned.
    private func chooseSource() async -> String {
        while !isCancelled {
            if let host = role.member.initialSyncSource(now: node.runtime.now) { return host }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                sourceWaiter = { continuation.resume() }
            }
        }
        return ""
    }

    /// Called after every event of the member: a source may have come up, or ours may be down.
    func memberChanged() {
        if let waiter = sourceWaiter {
            guard role.member.initialSyncSource(now: node.runtime.now) != nil else { return }
            sourceWaiter = nil
            waiter()
        } else if let link, link.isConnected, !role.member.isUp(progress.source) {
            // An answer that will not come is not waited for.
            link.reconnect()
        }
    }

    // MARK: Asking the source

    /// Asks the source, again when it does not answer.
    /// - Throws: `Failure` when this attempt cannot go on, `ServerError` as the source's answer.
    func ask(timeout: Duration = Limits.peerCallTimeout, _ build: (DocumentWriter) -> Void) async throws -> Document {
        var outageSince: Instant?
        while true {
            guard !isCancelled, let link else { throw Failure("cancelled") }
            do {
                if outageSince != nil { try await confirmSource(link) }
                let answer = try await link.call(timeout: timeout, build)
                progress.endOutage(now: wall)
                return answer
            } catch let error as ServerError where error.code == .hostUnreachable || error.code == .networkTimeout {
                let now = node.runtime.now
                let since = outageSince ?? now
                outageSince = since
                progress.noteRetry(now: wall)
                let isLeft = error.code == .networkTimeout || !role.member.isUp(progress.source)
                // Who hears nobody is cut off: a change of the source would only lose what has been cloned.
                let member = role.member
                if isLeft, member.initialSyncSource(now: now, otherThan: progress.source, heardSince: since) != nil {
                    role.denySource(progress.source)
                    throw Failure("\(progress.source) does not answer (\(error.message)), and another member may")
                }
                guard now - since < Limits.initialSyncOutageMax else {
                    throw Failure("\(progress.source) has not answered for \(now - since): \(error.message)")
                }
                await node.runtime.sleep(for: Limits.initialSyncRetryDelay)
            }
        }
    }

    /// After an outage: whether the source is what it was.
    private func confirmSource(_ link: PeerLink) async throws {
        let body = try await link.call { $0.append("replSetGetPosition", int32: 1) }
        _ = try check(body)
    }

    private func check(_ body: Document) throws(Failure) -> ReplicationMetadata {
        let metadata = body.withView { $0["$replData"]?.asDocument.flatMap { ReplicationMetadata($0) } }
        let incarnation = body.withView { $0["incarnation"]?.asDocument.flatMap { Incarnation($0) } }
        guard let metadata, let incarnation else { throw Failure("the source's position cannot be read") }
        let found = SourceIdentity(incarnation: incarnation, rollbackID: metadata.rollbackID)
        if let identity, identity.incarnation != incarnation {
            throw Failure("the source was started again and has forgotten what it had")
        }
        if let identity, identity != found { throw Failure("the source rolled back") }
        identity = found
        return metadata
    }

    private func position() async throws -> ReplicationMetadata {
        let metadata = try check(try await ask { $0.append("replSetGetPosition", int32: 1) })
        guard !metadata.applied.isNull else { throw Failure("the source has no data yet") }
        return metadata
    }

    // MARK: Catch up

    private func apply(
        from begin: OpTime, through stop: inout ReplicationMetadata
    ) async throws {
        let data = node.data
        var missing: [(Namespace, Value)] = []
        while !isCancelled, node.lastOpTime < stop.applied {
            let isFirst = node.lastOpTime.isNull
            let after = isFirst ? begin : node.lastOpTime
            let body = try await ask { [role] writer in
                writer.append("replSetFetchOplog", int32: 1)
                writer.append("after", after)
                writer.append("inclusive", bool: isFirst)
                writer.append("lastKnownCommitted", role.member.commitPoint)
                writer.append("maxAwaitMillis", int64: 1000)
            }
            let metadata = body.withView { $0["$replData"]?.asDocument.flatMap { ReplicationMetadata($0) } }
            guard metadata?.rollbackID == identity?.rollbackID else { throw Failure("the source rolled back") }
            switch body["outcome"]?.asString.flatMap(OplogAnswer.init(rawValue:)) {
            case .entries: break
            case .nothingNew: continue
            default: throw Failure("the source no longer has the entries that were written while it was cloned")
            }
            guard case .binary(_, let frame)? = body["frame"] else { throw Failure("an answer without its entries") }
            // Not beyond the stop point: what is applied must be committed before this member may be read.
            let limit = stop.applied
            try frame.withUnsafeBytes { bytes in
                try node.openFetched(bytes) { bytes in
                    guard let base = bytes.baseAddress else { return }
                    let entry = DocumentView(base: base)
                    guard let optime = OpTime(entry), optime > node.lastOpTime, optime <= limit else { return }
                    switch try data.apply(entry, .initialSync) {
                    case .applied: break
                    case .needsFetch(let namespace, let id): missing.append((namespace, id))
                    case .waitsForIndexBuild: throw Failure("an index build was committed while cloning")
                    }
                    progress.appliedEntries += 1
                }
            }
            if !missing.isEmpty { node.runtime.probe("initial sync fetched documents again") }
            if node.lastOpTime >= stop.applied, !missing.isEmpty {
                try await fetch(missing)
                missing = []
                // What was fetched may be newer than the stop point.
                stop = try await position()
                progress.oplogEnd = stop.applied.timestamp
            }
        }
    }

    /// Fetches documents again that an update did not fit: the clone had an older or newer state of them.
    private func fetch(_ missing: [(Namespace, Value)]) async throws {
        for (namespace, id) in missing {
            let body = try await ask { writer in
                writer.append("replSetCloneDocuments", int32: 1)
                writer.append("ns", string: namespace.fullName)
                writer.append("id" as String, id)
            }
            try body.withView { view in
                for element in view["documents"]?.asArray ?? DocumentView.empty {
                    guard let document = element.value.asDocument, let collection = node.data.catalog.find(namespace)
                    else { continue }
                    try node.data.cloneDocument(document, into: collection)
                }
            }
        }
    }

    private func buildIndexes() async throws {
        while let build = try node.data.nextDeferredBuild() {
            while try build.step(until: node.runtime.loopSliceEnd, .committing) == .yield {
                await node.yieldLoop()
                if isCancelled { return }
            }
            try node.data.finishDeferredBuild(build)
        }
    }

    private func awaitCommit(of optime: OpTime) async throws {
        while !isCancelled {
            let body = try await ask(timeout: Limits.peerCallTimeout + Limits.oplogAwaitMax) { writer in
                writer.append("replSetGetPosition", int32: 1)
                writer.append("awaitCommitted", optime)
            }
            if try check(body).commitPoint >= optime { return }
        }
    }
}
