public import BSON
public import Core

/// Whether a table's writes have versions and can be undone by rollback.
public enum TableKind: Sendable {
    /// Versioned and undone by rollback: data, indexes, catalogue, session records.
    case replicated
    /// Never versioned, never undone: vote, term, config, rollback id, undo itself.
    case local
}

/// The state that a read sees.
public enum ReadPoint: Sendable {
    case latest
    /// The state behind the last write at or before this time.
    case at(Timestamp)
    /// The latest state, with what an open step has written (`WriteStep.point`).
    case within(StepReference)
}

/// Names an open snapshot of a `VersionStore`.
public struct SnapshotToken: Hashable, Sendable {
    let id: UInt64
    public let timestamp: Timestamp
}

/// How full the memory for earlier versions is (`Limits.historyBytesMax`).
public enum HistoryPressure: Sendable {
    case none
    /// Above half: what is older than a second and not held by a snapshot is dropped.
    case half
    /// Above the limit: snapshots are being closed, and the primary should slow its writers.
    case full
}

extension TableID {
    /// The local table of undo records.
    public static let undo = TableID(rawValue: 1)
}
