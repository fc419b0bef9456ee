internal import BSON
internal import Core
internal import Data

/// How far an initial sync is: what `replSetGetStatus` shows as `initialSyncStatus`, in MongoDB's words, and the line
/// in the log.
struct InitialSyncProgress {
    /// One collection of the attempt under way.
    struct Cloned {
        let namespace: Namespace
        let documentsToCopy: Int64
        let bytesToCopy: Int64
        let indexes: Int
        var documentsCopied: Int64 = 0
        var bytesCopied: Int64 = 0
        var batches: Int64 = 0
        var startedAt: Int64?
        var endedAt: Int64?
    }

    /// An attempt that is over.
    struct Attempt {
        let durationMillis: Int64
        let status: String
        let source: String
        let rollbackID: Int32
        let retries: Int64
        let unreachableMillis: Int64
    }

    let startedAt: Int64
    private var endedAt: Int64?
    /// The last ones, as many as a limit names.
    private var attempts: [Attempt] = []
    private(set) var failedCount = 0

    // The attempt under way.
    private var attemptStartedAt: Int64
    private(set) var source = ""
    private var rollbackID: Int32 = 0
    private var retries: Int64 = 0
    private var outageStartedAt: Int64?
    private var unreachableMillis: Int64 = 0
    var phase = "choosing a sync source"
    var collections: [Cloned] = []
    var appliedEntries: Int64 = 0
    /// Bytes of entries that were fetched and wait for the end of the clone.
    var bufferedBytes = 0
    var oplogStart: Timestamp?
    var oplogEnd: Timestamp?

    init(now: Int64) {
        startedAt = now
        attemptStartedAt = now
    }

    // MARK: What happens

    mutating func beginAttempt(from source: String, now: Int64) {
        var next = InitialSyncProgress(now: startedAt)
        next.attempts = attempts
        next.failedCount = failedCount
        next.attemptStartedAt = now
        next.source = source
        self = next
    }

    mutating func noteSource(rollbackID: Int32, oplogStart: Timestamp) {
        self.rollbackID = rollbackID
        self.oplogStart = oplogStart
    }

    mutating func endAttempt(_ status: String, failed: Bool, now: Int64) {
        endOutage(now: now)
        if failed { failedCount += 1 } else { endedAt = now }
        attempts.append(
            Attempt(
                durationMillis: now - attemptStartedAt, status: status, source: source, rollbackID: rollbackID,
                retries: retries, unreachableMillis: unreachableMillis))
        if attempts.count > Limits.initialSyncAttemptsMax { attempts.removeFirst() }
    }

    /// The source did not answer and is asked again.
    mutating func noteRetry(now: Int64) {
        retries += 1
        if outageStartedAt == nil { outageStartedAt = now }
    }

    mutating func endOutage(now: Int64) {
        guard let since = outageStartedAt else { return }
        unreachableMillis += now - since
        outageStartedAt = nil
    }

    // MARK: Sums

    var clonedCollections: Int { collections.count { $0.endedAt != nil } }
    var documentsCopied: Int64 { collections.reduce(0) { $0 + $1.documentsCopied } }
    private var documentsToCopy: Int64 { collections.reduce(0) { $0 + $1.documentsToCopy } }
    private var bytesCopied: Int64 { collections.reduce(0) { $0 + $1.bytesCopied } }
    private var bytesToCopy: Int64 { collections.reduce(0) { $0 + $1.bytesToCopy } }

    /// By the speed so far; nil before anything was copied.
    private func remainingMillis(now: Int64) -> Int64? {
        guard let begun = collections.first?.startedAt, bytesCopied > 0 else { return nil }
        let left = Double(max(bytesToCopy - bytesCopied, 0))
        return Int64(Double((endedAt ?? now) - begun) * left / Double(bytesCopied))
    }

    /// One line for people.
    func line(now: Int64) -> String {
        var parts = ["\(phase) from \(source.isEmpty ? "nobody yet" : source)"]
        if !collections.isEmpty {
            parts.append("\(clonedCollections) of \(collections.count) collections")
            parts.append("\(documentsCopied) of about \(max(documentsToCopy, documentsCopied)) documents")
            parts.append("\(bytesCopied / 1_000_000) of about \(max(bytesToCopy, bytesCopied) / 1_000_000) MB")
        }
        if bufferedBytes > 0 { parts.append("\(bufferedBytes / 1_000_000) MB of its oplog to be applied") }
        if appliedEntries > 0 { parts.append("\(appliedEntries) entries applied") }
        if let left = remainingMillis(now: now), phase == "cloning" { parts.append("about \(left / 1000) s to go") }
        if let since = outageStartedAt { parts.append("no answer for \((now - since) / 1000) s") }
        return parts.joined(separator: ", ")
    }

