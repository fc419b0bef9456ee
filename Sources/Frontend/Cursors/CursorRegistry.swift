package import BSON
package import Core

/// The open cursors of a node.
package final class CursorRegistry {
    /// One open cursor between two batches.
    package final class Entry {
        package let id: Int64
        package let namespace: String
        package let session: SessionID?
        package let contents: any CursorContents
        package let isTailable: Bool
        package let awaitsData: Bool
        /// Each batch is confirmed by a majority before it is sent.
        package let isLinearizable: Bool
        /// Whether a `getMore` is running.
        package var isPinned = false
        package var isKilled = false
        package var lastUse: Instant
        /// When the read began that it goes on with.
        package var openedAt: Instant
        /// Stays however long nobody asks for it (`noCursorTimeout`).
        package var staysIdle = false
        /// What the query's `maxTimeMS` leaves to later batches; nil: as long as they take.
        package var timeLeft: Duration?
        /// What the profiler says of each batch: the command that began, and its plan.
        package var origin: (command: Document, plan: String)?

        init(
            id: Int64, namespace: String, session: SessionID?, contents: any CursorContents, isTailable: Bool,
            awaitsData: Bool, isLinearizable: Bool, lastUse: Instant
        ) {
            self.id = id
            self.namespace = namespace
            self.session = session
            self.contents = contents
            self.isTailable = isTailable
            self.awaitsData = awaitsData
            self.isLinearizable = isLinearizable
            self.lastUse = lastUse
            openedAt = lastUse
        }
    }

    private let runtime: any NodeRuntime
    /// How long a cursor stays that nobody asks for its next batch (`cursorTimeoutMillis`).
    package var idleMax = Limits.cursorIdleMax {
        didSet {
            sweep.map(runtime.cancel)
            sweep = nil
            if !entries.isEmpty { scheduleSweep() }
        }
    }
    private var entries: [Int64: Entry] = [:]
    private var sweep: TimerToken?
    package private(set) var timedOut: Int64 = 0

    init(runtime: any NodeRuntime) { self.runtime = runtime }

    package var count: Int { entries.count }
    package var staysIdleCount: Int { entries.values.count { $0.staysIdle } }
    package var pinnedCount: Int { entries.values.count { $0.isPinned } }

    /// Keeps a cursor that has more to give.
    package func add(
        _ contents: any CursorContents, namespace: String, session: SessionID?, isTailable: Bool, awaitsData: Bool,
        isLinearizable: Bool = false
    ) throws(ServerError) -> Entry {
        guard entries.count < Limits.cursorsMax else {
            throw ServerError(
                .operationFailed, "too many open cursors (\(Limits.cursorsMax)); close some with killCursors")
        }
        var id = Int64(bitPattern: runtime.randomNumber() >> 1)
        while id == 0 || entries[id] != nil { id = Int64(bitPattern: runtime.randomNumber() >> 1) }
        let entry = Entry(
            id: id, namespace: namespace, session: session, contents: contents, isTailable: isTailable,
            awaitsData: awaitsData, isLinearizable: isLinearizable, lastUse: runtime.now)
        entries[id] = entry
        if sweep == nil { scheduleSweep() }
        return entry
    }

    package func find(_ id: Int64) -> Entry? { entries[id] }

    /// Whether a cursor on a collection is open that is older than some time.
    package func hasCursor(on namespace: String, openedBefore time: Instant) -> Bool {
        entries.values.contains { $0.namespace == namespace && $0.openedAt < time }
    }

    /// Closes a cursor; one that a `getMore` is using ends with that batch.
    package func close(_ entry: Entry) {
        guard entries.removeValue(forKey: entry.id) != nil else { return }
        entry.isKilled = true
        if !entry.isPinned { entry.contents.close() }
    }

    package func closeAll(ofSession id: SessionID) { closeAll { $0.session == id } }
    package func closeAll() { closeAll { _ in true } }

    package func closeAll(where matches: (Entry) -> Bool) {
        for entry in entries.values.filter(matches).sorted(by: { $0.id < $1.id }) { close(entry) }
    }

    /// The open cursors as `$currentOp` shows them.
    package func idleDocuments(host: String) -> [Document] {
        entries.values.filter { !$0.isPinned }.sorted { $0.id < $1.id }.map { entry in
            Document { writer in
                writer.append("type", string: "idleCursor")
                writer.append("host", string: host)
                writer.append("ns", string: entry.namespace)
                writer.document("cursor") { Self.describe(entry, to: $0) }
            }
        }
    }

    /// `cursor` of an operation or an idle cursor.
    package static func describe(_ entry: Entry, to writer: DocumentWriter) {
        writer.append("cursorId", int64: entry.id)
        writer.append("tailable", bool: entry.isTailable)
        writer.append("awaitData", bool: entry.awaitsData)
        writer.append("noCursorTimeout", bool: entry.staysIdle)
    }

    private func scheduleSweep() {
        sweep = runtime.schedule(after: idleMax / 4) { [weak self] in
            guard let self else { return }
            sweep = nil
            let limit = runtime.now - idleMax
            let before = entries.count
            closeAll { !$0.isPinned && !$0.staysIdle && $0.lastUse < limit }
            timedOut += Int64(before - entries.count)
            if !entries.isEmpty { scheduleSweep() }
        }
    }
}
