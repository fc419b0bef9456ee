import BSON
import Core

/// Finds the documents that a rollback will take back: those whose value now is not what undoing will leave.
///
/// Reads the undo table from the common point upwards. The first image of a record is what a rollback restores; a
/// document that is there now and differs from it is lost. One that was deleted comes back, one that was changed and
/// changed back stays: neither is. Documents of a collection that was dropped since are not in the catalog, and the
/// member's client has dropped them on purpose.
struct LostDocuments {
    /// A record whose document will be lost, and the last write that made it what it is.
    struct Record {
        let key: [UInt8]
        var optime: OpTime
    }

    /// Those of one collection, in the order of their first writes.
    struct Group {
        let collection: Collection
        var records: [Record] = []
    }

    private struct Place: Hashable {
        let table: TableID
        let key: [UInt8]
    }

    /// In the order in which their collections were first written to.
    private(set) var groups: [Group] = []
    private var groupOf: [TableID: Int] = [:]
    /// Every record that was seen: the index in its group of the lost ones, -1 for the others.
    private var seen: [Place: Int] = [:]
    private let collections: [TableID: Collection]
    private let versions: VersionStore
    /// The key of the last undo record that was read, or where reading begins.
    private var position: [UInt8]
    private var hasBegun = false
    private let rows = RowBuffer(limit: 16)

    init(_ store: DataStore, behind common: OpTime) throws {
        versions = store.versions
        var collections: [TableID: Collection] = [:]
        for collection in store.catalog.collections where collection.kind == .replicated {
            collections[collection.table] = collection
        }
        self.collections = collections
        try invariant(common.timestamp < .max, "nothing can lie behind \(common)")
        let first = OpTime(term: 0, timestamp: Timestamp(rawValue: common.timestamp.rawValue + 1))
        position = [UInt8](UndoRecord.makeKey(first, 0, in: store.scratch.key))
    }

    /// Goes on until all undo records are read or the slice is used up.
    mutating func find(_ clock: inout SliceClock, _ runtime: any NodeRuntime) throws -> WriteProgress {
        while true {
            let scan = try position.withUnsafeBytes {
                try versions.engine.read(
                    versions.cursor(.undo), from: hasBegun ? .behind($0) : .including($0), direction: .forward,
                    into: rows)
            }
            if case .notResident = scan, rows.count == 0 { throw StorageNotResident(table: .undo, key: position) }
            for row in rows.rows {
                try read(row)
                position = [UInt8](row.key)
                hasBegun = true
            }
            if case .done = scan, !rows.isFull { return .done }
            if clock.isOver(runtime) { return .yield }
        }
    }

    private mutating func read(_ row: RowBuffer.Row) throws {
        let optime = try UndoRecord.parseKey(row.key).optime
        var offset = 0
        while let image = try UndoRecord.image(in: row.value, at: offset) {
            offset = image.end
            guard let collection = collections[image.table] else { continue }
            let place = Place(table: image.table, key: [UInt8](image.key))
            if let known = seen[place] {
                if known >= 0, let group = groupOf[image.table] { groups[group].records[known].optime = optime }
                continue
            }
            let isLost: Bool
            switch try versions.engine.get(image.table, image.key) {
            case .found(let now): isLost = image.value.map { compareBytes($0, now) != 0 } ?? true
            case .absent: isLost = false
            case .notResident: throw StorageNotResident(image.table, image.key)
            }
            guard isLost else {
                seen[place] = -1
                continue
            }
            let group = groupOf[image.table] ?? groups.count
            if group == groups.count {
                groupOf[image.table] = group
                groups.append(Group(collection: collection))
            }
            seen[place] = groups[group].records.count
            groups[group].records.append(Record(key: place.key, optime: optime))
        }
    }
}
