internal import BSON
internal import Core
internal import Data

/// The clone: every collection with its documents, in batches behind the last record id, then the session records.
extension InitialSync {
    func clone() async throws {
        let listing = try await ask { $0.append("replSetListCollections", int32: 1) }
        var collections: [Collection] = []
        for entry in listing["collections"]?.asArray ?? [] {
            guard let description = entry.asDocument else { throw Failure("an unreadable list of collections") }
            collections.append(try description.withView { try cloneDefinition($0) })
        }
        for place in collections.indices {
            progress.collections[place].startedAt = node.runtime.wallClock.milliseconds
            try await cloneDocuments(of: collections[place], place)
            progress.collections[place].endedAt = node.runtime.wallClock.milliseconds
        }
        try await cloneSessions()
    }

    private func cloneDefinition(_ view: DocumentView) throws -> Collection {
        guard let name = view["ns"]?.asString, let uuid = CollectionUUID(view["uuid"]),
            let options = view["options"]?.asDocument, let indexes = view["indexes"]?.asArray
        else { throw Failure("an unreadable description of a collection") }
        let namespace = try Namespace(validating: name)
        let definitions = indexes.compactMap { $0.value.asDocument }
        progress.collections.append(
            InitialSyncProgress.Cloned(
                namespace: namespace, documentsToCopy: view["documents"]?.asInteger ?? 0,
                bytesToCopy: view["bytes"]?.asInteger ?? 0, indexes: definitions.count))
        return try node.data.cloneCollection(namespace, uuid: uuid, options: options, indexes: definitions)
    }

    private func cloneDocuments(of collection: Collection, _ place: Int) async throws {
        var after: Int64 = 0
        while !isCancelled {
            let body = try await ask { writer in
                writer.append("replSetCloneDocuments", int32: 1)
                collection.uuid.withBytes { writer.append("uuid", binary: $0, subtype: 4) }
                writer.append("after", int64: after)
            }
            progress.collections[place].batches += 1
            // Dropped at the source meanwhile: the entry that dropped it will be applied.
            if body["gone"]?.asBool == true { return }
            try body.withView { view in
                for element in view["documents"]?.asArray ?? DocumentView.empty {
                    guard let document = element.value.asDocument else { throw Failure("an unreadable document") }
                    try node.data.cloneDocument(document, into: collection)
                    progress.collections[place].documentsCopied += 1
                    progress.collections[place].bytesCopied += Int64(document.byteCount)
                }
            }
            guard let next = body["next"]?.asInteger else { return }
            after = next
        }
    }

    private func cloneSessions() async throws {
        var after: [UInt8] = []
        while !isCancelled {
            let body = try await ask { writer in
                writer.append("replSetCloneSessions", int32: 1)
                after.withUnsafeBytes { writer.append("after", binary: $0) }
            }
            try body.withView { view in
                for element in view["records"]?.asArray ?? DocumentView.empty {
                    guard let row = element.value.asDocument, let (_, key) = row["key"]?.asBinary,
                        let record = row["record"]?.asDocument
                    else { throw Failure("an unreadable session record") }
                    try node.data.cloneSession(key: key, record: record)
                }
            }
            guard case .binary(_, let next)? = body["next"] else { return }
            after = next
        }
    }
}
