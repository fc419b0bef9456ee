import BSON
import Core
import Frontend
import Sharding

/// The documents of several shards as one result: in the order of their keys, or as they come; without those that are
/// skipped, and no more than the limit.
final class MergedCursor: RouterCursor {
    private let streams: [ShardStream]
    private let isSorted: Bool
    private var toSkip: Int64
    private var left: Int64

    /// - Parameter limit: 0 for all.
    init(_ streams: [ShardStream], isSorted: Bool, skip: Int64 = 0, limit: Int64 = 0) {
        self.streams = streams
        self.isSorted = isSorted
        toSkip = skip
        left = limit == 0 ? .max : limit
    }

    func close() { for stream in streams { stream.close() } }

    func next(_ context: RouterContext, documentsMax: Int) async throws(ServerError) -> RouterBatch {
        let documents = ByteBuffer(capacity: 4096)
        var count = 0
        while count < documentsMax {
            guard left > 0, streams.contains(where: { !$0.isOver }) else {
                close()
                return RouterBatch(documents: documents, isLast: true)
            }
            if needsBatches {
                // What is there need not wait for the others.
                if count > 0, !isSorted, documents.count > 0, documentsMax == .max { break }
                try await advance(context, documentsMax)
                continue
            }
            guard let stream = first else { break }
            if toSkip > 0 {
                toSkip -= 1
                stream.removeFirst()
                continue
            }
            let fits = try stream.withFirst { document throws(ServerError) in
                guard count == 0 || documents.count + document.byteCount <= Limits.cursorBatchBytesMax else {
                    return false
                }
                documents.append(document.bytes)
                return true
            }
            guard fits == true else { break }
            stream.removeFirst()
            count += 1
            left -= 1
        }
        let isLast = left == 0 || streams.allSatisfy(\.isOver)
        if isLast { close() }
        return RouterBatch(documents: documents, isLast: isLast)
    }

    /// Whether the next document is not known before a shard has sent more.
    private var needsBatches: Bool {
        isSorted
            ? streams.contains { $0.isEmpty && !$0.isOver } : streams.allSatisfy { $0.isEmpty }
    }

    private func advance(_ context: RouterContext, _ documentsMax: Int) async throws(ServerError) {
        let empty = streams.filter { $0.isEmpty && !$0.isOver }
        let size = documentsMax == .max ? nil : max(documentsMax, 1)
        _ = try await context.atOnce(empty) { stream throws(ServerError) in
            try await stream.advance(context, batchSize: size)
        }
        try context.checkDeadline()
    }

    /// The stream that the next document comes from; of equal keys that of the first shard.
    private var first: ShardStream? {
        var best: ShardStream?
        for stream in streams where !stream.isEmpty {
            guard isSorted else { return stream }
            guard let other = best else {
                best = stream
                continue
            }
            if stream.precedes(other) { best = stream }
        }
        return best
    }
}
