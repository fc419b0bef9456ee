internal import BSON
internal import Core
internal import Data
internal import Replication

/// The clone: every collection with its documents, in batches behind the last record id, then the session records.
extension InitialSync {
    func clone() async throws {
        let listing = try await ask(ListCollectionsRequest()) { $0 }
        let collections = try listing.collections.map { try cloneDefinition($0) }
        for place in collections.indices {
            progress.collections[place].startedAt = node.runtime.wallClock.milliseconds
            try await cloneDocuments(of: collections[place], place)
            progress.collections[place].endedAt = node.runtime.wallClock.milliseconds
        }
        try await cloneSessions()
    }

    private func cloneDefinition(_ description: CollectionDescription) throws -> Collection {
        let namespace = try Namespace(validating: description.namespace)
        progress.collections.append(
            InitialSyncProgress.Cloned(
                namespace: namespace, documentsToCopy: description.documentCount, bytesToCopy: description.byteCount,
                indexes: description.indexes.count))
        return try node.data.cloneCollection(description, as: namespace)
    }

    private func cloneDocuments(of collection: Collection, _ place: Int) async throws {
        var after: Int64? = 0
        while let behind = after, !isCancelled {
            after = try await ask(CloneDocumentsRequest.batch(of: collection.uuid, after: behind)) { reply in
                progress.collections[place].batches += 1
                // Dropped at the source meanwhile: the entry that dropped it will be applied.
                guard case .documents(let documents, let next) = reply else { return nil }
                for element in documents {
                    guard let document = element.value.asDocument else { continue }
                    try node.data.cloneDocument(document, into: collection)
                    progress.collections[place].documentsCopied += 1
                    progress.collections[place].bytesCopied += Int64(document.byteCount)
                }
                return next
            }
        }
    }

    private func cloneSessions() async throws {
        var after: [UInt8]? = []
        while let behind = after, !isCancelled {
            after = try await ask(CloneSessionsRequest(after: behind)) { reply in
                for row in try reply.rows {
                    try node.data.cloneSession(key: row.key, record: row.record)
                }
                return reply.next
            }
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
