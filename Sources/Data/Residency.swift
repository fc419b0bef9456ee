public import Core

/// What engines larger than memory ask of those who work with the store.
///
/// A step that meets a key that is not in memory throws `StorageNotResident` and has changed nothing. An operation that
/// runs in slices ends its slice there: it answers `.yield`, or throws, and either way goes on from there when it is
/// called again. Between two slices the key is brought into memory (`takeMissing`, `prefetch`).
extension DataStore {
    /// Brings a key that a step missed into memory.
    public func prefetch(_ missing: StorageNotResident) async throws {
        try await versions.engine.prefetch(missing.table, [missing.key])
    }

    /// What the slice that has just ended could not read; nil when that is not why it ended.
    public func takeMissing() -> StorageNotResident? {
        guard let found = missing else { return nil }
        missing = nil
        return found
    }

    /// The slice has ended at what is not in memory.
    public func note(_ missing: StorageNotResident) { self.missing = missing }

    /// Ends a slice at what is not in memory.
    func yield(at missing: StorageNotResident) -> WriteProgress {
        self.missing = missing
        return .yield
    }

    /// The same for a scan.
    func endScan(at missing: StorageNotResident) -> ScanEnd {
        self.missing = missing
        return .yield
    }

    /// Runs a step until all that it reads is in memory: for what need not be done within slices.
    public func whenResident<Answer>(_ step: () throws -> Answer) async throws -> Answer {
        while true {
            do { return try step() } catch let missing as StorageNotResident { try await prefetch(missing) }
        }
    }

    /// Brings a key into memory for the next step that needs it, which does without for now.
    func prefetchSoon(_ missing: StorageNotResident) {
        guard !isPrefetching else { return }
        isPrefetching = true
        runtime.spawn("prefetch") { [self] in
            // An engine that fails here fails at the next call, too, and then stops the member.
            try? await prefetch(missing)
            isPrefetching = false
        }
    }

    // MARK: What is always in memory

    /// Keeps these collections in memory, also when they are made later: small ones that the node reads when it cannot
    /// wait.
    public func keepResident(_ namespaces: Set<Namespace>) async throws {
        residentNamespaces = namespaces
        for collection in catalog.collections {
            guard keepResident(collection) else { continue }
            for table in [collection.table] + collection.indexes.map(\.table) {
                var walk = RowWalk(table)
                _ = try await whenResident { try walk.run(versions, until: { false }) { _, _ in } }
            }
        }
    }

    /// Says so to the engine if a collection is one of those.
    @discardableResult
    func keepResident(_ collection: Collection) -> Bool {
        guard residentNamespaces.contains(collection.namespace) else { return false }
        versions.engine.keepResident(collection.table)
        for index in collection.indexes { versions.engine.keepResident(index.table) }
        return true
    }
}
