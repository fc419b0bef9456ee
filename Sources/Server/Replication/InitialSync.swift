internal import BSON
internal import Core
internal import Data
internal import Replication

/// Makes a member with nothing, or with a history that must not be kept, a copy of another one.
///
/// Everything is cloned while the source keeps taking writes; then the source's entries from before the clone are
/// applied up to a stop point, with rules that allow for data newer than the entry; then the indexes are built. The
/// member becomes a secondary when the stop point is committed: below it nothing can be undone here (DESIGN §6).
final class InitialSync {
    private unowned let role: ReplicaSetRole
    private let node: Node
    private var link: PeerLink?
    private var isCancelled = false
    private var attempt = 0
    private var sourceHost = ""
    private var phase = "choosing a sync source"
    private var clonedDocuments: Int64 = 0
    private var clonedCollections = 0
    private var totalCollections = 0
    private var appliedEntries: Int64 = 0
    private var sourceWaiter: (() -> Void)?

    /// Why an attempt failed; another one follows.
    private struct Failure: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    init(role: ReplicaSetRole) {
        self.role = role
        node = role.node
    }

    func cancel() {
        isCancelled = true
        link?.close()
        sourceWaiter?()
        sourceWaiter = nil
    }

    /// Starts to try, again and again until it succeeds or is cancelled.
    func start() {
        node.runtime.spawn("initial sync") { [self] in
            while !isCancelled {
                attempt += 1
                do {
                    try await run()
                    return
                } catch let failure as Failure {
                    node.runtime.probe("initial sync began again")
                    node.runtime.log.log(.warning, "initial sync", "attempt \(attempt): \(failure.reason)")
                } catch let error as ServerError {
                    node.runtime.log.log(.warning, "initial sync", "attempt \(attempt): \(error)")
                } catch {
                    return node.fail(error)
                }
                link?.close()
                await node.runtime.sleep(for: Limits.initialSyncRetryDelay)
            }
        }
    }

    /// For `initialSyncStatus` of `replSetGetStatus`.
    var status: Document {
        Document { writer in
            writer.append("syncSourceHost", string: sourceHost)
            writer.append("phase", string: phase)
            writer.append("attempts", int32: Int32(clamping: attempt))
            writer.append("clonedCollections", int32: Int32(clamping: clonedCollections))
            writer.append("totalCollections", int32: Int32(clamping: totalCollections))
            writer.append("clonedDocuments", int64: clonedDocuments)
            writer.append("appliedEntries", int64: appliedEntries)
        }
    }

    // MARK: One attempt

