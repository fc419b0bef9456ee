import BSON
import Core
import Frontend
import Query

/// The results of stages that run at the router.
final class MergingCursor: RouterCursor {
    private let output: any StageExecution
    private let hub: MergeHub
    private let budget: EvaluationBudget?
    /// A result that did not fit into a batch: the first of the next.
    private var held: Document?
    private var isOver = false

    init(_ output: any StageExecution, _ hub: MergeHub, _ budget: EvaluationBudget?) {
        self.output = output
        self.hub = hub
        self.budget = budget
    }

    func close() {
        isOver = true
        output.close()
    }

    func next(_ context: RouterContext, documentsMax: Int) async throws(ServerError) -> RouterBatch {
        let documents = ByteBuffer(capacity: 4096)
        var count = 0
        budget?.deadline = context.deadline
        while true {
            let isFull: Bool
            do { isFull = try fill(documents, &count, documentsMax, until: context.runtime.loopSliceEnd) } catch {
                close()
                throw (error as? ServerError) ?? ServerError(.internalError, "\(error)")
            }
            if isOver, held == nil { return RouterBatch(documents: documents, isLast: true) }
            if isFull { return RouterBatch(documents: documents, isLast: false) }
            if hub.isWaiting {
                try await hub.bring(context)
            } else {
                await context.yieldLoop()
            }
            try context.checkDeadline()
        }
    }

    /// Adds what one slice of the loop gives; true when the batch is full.
    private func fill(
        _ documents: ByteBuffer, _ count: inout Int, _ documentsMax: Int, until deadline: Instant
    ) throws -> Bool {
        budget?.beginSlice(until: deadline)
        hub.clock.begin(until: deadline)
        while count < documentsMax {
            if let document = held {
                guard count == 0 || documents.count + document.byteCount <= Limits.cursorBatchBytesMax else {
                    return true
                }
                document.withView { documents.append($0.bytes) }
                count += 1
                held = nil
            }
            guard !isOver, count < documentsMax else { break }
            switch try output.next() {
            case .document(let document):
                try MergingCursor.checkSize(document)
                if count == 0 || documents.count + document.byteCount <= Limits.cursorBatchBytesMax {
                    documents.append(document.bytes)
                    count += 1
                } else {
                    held = document.document
                    return true
                }
            case .yield: return false
            case .end: close()
            }
        }
        return true
    }

    private static func checkSize(_ document: DocumentView) throws(ServerError) {
        let most = Limits.documentBytesMax + Limits.documentOverheadBytesMax
        guard document.byteCount <= most else {
            throw ServerError(
                .bsonObjectTooLarge,
                "BSONObj size: \(document.byteCount) is invalid. Size must be between 0 and \(most)(16MB)")
        }
    }
}
