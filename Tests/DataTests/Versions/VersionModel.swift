import BSON
import Core
import Data
import MemoryStorage
import Testing

/// A memory engine that survives `close`: what a durable one looks like from above.
final class LastingStorage: StorageEngine {
    private let inner = MemoryStorage()
    private var isOpen = false
    private let keepsLog: Bool

    /// - Parameter keepsLog: whether it keeps the oplog itself, or has tables only.
    init(keepsLog: Bool = false) { self.keepsLog = keepsLog }

    var log: (any StorageLog)? { keepsLog ? inner.log : nil }

    func open() async throws {
        if !isOpen { try await inner.open() }
        isOpen = true
    }
    func close() async {}
    var survivesRestart: Bool { true }
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try inner.get(table, key) }
    func makeCursor(_ table: TableID) throws -> any StorageCursor { try inner.makeCursor(table) }
    func apply(_ batch: WriteBatch) throws { try inner.apply(batch) }
    var appliedMark: UInt64 { inner.appliedMark }
    var durableMark: UInt64 { inner.durableMark }
    func flush(upTo mark: UInt64) async throws {}
    func checkpoint() async throws {}
    func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    var statistics: Document { inner.statistics }
}

/// The dumb VersionStore: a full copy of everything for each time.
struct VersionModel {
    typealias Rows = [[UInt8]: [UInt8]]
    typealias Tables = [TableID: Rows]

    /// States behind each step, oldest first; the first is the empty one.
    var states: [(optime: OpTime, tables: Tables)] = [(.null, [:])]
    /// Local tables have one state.
    var local: Rows = [:]

    var latest: Tables { states[states.count - 1].tables }
    var last: OpTime { states[states.count - 1].optime }

    func tables(at time: Timestamp) -> Tables { states.last { $0.optime.timestamp <= time }?.tables ?? [:] }

    mutating func undo(after optime: OpTime) { states.removeAll { $0.optime.timestamp > optime.timestamp } }

    static func scan(
        _ rows: Rows, from bound: (key: [UInt8], including: Bool)?, direction: ScanDirection, limit: Int
    ) -> [([UInt8], [UInt8])] {
        var sorted = rows.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        if direction == .backward { sorted.reverse() }
        if let bound {
            sorted.removeAll {
                if $0.key == bound.key { return !bound.including }
                return $0.key.lexicographicallyPrecedes(bound.key) == (direction == .forward)
            }
        }
        return sorted.prefix(limit).map { ($0.key, $0.value) }
    }
}

extension VersionStore {
    func value(_ table: TableID, _ key: [UInt8], at point: ReadPoint) async throws -> [UInt8]? {
        while true {
            let found: (value: [UInt8]?, isResident: Bool) = try key.withUnsafeBytes {
                switch try get(table, $0, at: point) {
                case .found(let value): ([UInt8](value), true)
                case .absent: (nil, true)
                case .notResident: (nil, false)
                }
            }
            if found.isResident { return found.value }
            try await bringIn(table, key)
        }
    }

    func scan(
        _ table: TableID, from bound: (key: [UInt8], including: Bool)?, direction: ScanDirection, at point: ReadPoint,
        limit: Int
    ) async throws -> [([UInt8], [UInt8])] {
        var found: [([UInt8], [UInt8])] = []
        var bound = bound
        while found.count < limit {
            let rows = RowBuffer(limit: limit - found.count)
            do {
                let scan = try (bound?.key ?? []).withUnsafeBytes { key in
                    let start = bound.map { $0.including ? StorageBound.including(key) : .behind(key) } ?? .start
                    return try read(table, from: start, direction: direction, at: point, into: rows)
                }
                found += rows.rows.map { ([UInt8]($0.key), [UInt8]($0.value)) }
                if let last = found.last { bound = (last.0, false) }
                if case .done = scan { break }
                #expect(rows.count > 0)
            } catch let missing as StorageNotResident {
                try await bringIn(missing.table, missing.key)
            }
        }
        return found
    }

    func bringIn(_ table: TableID, _ key: [UInt8]) async throws {
        if let engine = engine.raw as? any StoragePrefetching { try await engine.prefetch(table, [key]) }
    }

    /// One step with one write.
    func write(_ table: TableID, _ key: [UInt8], _ value: [UInt8]?, at optime: OpTime) throws {
        try step(at: optime) { step in
            if let value {
                try step.put(table, .replicated, key, value)
            } else {
                try step.delete(table, .replicated, key)
            }
        }
    }
}

extension WriteStep {
    func put(_ table: TableID, _ kind: TableKind = .replicated, _ key: [UInt8], _ value: [UInt8]) throws {
        try key.withUnsafeBytes { key in try value.withUnsafeBytes { try put(table, kind, key: key, value: $0) } }
    }
    func delete(_ table: TableID, _ kind: TableKind = .replicated, _ key: [UInt8]) throws {
        try key.withUnsafeBytes { try delete(table, kind, key: $0) }
    }
}

/// An optime of term 1.
func time(_ increment: Int, second: UInt32 = 100) -> OpTime {
    OpTime(term: 1, timestamp: Timestamp(seconds: second, increment: UInt32(increment)))
}
