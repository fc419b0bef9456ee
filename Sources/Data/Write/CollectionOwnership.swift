public import BSON
public import Core

/// What a shard owns of one collection, as reads and writes ask for it. Not a plug point: a shard's node brings it, and
/// other nodes have none.
///
/// A value in an object: what it answers does not change. An operation that holds one goes on with what was owned when
/// it began.
public protocol CollectionOwnership: AnyObject {
    /// Whether a document belongs to a read at a time; nil for now. One whose key cannot be told belongs to nobody.
    func owns(_ document: DocumentView, at time: Timestamp?) -> Bool
    /// Asked in the step that writes a document, or deletes it.
    /// - Throws: `StaleConfig` when another shard owns its key; `RangeIsClosed`.
    func checkWrite(_ document: DocumentView) throws
    /// Asked in the step that updates a document.
    /// - Throws: the same; `ImmutableField` and its kin for a change of the key that is refused.
    func checkUpdate(_ old: DocumentView, _ new: DocumentView, isMulti: Bool) throws
}

/// Where a store finds what is owned of its collections.
public protocol OwnershipSource: AnyObject {
    /// Nil for a collection that is not sharded.
    func ownership(of collection: CollectionUUID) throws -> (any CollectionOwnership)?
    /// The identity that the sharded collection of a name has on all shards; nil for one that is not sharded.
    func identity(of namespace: Namespace) throws -> CollectionUUID?
}

/// A range that is being moved takes no writes until the outcome is known. Not an error of the operation: it ends its
/// slice, and goes on when the range is open again or somebody else's.
public struct RangeIsClosed: Error {
    public init() {}
}

extension DataStore {
    /// What is owned of a collection, for a read or write that goes by it; nil when everything is.
    @inline(__always)
    func ownership(of collection: Collection) throws -> (any CollectionOwnership)? {
        guard let ownerships, collection.kind == .replicated else { return nil }
        return try ownerships.ownership(of: collection.uuid)
    }

    /// The same for a read: only what routers ask for is filtered. A client of the shard itself sees what is there.
    @inline(__always)
    func filteringOwnership(of collection: Collection) throws -> (any CollectionOwnership)? {
        isRouted ? try ownership(of: collection) : nil
    }

    /// Whether a document that was found without a scan is to be shown, or changed.
    @inline(__always)
    func shows(_ document: DocumentView, of collection: Collection, at point: ReadPoint = .latest) throws -> Bool {
        guard let ownership = try filteringOwnership(of: collection) else { return true }
        return ownership.owns(document, at: point.time)
    }

    /// An operation has met a range that is closed: its slice is over.
    func yield(at closed: RangeIsClosed) -> WriteProgress {
        hasMetClosedRange = true
        return .yield
    }

    /// Whether the slice that has ended last met a range that is closed.
    public func takeClosedRange() -> Bool {
        defer { hasMetClosedRange = false }
        return hasMetClosedRange
    }
}

extension ReadPoint {
    /// The time that is read at; nil for now.
    var time: Timestamp? { if case .at(let time) = self { time } else { nil } }
}
