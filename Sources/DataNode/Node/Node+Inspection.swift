package import BSON
package import Core
internal import Data
internal import Frontend
package import Replication
internal import Sharding

/// What the simulator's checkers see of a node: more than any command shows, and nothing that a command could change.
extension Node {
    /// The replication protocol's state; nil before the start and for a standalone.
    package var member: Member? { replication?.member }

    /// The rollback id that others are told.
    package var rollbackID: Int32? { replication?.local.rollbackID }

    /// Whether the data are being cloned from another member.
    package var isInitialSyncRunning: Bool { replication?.initialSync != nil }

    /// Called after every event that the replication protocol was told of.
    package var onMemberEvent: (() -> Void)? {
        get { replication?.onEvent }
        set { replication?.onEvent = newValue }
    }

    /// Initial syncs of others for which this member keeps entries.
    package var oplogPinCount: Int { replication?.oplogPins.count ?? 0 }

    package var oplogFirst: OpTime? { data.oplog.first }
    package var oplogLast: OpTime? { data.oplog.last }
    package var oplogCount: Int { data.oplog.count }
    /// Whether the oplog holds this very entry.
    package func oplogContains(_ optime: OpTime) throws -> Bool { try inspecting { try data.oplog.contains(optime) } }

    /// Calls `body` with the entries behind `timestamp`, oldest first.
    package func forEachOplogEntry(after timestamp: Timestamp, _ body: (DocumentView) throws -> Void) throws {
        try inspecting {
            try data.oplog.read(
                from: timestamp, inclusive: false, direction: .forward, limitEntries: .max, limitBytes: .max
            ) { entry in
                guard let base = entry.baseAddress else { return true }
                try body(DocumentView(base: base))
                return true
            }
        }
    }

    /// A checker is no part of what is checked: to it all that is stored is in memory.
    private func inspecting<Answer>(_ look: () throws -> Answer) rethrows -> Answer {
        guard let simulation = runtime.simulation else { return try look() }
        return try simulation.inspect(look)
    }

    /// One hash over all replicated databases: documents, collection options and index definitions.
    package func dataHash() throws -> String { try inspecting { try data.hashOfEverything() } }

    /// What does not agree between collections, indexes and counters; empty when all is well.
    package func inconsistencies() throws -> [String] { try inspecting { try data.checkConsistency() } }

    /// How many batches the storage engine was given.
    package var appliedMark: UInt64 { engine.appliedMark }

    /// Where the storage engine keeps its files; nil when it has none.
    package var directory: DataDirectory? { engine.directory }

    /// Runs one command as a router would that has introduced itself.
    package func runAsRouter(_ command: Document, database: String) async -> Document {
        await frontend.run(command, database: database, as: "router")
    }

    /// What this shard may write of a collection now, as its data say; nil when it is none, or the collection is not
    /// sharded here.
    package func writableRanges(of namespace: Namespace) throws -> (epoch: Timestamp, ranges: [KeyRange])? {
        guard let shard, let owned = try inspecting({ try shard.ownerships.collection(namespace) }),
            let epoch = owned.table.version.epoch
        else { return nil }
        let closed = owned.table.closings.map(\.range)
        return (epoch.timestamp, owned.table.current.flatMap { $0.range.subtracting(closed) })
    }

    /// Migrations that this primary takes part in.
    package var migrationCount: Int { (shard?.donors.count ?? 0) + (shard?.recipients.count ?? 0) }

    /// Calls `body` with every document of a collection, in the order of insertion.
    package func forEachDocument(in database: String, _ collection: String, _ body: (DocumentView) throws -> Void)
        throws
    {
        guard let collection = data.catalog.find(Namespace(database, collection)) else { return }
        var after: UInt64? = 0
        while let start = after {
            after = try inspecting {
                try data.readRecords(
                    of: collection, after: start, limit: Limits.cloneBatchDocuments, bytesMax: Limits.cloneBatchBytes,
                    body)
            }
        }
    }

    /// Applies the newest entries once more, as a recovery that does not know where it stopped would: nothing may
    /// change. Ends this node's history, so it is the last thing that is done with it.
    package func replayOplog(last count: Int) throws { try inspecting { try replay(last: count) } }

    private func replay(last count: Int) throws {
        var entries: [Document] = []
        try data.oplog.read(
            from: lastOpTime.timestamp, inclusive: true, direction: .backward, limitEntries: count, limitBytes: .max
        ) { entry in
            if let base = entry.baseAddress { entries.append(DocumentView(base: base).document) }
            return true
        }
        try data.versions.setKeepsHistory(false, since: lastOpTime)
        for entry in entries.reversed() { _ = try entry.withView { try data.apply($0, .replay) } }
        while let build = try data.nextDeferredBuild() {
            while try build.step(until: .distantFuture, .committing) == .yield {}
            try data.finishDeferredBuild(build)
        }
    }

    /// Cursors and connections that are open.
    package var openCursors: Int { frontend.cursors.count }
    package var openConnections: Int { frontend.connectionCount }

    /// Waits that have not been answered: commands, write concerns, read concerns.
    package var waiterCount: Int { replication?.waiterCount ?? 0 }
}
