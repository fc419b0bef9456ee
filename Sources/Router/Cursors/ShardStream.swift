import BSON
import Core
import Frontend
import Sharding

/// The documents that one shard gives, batch by batch, with the keys that they are merged by.
final class ShardStream {
    private let set: RemoteSet
    private let endpoint: Endpoint
    private let namespace: Namespace
    /// The shard's cursor; 0 when it has no more.
    private(set) var cursor: Int64
    private var batch: Document
    /// Where the documents of the batch, and their keys, begin in it.
    private var documents: [Int] = []
    private var keys: [Range<Int>] = []
    private var next = 0
    private let hasKeys: Bool

    /// - Parameters:
    ///   - reply: the first batch.
    ///   - hasKeys: whether documents come with keys (`sortKeys`).
    init(
        _ reply: RemoteReply, of set: RemoteSet, _ namespace: Namespace, hasKeys: Bool
    ) throws(ServerError) {
        self.set = set
        self.namespace = namespace
        self.hasKeys = hasKeys
        endpoint = reply.endpoint
        cursor = 0
        batch = Document()
        try take(reply.body)
    }

    private func take(_ reply: Document) throws(ServerError) {
        batch = reply
        documents.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
        next = 0
        let hasKeys = hasKeys
        let taken = reply.withView { view -> (id: Int64, documents: [Int], keys: [Range<Int>])? in
            guard let inner = view["cursor"]?.asDocument, let id = inner["id"]?.asInt64,
                let array = (inner["firstBatch"] ?? inner["nextBatch"])?.asArray
            else { return nil }
            let documents = array.compactMap { element in element.value.asDocument.map { $0.base - view.base } }
            guard hasKeys else { return (id, documents, []) }
            guard let list = view["sortKeys"]?.asArray else { return nil }
            let keys = list.compactMap { element in
                element.value.asBinary.flatMap { binary in
                    binary.bytes.baseAddress.map { base in
                        let start = UnsafeRawPointer(base) - view.base
                        return start..<start + binary.bytes.count
                    }
                }
            }
            return keys.count == documents.count ? (id, documents, keys) : nil
        }
        guard let taken else {
            throw ServerError(.failedToParse, "\(set.title) has answered with a batch that cannot be read")
        }
        (cursor, documents, keys) = taken
    }

    var isEmpty: Bool { next >= documents.count }
    /// Whether there are no more, here or at the shard.
    var isOver: Bool { isEmpty && cursor == 0 }

    /// Calls `body` with the first document, which stays.
    func withFirst<Answer>(_ body: (DocumentView) throws(ServerError) -> Answer) throws(ServerError) -> Answer? {
        guard !isEmpty else { return nil }
        let offset = documents[next]
        return try batch.withView { view in
            Result { () throws(ServerError) in try body(DocumentView(base: view.base + offset)) }
        }.get()
    }

    func removeFirst() { next += 1 }

    /// Whether the key of this stream's first document comes before that of another's.
    func precedes(_ other: ShardStream) -> Bool {
        let (mine, theirs) = (keys[next], other.keys[other.next])
        return batch.withView { a in
            other.batch.withView { b in
                UnsafeRawBufferPointer(start: a.base + mine.lowerBound, count: mine.count)
                    .lexicographicallyPrecedes(
                        UnsafeRawBufferPointer(start: b.base + theirs.lowerBound, count: theirs.count))
            }
        }
    }

    /// Asks the shard for the next batch.
    func advance(_ context: RouterContext, batchSize: Int?) async throws(ServerError) {
        guard isEmpty, cursor != 0 else { return }
        let id = cursor
        let command = Document { writer in
            writer.append("getMore", int64: id)
            writer.append("collection", string: namespace.collection)
            if let batchSize { writer.append("batchSize", int64: Int64(batchSize)) }
            context.appendCommon(to: writer)
            writer.append("$db", string: namespace.database)
        }
        var request = try context.forwarded(RoutedRequest(), access: .read, body: command, keepsSequences: false)
        request.endpoint = endpoint
        request.lane = .bulk
        request.isRepeatable = false
        let reply = try await context.send(request, to: set).checked()
        context.note(reply)
        try take(reply.body)
    }

    /// Closes the shard's cursor.
    func close() {
        guard cursor != 0 else { return }
        set.killCursor(cursor, at: endpoint)
        cursor = 0
    }
}
