public import BSON
public import Core

/// Makes the index keys of documents: one for a document without arrays on the indexed paths, else one for each
/// element.
///
/// A missing field is indexed as null, an empty array as undefined; at most one array may vary in a key (code 171).
/// Keeps its working memory; documents without arrays cost no allocation. Sorting uses it too: the smallest key is the
/// sort key.
public final class IndexKeyGenerator {
    /// How far one field's path has been followed.
    private struct Progress {
        /// What the first `part` names lead to; nil when that is missing.
        var value: ValueView?
        var part: Int
        /// Whether `value` is final, also when it is an array.
        var isResolved: Bool
        /// Whether the value is an array whose elements are to be taken one by one.
        var isAtArray: Bool
    }

    private let fields: [KeyPattern.Field]
    private let isSparse: Bool
    private let isSort: Bool
    private let partialFilter: Filter?
    private let hash: ((ValueView) -> Int64)?
    /// One row of progress for each array inside an array.
    private let scratch: UnsafeMutablePointer<Progress>
    private let levelsMax: Int
    /// The key that `keyValue` looks for, and what it found.
    private var wanted: UnsafeRawBufferPointer?
    private var wantedValues: Document?

    /// A generator for an index.
    public convenience init(_ spec: IndexSpec) {
        self.init(
            spec.pattern, isSparse: spec.isSparse, isSort: false, partialFilter: spec.partialFilter, hash: spec.hash)
    }

    init(
        _ pattern: KeyPattern, isSparse: Bool = false, isSort: Bool, partialFilter: Filter? = nil,
        hash: ((ValueView) -> Int64)? = nil
    ) {
        fields = pattern.fields
        self.isSparse = isSparse
        self.isSort = isSort
        self.partialFilter = partialFilter
        self.hash = hash
        // Arrays that vary are nested in one another, and each takes a name of a path.
        levelsMax = min(fields.map { $0.path.count }.max() ?? 0, Limits.documentDepthMax) + 2
        scratch = .allocate(capacity: levelsMax * max(fields.count, 1))
    }

    deinit { scratch.deallocate() }

    /// Writes the keys of `document` to `keys`, none for a document that a sparse or partial index leaves out. What
    /// `keys` says about arrays must be merged into the index's `multikeyPaths` even then.
    public func generate(_ document: DocumentView, into keys: IndexKeys) throws(ServerError) {
        keys.reset(fieldCount: fields.count)
        if let partialFilter, try !partialFilter.matches(document) { return }
        let root = ValueView(type: .document, pointer: document.base, byteCount: document.byteCount)
        for field in 0..<fields.count {
            (scratch + field).initialize(to: Progress(value: root, part: 0, isResolved: false, isAtArray: false))
        }
        try expand(0, keys)
        keys.finish()
    }

    /// The values that made one of the document's keys, for the `keyValue` of a duplicate key error; nil when the
    /// document has no such key.
    public func keyValue(of document: DocumentView, key: UnsafeRawBufferPointer) throws(ServerError) -> Document? {
        wanted = key
        wantedValues = nil
        defer { wanted = nil }
        try generate(document, into: IndexKeys())
        return wantedValues
    }

    private func expand(_ level: Int, _ keys: IndexKeys) throws(ServerError) {
        let row = scratch + level * fields.count
        var arrayField = -1
        for field in 0..<fields.count {
            try advance(row + field, fields[field].path)
            guard row[field].isAtArray else { continue }
            if arrayField < 0 {
                arrayField = field
            } else if row[field].value?.pointer != row[arrayField].value?.pointer {
                throw parallelArrays(row[arrayField], arrayField, row[field], field)
            }
        }
        guard arrayField >= 0, level + 1 < levelsMax, let array = row[arrayField].value?.asArray else {
            emit(row, keys)
            return
        }
        for field in 0..<fields.count where row[field].isAtArray {
            if fields[field].kind == .hashed {
                throw ServerError(
                    ErrorCode(rawValue: 16766), "Error: hashed indexes do not currently support array values")
            }
            keys.markArray(field: field, part: row[field].part - 1)
        }
        if array.isEmpty {
            take(nil, level, array)
            try expand(level + 1, keys)
            return
        }
        for element in array {
            take(element.value, level, array)
            try expand(level + 1, keys)
        }
    }

