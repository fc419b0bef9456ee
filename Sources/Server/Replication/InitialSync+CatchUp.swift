internal import BSON
internal import Core
internal import Data
internal import Replication

/// Behind the clone: the entries that were fetched meanwhile are applied, then the indexes are built.
extension InitialSync {
    /// Brings the cloned data to a state that the source had, with all indexes. Returns when that is the present one,
    /// or nearly so: what the source writes while indexes are built is applied as well, or a long build would leave
    /// this member behind the beginning of the source's oplog.
    func catchUp(_ fetcher: InitialSyncFetcher) async throws {
        for _ in 0..<Limits.initialSyncCatchUpsMax {
            progress.phase = "applying"
            try await apply(fetcher)
            progress.phase = "building indexes"
            guard try await buildIndexes(), !isCancelled else { return }
            node.runtime.probe("initial sync caught up again")
        }
    }

    private func apply(_ fetcher: InitialSyncFetcher) async throws {
        var stop = try await stopPoint()
        var missing: [(Namespace, Value)] = []
        while !isCancelled, node.lastOpTime < stop {
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
            if node.lastOpTime >= stop, !missing.isEmpty {
                node.runtime.probe("initial sync fetched documents again")
                try await fetch(missing)
                missing = []
                // What was fetched may be newer than the stop point.
                stop = try await stopPoint()
            }
            await node.yieldLoop()
        }
    }

    private func stopPoint() async throws -> OpTime {
        let stop = try await position().applied
        progress.oplogEnd = stop.timestamp
        return stop
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

    /// Applies what else has been fetched, as a secondary would: it can be undone. A source that keeps little may have
    /// dropped it by now, and this member would have to be cloned anew as soon as it is done. A delayed member must not
    /// have it yet.
    func applyRest(_ fetcher: InitialSyncFetcher) async throws {
        progress.phase = "applying what came last"
        while !isCancelled, !fetcher.buffer.isEmpty, role.member.ownDelay == .zero {
            do {
                try fetcher.buffer.withFirst { frame in
                    try Oplog.openFrame(frame) { try applyBehindStop($0) }
                }
                try fetcher.removeFrame()
                try node.data.onCommitPoint(min(committedAtSource, node.lastOpTime))
            } catch let absent as StorageNotResident {
                try await node.data.prefetch(absent)
            } catch let held as HeldUp {
                while try held.build.step(until: node.runtime.loopSliceEnd, .committing) == .yield {
                    await node.yieldLoop()
                }
            }
            await node.yieldLoop()
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

    /// Returns whether there was anything to build.
    private func buildIndexes() async throws -> Bool {
        var hasBuilt = false
        while let build = try node.data.nextDeferredBuild() {
            hasBuilt = true
            while try build.step(until: node.runtime.loopSliceEnd, .committing) == .yield {
                await node.yieldLoop()
                if isCancelled { return hasBuilt }
            }
            try node.data.finishDeferredBuild(build)
        }
        return hasBuilt
    }

    func awaitCommit(of optime: OpTime) async throws {
        while !isCancelled {
            let body = try await ask(timeout: Limits.peerCallTimeout + Limits.oplogAwaitMax) { writer in
                writer.append("replSetGetPosition", int32: 1)
                writer.append("awaitCommitted", optime)
            }
            if try check(body).commitPoint >= optime { return }
        }
    }
}
