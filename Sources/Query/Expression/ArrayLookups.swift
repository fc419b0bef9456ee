import BSON
import Core

/// What an evaluation has found out about arrays that its loops look into again and again: where their elements lie,
/// and which values they hold. Built in steps, the second time that an array is looked into.
final class ArrayLookups {
    /// Shorter arrays are walked.
    static let bytesMin = 512
    private static let arraysMax = 4

    /// One array. It is held, so that its bytes stay where they are and nothing else takes their place.
    private final class Table {
        let array: Document
        var lookups = 0
        /// Where elements start, of those that were walked.
        var offsets: [Int] = []
        var isComplete = false
        /// Elements by the hash of their keys: places in `offsets`, in chains.
        var heads: [UInt64: Int32] = [:]
        var next: [Int32] = []

        init(_ array: Document) { self.array = array }
    }

    private var tables: [Table] = []
    private var oldest = 0

    private func table(_ array: Document) -> Table? {
        let identity = array.identity
        for table in tables where table.array.identity == identity {
            table.lookups += 1
            return table.lookups > 1 ? table : nil
        }
        let table = Table(array)
        table.lookups = 1
        if tables.count < ArrayLookups.arraysMax {
            tables.append(table)
        } else {
            tables[oldest] = table
            oldest = (oldest + 1) % ArrayLookups.arraysMax
        }
        return nil
    }

    func element(_ array: Document, at index: Int, _ scope: inout EvaluationScope) throws(ServerError) -> Value? {
        guard let table = table(array) else {
            try scope.spend(array.byteCount >> 7)
            return array.element(at: index)
        }
        while !table.isComplete {
            walk(table)
            try scope.spend(ArrayLookups.elementsPerStep)
        }
        let at = index < 0 ? table.offsets.count + index : index
        guard table.offsets.indices.contains(at) else { return nil }
        return table.array.value(at: table.offsets[at])
    }

    func contains(_ array: Document, _ value: Value, _ scope: inout EvaluationScope) throws(ServerError) -> Bool {
        guard let table = table(array) else {
            try scope.spend(array.byteCount >> 5)
            return array.firstIndex(of: value) != nil
        }
        while !table.isComplete {
            walk(table)
            try scope.spend(ArrayLookups.elementsPerStep)
        }
        while table.next.count < table.offsets.count {
            hash(table)
            try scope.spend(2 * ArrayLookups.elementsPerStep)
        }
        return value.withView { wanted in
            var at = table.heads[key(wanted)] ?? -1
            return table.array.withView { view in
                while at >= 0 {
                    let element = view.value(at: table.offsets[Int(at)])
                    if let element, ValueView.compare(element, wanted) == 0 { return true }
                    at = table.next[Int(at)]
                }
                return false
            }
        }
    }

    // MARK: Building

    private static let elementsPerStep = 256
    private let scratch = ByteBuffer()

    private func walk(_ table: Table) {
        table.array.withView { view in
            var offset = 4
            if let last = table.offsets.last, let value = view.value(at: last) {
                offset = value.pointer + value.byteCount - view.base
            }
            for _ in 0..<ArrayLookups.elementsPerStep {
                guard let value = view.value(at: offset) else {
                    table.isComplete = true
                    return
                }
                table.offsets.append(offset)
                offset = value.pointer + value.byteCount - view.base
            }
        }
    }

    private func hash(_ table: Table) {
        table.array.withView { view in
            let start = table.next.count
            for index in start..<min(start + ArrayLookups.elementsPerStep, table.offsets.count) {
                guard let value = view.value(at: table.offsets[index]) else { continue }
                let key = key(value)
                table.next.append(table.heads[key] ?? -1)
                table.heads[key] = Int32(truncatingIfNeeded: index)
            }
        }
    }

    /// A hash that equal values share, whatever their types (FNV-1a of the index key).
    private func key(_ value: ValueView) -> UInt64 {
        scratch.removeAll(keeping: 1 << 16)
        IndexKey.append(value, to: scratch)
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in scratch.bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}

extension Document {
    /// The element of an array at an index, from the end when it is negative; nil when there is none. Walks the array.
    func element(at index: Int) -> Value? {
        withView { view in
            let at = index < 0 ? view.fieldCount + index : index
            guard at >= 0 else { return nil }
            var left = at
            for element in view {
                if left == 0 { return Value(element.value) }
                left -= 1
            }
            return nil
        }
    }

    /// The index of the first element of an array that equals `value`, among those in `range`. Walks the array.
    func firstIndex(of value: Value, in range: Range<Int> = 0..<Int.max) -> Int? {
        value.withView { wanted in
            withView { view in
                var index = 0
                for element in view {
                    if index >= range.upperBound { return nil }
                    if index >= range.lowerBound, ValueView.compare(element.value, wanted) == 0 { return index }
                    index += 1
                }
                return nil
            }
        }
    }

    fileprivate func value(at offset: Int) -> Value? { withView { $0.value(at: offset).map { Value($0) } } }
}

extension DocumentView {
    /// The value of the field that starts at `offset`; nil at the document's end.
    fileprivate func value(at offset: Int) -> ValueView? {
        var iterator = DocumentView.Iterator(of: self, at: offset)
        return iterator.next()?.value
    }
}
