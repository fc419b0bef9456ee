public import BSON
public import Core

/// What entries of the oplog have touched of one collection.
public struct TouchedDocuments {
    /// The `_id`s of documents that were inserted, changed or deleted, each once.
    public private(set) var ids: [Value] = []
    /// The last entry that was looked at.
    public internal(set) var through: OpTime
    /// Whether the collection itself was changed: its indexes, its options, its name.
    public private(set) var changesDefinition = false
    private var seen: Set<Value> = []

    init(after: OpTime) { through = after }

    mutating func note(_ operation: OplogEntryView, _ uuid: CollectionUUID) throws {
        switch operation.op {
        case UInt8(ascii: "c"):
            if let nested = operation.object["applyOps"]?.asArray {
                for element in nested {
                    if let inner = element.value.asDocument { try note(OplogEntryView(inner, of: operation), uuid) }
                }
            } else if operation.uuid == uuid {
                changesDefinition = true
            }
        case UInt8(ascii: "i"), UInt8(ascii: "d"):
            if operation.uuid == uuid { add(operation.object["_id"]) }
        case UInt8(ascii: "u"):
            if operation.uuid == uuid { add(operation.object2?["_id"]) }
        default: break
        }
    }

    private mutating func add(_ id: ValueView?) {
        guard let value = id.map({ Value($0) }), seen.insert(value).inserted else { return }
        ids.append(value)
    }
}

extension DataStore {
    /// Looks at entries behind one, up to another: so many at most.
    /// - Throws: `OplogStartMissing` when entries behind `after` are not there any more, or never were.
    public func touched(
        _ uuid: CollectionUUID, after: OpTime, upTo last: OpTime, limit: Int
    ) throws -> TouchedDocuments {
        guard after < oplog.first ?? .null ? false : try oplog.contains(after) else {
            throw ServerError(.oplogStartMissing, "the entry \(after) is not in the oplog any more")
        }
        var found = TouchedDocuments(after: after)
        try oplog.read(
            from: after.timestamp, inclusive: false, direction: .forward, limitEntries: limit,
            limitBytes: Limits.cloneBatchBytes
        ) { bytes in
            guard let base = bytes.baseAddress else { return false }
            let entry = try OplogEntryView(DocumentView(base: base))
            guard entry.optime <= last else { return false }
            try found.note(entry, uuid)
            found.through = entry.optime
            return true
        }
        return found
    }
}
