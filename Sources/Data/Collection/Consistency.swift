import BSON
import Core
import Query

/// What `validate` found out about one collection.
public struct ValidationReport: Sendable {
    public var records = 0
    /// Keys of each index, by its name.
    public var keysPerIndex: [(name: String, keys: Int)] = []
    /// What does not agree; empty when all is well.
    public var errors: [String] = []
}

extension DataStore {
    /// Checks that every collection agrees with its indexes and its counters. Returns what does not.
    public func checkConsistency() throws -> [String] {
        var errors: [String] = []
        for collection in catalog.collections {
            errors += try validate(collection).errors.map { "\(collection.namespace): \($0)" }
        }
        return errors
    }

    /// Compares the entries of every index with those that the documents ask for, and the counters with what is there.
    public func validate(_ collection: Collection) throws -> ValidationReport {
        var report = ValidationReport()
        var expected: [[[UInt8]]] = collection.indexes.map { _ in [] }
        let keys = IndexKeys()
        var bytes = 0
        try versions.forEachRow(collection.table) { key, value in
            report.records += 1
            bytes += value.count
            guard let base = key.baseAddress, key.count == RecordKey.byteCount else {
                report.errors.append("a record key is \(key.count) bytes long")
                return
            }
            let record = RecordKey(loadingFrom: base)
            let document = try DocumentView.validate(value)
            if record.id >= collection.nextRecordID { report.errors.append("record \(record.id) is from the future") }
            if document.byteCount != value.count {
                report.errors.append("record \(record.id) has bytes behind its end")
            }
            if document.first?.key.string != "_id" { report.errors.append("record \(record.id) lacks an _id in front") }
            for (position, index) in collection.indexes.enumerated() where index.isMaintained(for: record) {
                try index.generator.generate(document, into: keys)
                for key in 0..<keys.count { expected[position].append(entry(keys[key], record, index)) }
                if index.widened(by: keys.multikeyPaths) != nil {
                    report.errors.append("index \(index.name) does not know that record \(record.id) makes it multikey")
                }
            }
        }
        if report.records != collection.count {
            report.errors.append("it counts \(collection.count) records and has \(report.records)")
        }
        if bytes != collection.dataBytes {
            report.errors.append("it counts \(collection.dataBytes) bytes and has \(bytes)")
        }
        for (position, index) in collection.indexes.enumerated() {
            try compare(index, expected[position].sorted { order($0, $1) < 0 }, &report)
        }
        return report
    }

    /// Key and value of an entry in one string: those of a unique index differ in their values.
    private func entry(_ key: UnsafeRawBufferPointer, _ record: RecordKey, _ index: CollectionIndex) -> [UInt8] {
        [UInt8](key) + record.withBytes { [UInt8]($0) }
    }

    private func order(_ a: [UInt8], _ b: [UInt8]) -> Int {
        a.withUnsafeBytes { left in b.withUnsafeBytes { compareBytes(left, $0) } }
    }

    private func compare(_ index: CollectionIndex, _ expected: [[UInt8]], _ report: inout ValidationReport) throws {
        var position = 0
        var found = 0
        var missing = 0
        var surplus = 0
        try versions.forEachRow(index.table) { key, value in
            found += 1
            let entry = index.isUnique ? [UInt8](key) + [UInt8](value) : [UInt8](key)
            while position < expected.count, order(expected[position], entry) < 0 {
                missing += 1
                position += 1
            }
            if position < expected.count, expected[position] == entry { position += 1 } else { surplus += 1 }
        }
        missing += expected.count - position
        report.keysPerIndex.append((index.name, found))
        if missing > 0 { report.errors.append("index \(index.name) lacks \(missing) entries") }
        if surplus > 0 { report.errors.append("index \(index.name) has \(surplus) entries without a document") }
    }
}