    /// Fills the next row for one element of the array; nil for an array without any.
    @inline(__always) private func take(_ element: ValueView?, _ level: Int, _ array: DocumentView) {
        let row = scratch + level * fields.count
        let next = row + fields.count
        for field in 0..<fields.count {
            var progress = row[field]
            if progress.isAtArray {
                progress.isAtArray = false
                if progress.part == fields[field].path.count {
                    progress.value = element ?? ValueView(type: .undefined, pointer: array.base, byteCount: 0)
                    progress.isResolved = true
                } else if let element, element.type == .document {
                    progress.value = element
                } else {
                    progress.value = nil
                    progress.isResolved = true
                }
            }
            (next + field).initialize(to: progress)
        }
    }

    /// Follows a path to its end, to where it is missing, or to the next array.
    private func advance(
        _ progress: UnsafeMutablePointer<Progress>, _ path: CompiledPath
    ) throws(ServerError) {
        while !progress.pointee.isResolved {
            guard let value = progress.pointee.value else { return }
            let part = progress.pointee.part
            if value.type == .array {
                guard part < path.count, path.parts[part].index >= 0 else {
                    progress.pointee.isAtArray = true
                    return
                }
                progress.pointee.value = try element(of: DocumentView(base: value.pointer), at: path.parts[part])
                progress.pointee.part = part + 1
            } else if part == path.count {
                progress.pointee.isResolved = true
            } else if value.type == .document {
                let name = path.parts[part]
                progress.pointee.value = DocumentView(base: value.pointer).find(name.base, count: name.count)
                progress.pointee.part = part + 1
            } else {
                progress.pointee.value = nil
            }
        }
    }

    /// The element that a numeric name of a path means. An index refuses arrays whose documents have a field of that
    /// name, because it could be meant too.
    private func element(of array: DocumentView, at name: CompiledPath.Part) throws(ServerError) -> ValueView? {
        var found: ValueView?
        var index = 0
        for element in array {
            if index == name.index { found = element.value }
            index += 1
            guard !isSort, let document = element.value.asDocument else { continue }
            if document.find(name.base, count: name.count) != nil {
                throw ServerError(
                    ErrorCode(rawValue: 16746),
                    "Ambiguous field name found in array (do not use numeric field names in embedded elements in an "
                        + "array), field: '\(name.index)' for array")
            }
        }
        return found
    }

    private func emit(_ row: UnsafeMutablePointer<Progress>, _ keys: IndexKeys) {
        if isSparse, (0..<fields.count).allSatisfy({ row[$0].value == nil }) { return }
        keys.appendKey { buffer in
            let start = buffer.count
            for field in 0..<fields.count {
                let value = row[field].value
                switch fields[field].kind {
                case .hashed: IndexKeyGenerator.appendHash(value, hash, to: buffer)
                case .ascending: IndexKeyGenerator.append(value, descending: false, to: buffer)
                case .descending: IndexKeyGenerator.append(value, descending: true, to: buffer)
                }
            }
            if let wanted, wanted.elementsEqual(buffer.bytes[start...]) { wantedValues = values(row) }
        }
    }

    private func values(_ row: UnsafeMutablePointer<Progress>) -> Document {
        Document { writer in
            for field in 0..<fields.count {
                writer.append(fields[field].path.string, row[field].value.map { Value($0) } ?? .null)
            }
        }
    }

    @inline(__always) private static func append(_ value: ValueView?, descending: Bool, to buffer: ByteBuffer) {
        if let value {
            IndexKey.append(value, descending: descending, to: buffer)
        } else {
            IndexKey.appendNull(descending: descending, to: buffer)
        }
    }

    /// A hashed field's key is the hash as a 64-bit integer; of null for a missing field.
    static func appendHash(_ value: ValueView?, _ hash: ((ValueView) -> Int64)?, to buffer: ByteBuffer) {
        guard let hash else {
            append(value, descending: false, to: buffer)
            return
        }
        let null = ValueView(type: .null, pointer: UnsafeRawPointer(buffer.base), byteCount: 0)
        withUnsafeBytes(of: hash(value ?? null).littleEndian) { bytes in
            IndexKey.append(ValueView(type: .int64, pointer: bytes.baseAddress!, byteCount: 8), to: buffer)
        }
    }

    private func parallelArrays(_ a: Progress, _ fieldA: Int, _ b: Progress, _ fieldB: Int) -> ServerError {
        if isSort { return ServerError(.badValue, "cannot sort with keys that are parallel arrays") }
        let nameA = fields[fieldA].path.names[max(a.part - 1, 0)]
        let nameB = fields[fieldB].path.names[max(b.part - 1, 0)]
        return ServerError(.cannotIndexParallelArrays, "cannot index parallel arrays [\(nameB)] [\(nameA)]")
    }
}
