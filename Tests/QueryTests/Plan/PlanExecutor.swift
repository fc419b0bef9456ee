import BSON
import Core

@testable import Query

/// A collection in memory with indexes as sorted lists: enough to carry plans out, and dumb enough to be right.
struct PlanCollection {
    struct Entry {
        let key: [UInt8]
        let record: Int
    }

    private(set) var documents: [Document] = []
    private(set) var indexes: [IndexSpec]
    private var entries: [String: [Entry]] = [:]

    init(_ indexes: [IndexSpec], _ documents: [Document]) throws {
        self.indexes = indexes
        for document in documents { try insert(document) }
        for name in entries.keys {
            entries[name]!.sort { a, b in a.key == b.key ? a.record < b.record : a.key.lexicographicallyPrecedes(b.key)
            }
        }
    }

    /// Leaves out a document that an index refuses.
    private mutating func insert(_ document: Document) throws {
        var found: [(String, [UInt8])] = []
        var paths: [[UInt64]] = []
        for index in indexes {
            let keys = IndexKeys()
            do {
                try document.withView { try IndexKeyGenerator(index).generate($0, into: keys) }
            } catch let error as ServerError where error.code.rawValue == 171 || error.code.rawValue == 16746 {
                return
            }
            for key in 0..<keys.count { found.append((index.name, [UInt8](keys[key]))) }
            paths.append(keys.multikeyPaths)
        }
        for (index, multikey) in paths.enumerated() { indexes[index].merge(multikeyPaths: multikey) }
        for (name, key) in found { entries[name, default: []].append(Entry(key: key, record: documents.count)) }
        documents.append(document)
    }

    private func records(_ scan: IndexScan) -> [Int] {
        let inRange = scan.ranges.flatMap { range in
            (entries[scan.index.name] ?? []).filter { entry in
                !entry.key.lexicographicallyPrecedes(range.lower)
                    && range.upper.map { entry.key.lexicographicallyPrecedes($0) } ?? true
            }
        }.map(\.record)
        return scan.direction == .forward ? inRange : inRange.reversed()
    }

    private func candidates(_ plan: QueryPlan) -> [Int] {
        switch plan.access {
        case .idLookup(let id): return documents.indices.filter { documents[$0]["_id"] == id }
        case .idsLookup(let ids):
            return ids.flatMap { id in documents.indices.filter { documents[$0]["_id"] == id } }
        case .indexScan(let scan): return records(scan)
        case .indexUnion(let scans): return scans.flatMap { records($0) }
        case .collectionScan(.forward): return Array(documents.indices)
        case .collectionScan(.backward): return documents.indices.reversed()
        }
    }

    /// The records that a plan finds, in order, as a reader that keeps the plan's promises would.
    func run(_ plan: QueryPlan) throws -> [Int] {
        var seen: Set<Int> = []
        return try candidates(plan).filter { record in
            if plan.needsDeduplication, !seen.insert(record).inserted { return false }
            return try plan.residual.matches(documents[record])
        }
    }
}
