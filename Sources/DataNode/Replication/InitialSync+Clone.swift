internal import BSON
internal import Core
internal import Data
internal import Replication

/// The clone: every collection with its documents, in batches behind the last record id, then the session records.
extension InitialSync {
    /// Makes empty collections of what the source has, and returns how many.
    func cloneDefinitions() async throws -> Int {
        let listing = try await ask(ListCollectionsRequest()) { $0 }
        collections = try listing.collections.map { try cloneDefinition($0) }
        return collections.count
    }

    private func cloneDefinition(_ description: CollectionDescription) throws -> Collection {
        let namespace = try Namespace(validating: description.namespace)
        progress.collections.append(
            InitialSyncProgress.Cloned(
                namespace: namespace, documentsToCopy: description.documentCount, bytesToCopy: description.byteCount,
                indexes: description.indexes.count))
        return try node.data.cloneCollection(description, as: namespace)
    }

    /// Stores the next documents of a collection, and returns behind which record to go on.
    func cloneDocuments(_ place: Int, after: Int64) async throws -> Int64? {
        let collection = collections[place]
        if after == 0 { progress.collections[place].startedAt = node.runtime.wallClock.milliseconds }
        let request = CloneDocumentsRequest.batch(of: collection.uuid, after: after)
        var stored = 0
        var rest: Document?
        let next: Int64? = try await ask(request) { reply in
            progress.collections[place].batches += 1
            // Dropped at the source meanwhile: the entry that dropped it will be applied.
            guard case .documents(let documents, let next) = reply else { return nil }
            do { try store(documents, in: place, behind: &stored) } catch is StorageNotResident {
                rest = documents.document
            }
            return next
        }
        if let rest { try await store { try rest.withView { try store($0, in: place, behind: &stored) } } }
        if next == nil { progress.collections[place].endedAt = node.runtime.wallClock.milliseconds }
        return next
    }

    /// Stores documents that were answered, but for those that are `stored`.
    private func store(_ documents: DocumentView, in place: Int, behind stored: inout Int) throws {
        for element in documents.dropFirst(stored) {
            if let document = element.value.asDocument {
                try node.data.cloneDocument(document, into: collections[place])
                progress.collections[place].documentsCopied += 1
                progress.collections[place].bytesCopied += Int64(document.byteCount)
            }
            stored += 1
        }
    }

    /// Stores the next records of sessions, and returns behind which to go on.
    func cloneSessions(after: [UInt8]) async throws -> [UInt8]? {
        try await ask(CloneSessionsRequest(after: after)) { reply in
            for row in try reply.rows { try node.data.cloneSession(key: row.key, record: row.record) }
            return reply.next
        }
    }
}

extension DataStore {
    /// Makes an empty collection with the indexes of the one described.
    fileprivate func cloneCollection(
        _ description: CollectionDescription, as namespace: Namespace
    ) throws -> Collection {
        // The views are of documents that outlive the call.
        let indexes = Document(array: description.indexes.map { .document($0) })
        return try description.options.withView { options in
            try indexes.withView { indexes in
                try cloneCollection(
                    namespace, uuid: description.uuid, options: options,
                    indexes: indexes.compactMap { $0.value.asDocument })
            }
        }
    }
}
