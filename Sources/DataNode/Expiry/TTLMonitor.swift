internal import BSON
internal import Core
internal import Data
internal import Frontend

/// Deletes expired documents (TTL indexes) while this node takes writes: a pass over all such indexes, then a pause.
///
/// The deletions are replicated like any; a secondary deletes nothing of itself. Each slice is written in the term of a
/// primary that was looked for anew, and a pass ends at once when the node has lost its office.
final class TTLMonitor {
    /// Passes that went over all indexes, and what they deleted: `metrics.ttl` of `serverStatus`.
    private(set) var passes: Int64 = 0
    private(set) var deletedDocuments: Int64 = 0
    /// `ttlMonitorEnabled`: a pass that runs when it is switched off ends.
    var isEnabled = true
    private unowned let node: Node
    private(set) lazy var periodic = PeriodicPass(
        "TTL monitor", node, pause: node.options.ttlMonitorPause,
        isDue: { [unowned self] in isEnabled && !due.isEmpty }, pass: { [unowned self] in await pass() },
        ended: { [unowned self] in if isEnabled, isWritable("admin") { passes += 1 } })

    init(_ node: Node) { self.node = node }

    /// The collections in which something may expire, and that this node may write to: `local` ones always.
    private var due: [Collection] {
        node.data.catalog.collections.filter { collection in
            collection.indexes.contains { collection.expires(by: $0) } && isWritable(collection.namespace.database)
        }
    }

    private func isWritable(_ database: String) -> Bool {
        node.runtime.hasMutant(.secondariesExpire) || node.isWritable(database)
    }

    private func pass() async {
        let now = node.runtime.wallClock
        for collection in due {
            for index in collection.indexes where collection.expires(by: index) {
                do {
                    try await expire(collection, index, now)
                } catch let error as ServerError {
                    node.runtime.log.log(
                        .warning, "ttl", "\(collection.namespace), index \(index.name): \(error.message)")
                } catch {
                    return node.fail(error)
                }
            }
        }
    }

    private func expire(_ collection: Collection, _ index: CollectionIndex, _ now: WallTime) async throws {
        guard let deletion = ExpiredDeletion(node.data, collection, index, now: now) else { return }
        let term = node.role.term
        try await node.inWritingSlices({ end in
            guard isEnabled, !node.isShuttingDown, deletion.isCurrent, node.role.term == term,
                isWritable(collection.namespace.database)
            else { return () }
            let before = deletion.n
            defer { deletedDocuments += Int64(deletion.n - before) }
            let isReplicated = node.role.isReplicated && collection.kind == .replicated
            let context = WriteContext(term: term, wall: node.runtime.wallClock, isReplicated: isReplicated)
            return try deletion.run(context, until: end).ended
        }) {
            try await node.endSlice()
            await node.awaitMajority(until: .distantFuture) { $0.data.isMajorityBehind }
        }
    }
}
