public import BSON
public import Core

/// Steps of the store: what the catalog, collections and session records write takes effect with its oplog entry.
extension DataStore {
    /// Runs `body` in a step of its own, and commits it; undone when `body` throws. Nothing else commits the step.
    ///
    /// With one write the step's entry is that of the write. With `grouped`, any number of writes make one entry: an
    /// `applyOps` of theirs, which secondaries apply as one step.
    @inline(__always)
    func step<Answer>(grouped: Bool = false, _ body: (WriteStep) throws -> Answer) throws -> Answer {
        let step = versions.begin()
        step.entry.isGrouping = grouped
        do {
            let answer = try body(step)
            try commit(step)
            return answer
        } catch {
            versions.abort(step)
            throw error
        }
    }

    /// Commits a step with its entry, which are one batch of the engine, and ends it.
    @inline(__always)
    func commit(_ step: WriteStep) throws {
        let isLogged = try step.entry.close(at: step.optime)
        if isLogged, let missing = try oplog.makeRoom(in: step.batch) { prefetchSoon(missing) }
        // Without history a step has no time: an initial sync applies entries to data that may be newer.
        try versions.commit(step, at: versions.keepsHistory ? step.optime : nil)
        for change in step.countChanges {
            change.collection.count += change.documents
            change.collection.dataBytes += change.bytes
            if change.collection.isAboutOwnership { ownershipChanges &+= 1 }
        }
        let optime = step.optime
        versions.end(step)
        if isLogged, let optime { onAppend?(optime) }
    }

    /// The optime of a step's write to tables of `kind`, drawn when the step has none yet; local writes have none.
    @inline(__always)
    func optime(_ step: WriteStep, _ kind: TableKind, _ context: WriteContext) throws -> OpTime? {
        if kind == .local { return nil }
        if let optime = step.optime { return optime }
        let optime = try nextOpTime(context)
        step.optime = optime
        return optime
    }

    /// Logs a command (`op: "c"`) with the step, unless the write is not logged.
    func logCommand(
        _ database: String, _ uuid: CollectionUUID?, _ kind: TableKind, _ step: WriteStep, _ context: WriteContext,
        o2: ((DocumentWriter) -> Void)? = nil, o: (DocumentWriter) -> Void
    ) throws {
        guard context.isReplicated, let optime = try optime(step, kind, context) else { return }
        var namespace = Namespace.command(database)
        try namespace.withUTF8 { bytes in
            let header = StepEntry.Header(
                op: "c", namespace: UnsafeRawBufferPointer(bytes), uuid: uuid, optime: optime, wall: context.wall,
                isFromMigration: context.isFromMigration)
            try step.entry.add(header) { entry in
                entry.document("o") { o($0) }
            } o2: { entry in
                if let o2 { entry.document("o2") { o2($0) } }
            }
        }
    }

    /// Appends a no-op (`op: "n"`): a new primary's first entry, the answer to a causal wait, a note. A step of its
    /// own.
    @discardableResult
    public func appendNoOp(
        _ message: DocumentView, _ context: WriteContext, object2: DocumentView? = nil
    ) throws -> OpTime {
        try step { step in
            let optime = try nextOpTime(context)
            step.optime = optime
            let header = StepEntry.Header(
                op: "n", namespace: UnsafeRawBufferPointer(start: nil, count: 0), uuid: nil, optime: optime,
                wall: context.wall)
            try step.entry.add(header) {
                $0.append("o", message)
            } o2: {
                if let object2 { $0.append("o2", object2) }
            }
            return optime
        }
    }
}
