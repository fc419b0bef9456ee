internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Behind the clone: the entries that were fetched meanwhile are applied, then the indexes are built.
extension InitialSync {
    /// Applies some of what was fetched, but nothing behind the stop point.
    func apply(through stop: OpTime) async throws {
        guard let fetcher else { return }
        try await fetcher.awaitFrame()
        guard !isCancelled else { return }
        do {
            let isWhole = try fetcher.buffer.withFirst { try apply($0, through: stop, &missing) }
            if isWhole { try fetcher.removeFrame() }
            // What a majority has need not be kept for a rollback: the log stays as small as it should be.
            node.data.oplog.setCommitPoint(min(committedAtSource, node.lastOpTime).timestamp)
        } catch let absent as StorageNotResident {
            // What was applied of the frame is passed over the next time.
            try await node.data.prefetch(absent)
        }
    }

    /// Applies what is new of a frame, but not beyond the stop point: what is applied must be committed before this
    /// member may be read. Returns whether nothing of the frame is left.
    private func apply(
        _ frame: UnsafeRawBufferPointer, through stop: OpTime, _ missing: inout [(Namespace, Value)]
    ) throws -> Bool {
        var isWhole = true
        // The frame is opened before anything is written, and not looked at again.
        try Oplog.openFrame(frame) { bytes in
            guard let base = bytes.baseAddress else { return }
            let entry = DocumentView(base: base)
            guard let optime = OpTime(entry), optime > node.lastOpTime else { return }
            guard optime <= stop else { return isWhole = false }
            switch try node.data.apply(entry, .initialSync) {
            case .applied: break
            case .needsFetch(let documents): missing += documents.map { ($0.namespace, $0.id) }
            case .waitsForIndexBuild: throw Failure("an index build was committed while cloning")
            }
            progress.appliedEntries += 1
        }
        return isWhole
    }

    // MARK: Behind the stop point

    /// An entry commits an index build that is not through here.
    private struct HeldUp: Error, @unchecked Sendable {
        let build: IndexBuild
    }

    /// Applies some of what else has been fetched, as a secondary would: it can be undone.
    func applyRest() async throws {
        guard let fetcher else { return }
        do {
            try fetcher.buffer.withFirst { frame in
                try Oplog.openFrame(frame) { try applyBehindStop($0) }
            }
            try fetcher.removeFrame()
            try node.data.onCommitPoint(min(committedAtSource, node.lastOpTime))
        } catch let absent as StorageNotResident {
            try await node.data.prefetch(absent)
        } catch let held as HeldUp {
            try await node.inSlices { try held.build.step(until: $0, .committing).ended }
        }
    }

    private func applyBehindStop(_ bytes: UnsafeRawBufferPointer) throws {
        guard let base = bytes.baseAddress else { return }
        let entry = DocumentView(base: base)
        guard let optime = OpTime(entry), optime > node.lastOpTime else { return }
        if case .waitsForIndexBuild(let build) = try node.data.apply(entry, .steady) { throw HeldUp(build: build) }
        progress.appliedEntries += 1
    }

    // MARK: Asking the source

    /// Fetches documents again that an update did not fit: the clone had an older or newer state of them.
    func fetchMissing() async throws {
        defer { missing = [] }
        for (namespace, id) in missing {
            let request = CloneDocumentsRequest.one(namespace: namespace.fullName, id: id)
            let documents: [Document] = try await ask(request) { reply in
                guard case .documents(let documents, _) = reply else { return [] }
                return documents.compactMap { $0.value.asDocument?.document }
            }
            for document in documents {
                try await store {
                    guard let collection = node.data.catalog.find(namespace) else { return }
                    try document.withView { try node.data.cloneDocument($0, into: collection) }
                }
            }
        }
    }

    /// Runs a step until all that it needs is in memory.
    func store(_ step: () throws -> Void) async throws {
        try await node.inSlices({ _ in try step() }) {
            try await node.endSlice()
            guard !isCancelled else { throw Failure("cancelled") }
        }
    }

    /// Returns whether there was anything to build.
    func buildIndexes() async throws -> Bool {
        var hasBuilt = false
        while let build = try node.data.nextDeferredBuild() {
            hasBuilt = true
            try await node.inSlices { isCancelled ? () : try build.step(until: $0, .committing).ended }
            if isCancelled { return hasBuilt }
            try node.data.finishDeferredBuild(build)
        }
        return hasBuilt
    }
}