    // MARK: replSetGetStatus

    func write(to writer: DocumentWriter, now: Int64) {
        writer.append("method", string: "logical")
        writer.append("failedInitialSyncAttempts", int32: Int32(clamping: failedCount))
        writer.append("maxFailedInitialSyncAttempts", int32: Int32(clamping: Limits.initialSyncAttemptsMax))
        writer.append("initialSyncStart", dateTime: startedAt)
        if let endedAt {
            writer.append("initialSyncEnd", dateTime: endedAt)
            writer.append("initialSyncElapsedMillis", int64: endedAt - startedAt)
        }
        writer.append("totalInitialSyncElapsedMillis", int64: (endedAt ?? now) - startedAt)
        writer.array("initialSyncAttempts") { array in
            for attempt in attempts { array.document { InitialSyncProgress.write(attempt, to: $0) } }
        }
        writer.append("syncSourceHost", string: source)
        writer.append("appliedOps", int64: appliedEntries)
        if let oplogStart { writer.append("initialSyncOplogStart", timestamp: oplogStart) }
        if let oplogEnd { writer.append("initialSyncOplogEnd", timestamp: oplogEnd) }
        if let since = outageStartedAt {
            writer.append("syncSourceUnreachableSince", dateTime: since)
            writer.append("currentOutageDurationMillis", int64: now - since)
        }
        writer.append("operationsRetried", int64: retries)
        let outage = outageStartedAt.map { now - $0 } ?? 0
        writer.append("totalTimeUnreachableMillis", int64: unreachableMillis + outage)
        writer.append("approxTotalDataSize", int64: max(bytesToCopy, bytesCopied))
        writer.append("approxTotalBytesCopied", int64: bytesCopied)
        if let left = remainingMillis(now: now) { writer.append("remainingInitialSyncEstimatedMillis", int64: left) }
        writer.document("databases") { writeDatabases(to: $0, now: now) }
    }

    private static func write(_ attempt: Attempt, to writer: DocumentWriter) {
        writer.append("durationMillis", int64: attempt.durationMillis)
        writer.append("status", string: attempt.status)
        writer.append("syncSource", string: attempt.source)
        writer.append("rollBackId", int32: attempt.rollbackID)
        writer.append("operationsRetried", int64: attempt.retries)
        writer.append("totalTimeUnreachableMillis", int64: attempt.unreachableMillis)
    }

    private func writeDatabases(to writer: DocumentWriter, now: Int64) {
        var names: [String] = []
        for collection in collections where !names.contains(collection.namespace.database) {
            names.append(collection.namespace.database)
        }
        let cloned = names.count { name in
            collections.allSatisfy { $0.namespace.database != name || $0.endedAt != nil }
        }
        writer.append("databasesToClone", int32: Int32(clamping: names.count - cloned))
        writer.append("databasesCloned", int32: Int32(clamping: cloned))
        for name in names {
            let own = collections.filter { $0.namespace.database == name }
            writer.document(name) { document in
                document.append("collections", int32: Int32(clamping: own.count))
                document.append("clonedCollections", int32: Int32(clamping: own.count { $0.endedAt != nil }))
                let ends = own.compactMap(\.endedAt)
                InitialSyncProgress.writeTimes(
                    own.compactMap(\.startedAt).min(), ends.count == own.count ? ends.max() : nil, now, to: document)
                for collection in own {
                    document.document(collection.namespace.fullName) {
                        InitialSyncProgress.write(collection, now, to: $0)
                    }
                }
            }
        }
    }

    private static func write(_ collection: Cloned, _ now: Int64, to writer: DocumentWriter) {
        writer.append("documentsToCopy", int64: max(collection.documentsToCopy, collection.documentsCopied))
        writer.append("documentsCopied", int64: collection.documentsCopied)
        writer.append("indexes", int32: Int32(clamping: collection.indexes))
        writer.append("fetchedBatches", int64: collection.batches)
        writer.append("bytesToCopy", int64: max(collection.bytesToCopy, collection.bytesCopied))
        writer.append("approxBytesCopied", int64: collection.bytesCopied)
        writeTimes(collection.startedAt, collection.endedAt, now, to: writer)
        writer.append("receivedBatches", int64: collection.batches)
    }

    private static func writeTimes(_ start: Int64?, _ end: Int64?, _ now: Int64, to writer: DocumentWriter) {
        guard let start else { return }
        writer.append("start", dateTime: start)
        if let end { writer.append("end", dateTime: end) }
        writer.append("elapsedMillis", int64: (end ?? now) - start)
    }
}
