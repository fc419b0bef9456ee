import Core

extension StorageConformance {
    /// Many reads at once find what single reads find, whatever the order of the keys and however many are absent.
    func checkManyReads(_ engine: any StorageEngine) throws {
        guard let many = engine as? any StorageManyReading else { return }
        var generator = SplitMix64(seed: seed)
        let table = TableID(rawValue: 22)
        for round in 0..<60 {
            let batch = WriteBatch()
            for _ in 0..<50 {
                let key = Self.key(generator.below(2000))
                if generator.below(4) == 0 {
                    batch.delete(table, key: key)
                } else {
                    batch.put(
                        table, key, Array(repeating: UInt8(truncatingIfNeeded: round), count: generator.below(40)))
                }
            }
            try engine.apply(batch)
            let start = generator.below(2000)
            let keys = (0..<generator.below(130)).map { offset in
                Self.key(generator.below(3) == 0 ? generator.below(2000) : start + offset)
            }
            try compare(many, table, keys)
            try compare(many, TableID(rawValue: 23), keys)
        }
    }

    private static func key(_ number: Int) -> [UInt8] { withUnsafeBytes(of: UInt64(number).bigEndian) { [UInt8]($0) } }

    private func compare(_ engine: any StorageManyReading, _ table: TableID, _ keys: [[UInt8]]) throws {
        let bytes = keys.flatMap { $0 }
        var values = Array(repeating: UnsafeRawBufferPointer(start: nil, count: 0), count: keys.count)
        try bytes.withUnsafeBytes { bytes in
            let places = keys.indices.map { index in bytes.baseAddress.map { $0 + index * 8 } }
            try places.withUnsafeBufferPointer { places in
                try values.withUnsafeMutableBufferPointer {
                    try engine.getMany(table, keys: places, keyByteCount: 8, into: $0)
                }
            }
            for (index, key) in keys.enumerated() {
                let single = try key.withUnsafeBytes { try engine.get(table, $0) }
                switch single {
                case .found(let value):
                    try expect(
                        values[index].baseAddress != nil && [UInt8](values[index]) == [UInt8](value),
                        "of many reads, that of \(key) finds something else than one alone")
                case .absent: try expect(values[index].baseAddress == nil, "of many reads one finds an absent key")
                case .notResident: continue
                }
            }
        }
    }
}