    private func run() async throws {
        let data = node.data
        phase = "choosing a sync source"
        let host = await chooseSource()
        guard !isCancelled else { return }
        sourceHost = host
        let link = role.makeLink(to: host)
        self.link = link
        node.runtime.log.log(.info, "initial sync", "attempt \(attempt) from \(host)")
        clonedCollections = 0
        clonedDocuments = 0
        appliedEntries = 0

        let begin = try await position(link)
        try data.startInitialSync()
        phase = "cloning"
        try await clone(link)
        var stop = try await position(link)
        guard begin.rollbackID == stop.rollbackID else { throw Failure("the source rolled back") }
        phase = "applying"
        try await apply(from: begin.applied, through: &stop, link)
        phase = "building indexes"
        try await buildIndexes()
        // The voters of a new set cannot wait for a commit: without them there is no majority. They have acknowledged
        // nothing yet, so nothing is lost if what they cloned turns out not to last.
        if !role.member.isCountedVoter, !node.runtime.hasMutant(.initialSyncEndsEarly) {
            phase = "waiting for the stop point to be committed"
            try await awaitCommit(of: node.lastOpTime, link, rollbackID: begin.rollbackID)
        }
        guard !isCancelled else { return }
        try data.finishInitialSync(at: node.lastOpTime)
        node.runtime.log.log(
            .info, "initial sync",
            "done: \(clonedDocuments) documents in \(clonedCollections) collections, \(appliedEntries) entries")
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

    /// Called after every event of the member: a source may have come up.
    func memberChanged() {
        guard let waiter = sourceWaiter, role.member.initialSyncSource(now: node.runtime.now) != nil else { return }
        sourceWaiter = nil
        waiter()
    }

    private func position(_ link: PeerLink) async throws -> ReplicationMetadata {
        let body = try await link.call { $0.append("replSetGetPosition", int32: 1) }
        guard let metadata = body.withView({ $0["$replData"]?.asDocument.flatMap { ReplicationMetadata($0) } }),
            !metadata.applied.isNull
        else { throw Failure("the source has no data yet") }
        return metadata
    }

    // MARK: Clone

    private func clone(_ link: PeerLink) async throws {
        let listing = try await link.call { $0.append("replSetListCollections", int32: 1) }
        var collections: [Collection] = []
        for entry in listing["collections"]?.asArray ?? [] {
            guard let description = entry.asDocument else { throw Failure("an unreadable list of collections") }
            collections.append(try description.withView { try cloneDefinition($0) })
        }
        totalCollections = collections.count
        for collection in collections {
            try await cloneDocuments(of: collection, link)
            clonedCollections += 1
        }
        try await cloneSessions(link)
    }

    private func cloneDefinition(_ view: DocumentView) throws -> Collection {
        guard let name = view["ns"]?.asString, let uuid = CollectionUUID(view["uuid"]),
            let options = view["options"]?.asDocument, let indexes = view["indexes"]?.asArray
        else { throw Failure("an unreadable description of a collection") }
        return try node.data.cloneCollection(
            try Namespace(validating: name), uuid: uuid, options: options,
            indexes: indexes.compactMap { $0.value.asDocument })
    }

    private func cloneDocuments(of collection: Collection, _ link: PeerLink) async throws {
        var after: Int64 = 0
        while !isCancelled {
            let body = try await link.call { writer in
                writer.append("replSetCloneDocuments", int32: 1)
                collection.uuid.withBytes { writer.append("uuid", binary: $0, subtype: 4) }
                writer.append("after", int64: after)
            }
            // Dropped at the source meanwhile: the entry that dropped it will be applied.
            if body["gone"]?.asBool == true { return }
            try body.withView { view in
                for element in view["documents"]?.asArray ?? DocumentView.empty {
                    guard let document = element.value.asDocument else { throw Failure("an unreadable document") }
                    try node.data.cloneDocument(document, into: collection)
                    clonedDocuments += 1
                }
            }
            guard let next = body["next"]?.asInteger else { return }
            after = next
        }
    }

    private func cloneSessions(_ link: PeerLink) async throws {
        var after: [UInt8] = []
        while !isCancelled {
            let body = try await link.call { writer in
                writer.append("replSetCloneSessions", int32: 1)
                after.withUnsafeBytes { writer.append("after", binary: $0) }
            }
            try body.withView { view in
                for element in view["records"]?.asArray ?? DocumentView.empty {
                    guard let record = element.value.asDocument else { throw Failure("an unreadable session record") }
                    try node.data.cloneSession(record)
                }
            }
            guard case .binary(_, let next)? = body["next"] else { return }
            after = next
        }
    }

    // MARK: Catch up

    private func apply(
        from begin: OpTime, through stop: inout ReplicationMetadata, _ link: PeerLink
    ) async throws {
        let data = node.data
        var missing: [(Namespace, Value)] = []
        while !isCancelled, node.lastOpTime < stop.applied {
            let isFirst = node.lastOpTime.isNull
            let after = isFirst ? begin : node.lastOpTime
            let body = try await link.call { [role] writer in
                writer.append("replSetFetchOplog", int32: 1)
                writer.append("after", after)
                writer.append("inclusive", bool: isFirst)
                writer.append("lastKnownCommitted", role.member.commitPoint)
                writer.append("maxAwaitMillis", int64: 1000)
            }
            let metadata = body.withView { $0["$replData"]?.asDocument.flatMap { ReplicationMetadata($0) } }
            guard metadata?.rollbackID == stop.rollbackID else { throw Failure("the source rolled back") }
            switch body["outcome"]?.asString.flatMap(OplogAnswer.init(rawValue:)) {
            case .entries: break
            case .nothingNew: continue
            default: throw Failure("the source no longer has the entries that were written while it was cloned")
            }
            guard case .binary(_, let frame)? = body["frame"] else { throw Failure("an answer without its entries") }
            // Not beyond the stop point: what is applied must be committed before this member may be read.
            let limit = stop.applied
            try frame.withUnsafeBytes { bytes in
                try Oplog.openFrame(bytes) { bytes in
                    guard let base = bytes.baseAddress else { return }
                    let entry = DocumentView(base: base)
                    guard let optime = OpTime(entry), optime > node.lastOpTime, optime <= limit else { return }
                    switch try data.apply(entry, .initialSync) {
                    case .applied: break
                    case .needsFetch(let namespace, let id): missing.append((namespace, id))
                    case .waitsForIndexBuild: throw Failure("an index build was committed while cloning")
                    }
                    appliedEntries += 1
                }
            }
            if !missing.isEmpty { node.runtime.probe("initial sync fetched documents again") }
            if node.lastOpTime >= stop.applied, !missing.isEmpty, !node.runtime.hasMutant(.initialSyncEndsEarly) {
                try await fetch(missing, link)
                missing = []
                // What was fetched may be newer than the stop point.
                let rollbackID = stop.rollbackID
                stop = try await position(link)
                guard stop.rollbackID == rollbackID else { throw Failure("the source rolled back") }
            }
        }
    }

    /// Fetches documents again that an update did not fit: the clone had an older or newer state of them.
    private func fetch(_ missing: [(Namespace, Value)], _ link: PeerLink) async throws {
        for (namespace, id) in missing {
            let body = try await link.call { writer in
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

    private func awaitCommit(of optime: OpTime, _ link: PeerLink, rollbackID: Int32) async throws {
        while !isCancelled {
            let body = try await link.call { writer in
                writer.append("replSetGetPosition", int32: 1)
                writer.append("awaitCommitted", optime)
            }
            let metadata = body.withView { $0["$replData"]?.asDocument.flatMap { ReplicationMetadata($0) } }
            guard let metadata, metadata.rollbackID == rollbackID else { throw Failure("the source rolled back") }
            if metadata.commitPoint >= optime { return }
        }
    }
}
