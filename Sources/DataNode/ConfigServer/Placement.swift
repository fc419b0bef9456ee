internal import BSON
internal import Core
internal import Data
internal import Sharding

/// Where the ranges of one collection are, as the config servers keep it: the routing table with the documents that it
/// was made of.
struct Placement {
    var entry: CollectionEntry
    let space: ShardKeySpace
    private(set) var table: RoutingTable
    /// The chunks' documents, by their lower bounds.
    private var chunks: [[UInt8]: ChunkEntry]

    /// - Throws: `IncompatibleShardingMetadata` when the chunks do not cover every key once.
    init(_ entry: CollectionEntry, _ space: ShardKeySpace, _ documents: [ChunkEntry]) throws(ServerError) {
        self.entry = entry
        self.space = space
        var chunks: [[UInt8]: ChunkEntry] = [:]
        var list: [Chunk] = []
        for document in documents {
            let chunk = try document.chunk(in: space, entry.epoch)
            chunks[chunk.range.lower] = document
            list.append(chunk)
        }
        self.chunks = chunks
        table = try RoutingTable(entry.name, chunks: list, majors: entry.majors)
    }

    /// The document of a chunk by its place in the table.
    func chunk(_ index: Int) -> ChunkEntry? { chunks[table.range(index).lower] }

    /// The documents, ascending.
    var documents: [ChunkEntry] { (0..<table.count).compactMap { chunk($0) } }

    /// A border as it is shown; the end of all keys is the highest bound.
    func shown(_ key: [UInt8]?, _ more: [[UInt8]: Document]) -> Document? {
        guard let key else { return space.highest }
        return key.isEmpty ? space.lowest : more[key] ?? chunks[key]?.min
    }

    /// Makes a change, and says what is to be written for it.
    /// - Parameter bounds: borders that are new, as they are shown.
    mutating func apply(
        _ change: ChunkChange, bounds: [[UInt8]: Document], wall: WallTime, newID: () -> ObjectID
    ) throws -> DocumentChanges {
        var changes = DocumentChanges()
        let next = try table.applying(change)
        let added = Set(change.added.map(\.range.lower))
        var written: [([UInt8], ChunkEntry)] = []
        for chunk in change.added {
            guard let min = shown(chunk.range.lower, bounds), let max = shown(chunk.range.upper, bounds) else {
                throw InvariantViolation("a chunk of \(entry.name) has a border that no document shows")
            }
            let id = chunks[chunk.range.lower]?.id ?? newID()
            written.append(
                (chunk.range.lower, ChunkEntry(chunk, id: id, uuid: entry.uuid, min: min, max: max)))
        }
        for lower in change.removed where !added.contains(lower) {
            if let old = chunks.removeValue(forKey: lower) { changes.delete(ChunkEntry.namespace, .objectID(old.id)) }
        }
        for (lower, chunk) in written {
            chunks[lower] = chunk
            changes.put(ChunkEntry.namespace, chunk.document)
        }
        for (shard, major) in change.majors { entry.majors[shard] = max(entry.majors[shard] ?? 0, major) }
        entry.lastmod = wall.milliseconds
        changes.put(CollectionEntry.namespace, entry.document)
        table = next
        return changes
    }
}
