public import BSON

/// The space of a collection's shard keys: a pattern and the strategy that lays it out. What it answers holds whatever
/// the strategy does: every document has one position, and the ranges of a filter hold the positions of all documents
/// that match it.
public struct ShardKeySpace: Sendable {
    /// The fields of the key.
    public let pattern: ShardKeyPattern
    /// What positions are made of.
    public let layout: ShardKeyLayout
    /// By component, its name in the bounds of chunks.
    public let names: [String]
    let strategy: any ShardKeyStrategy

    /// The strategy's name, to be kept with the collection.
    public var strategyName: String { strategy.name }

    /// Asks the strategy for its layout, and checks that.
    /// - Throws: `BadValue` for a pattern that is no shard key or that the strategy is not for, or a layout that cannot
    ///   be.
    public init(_ strategy: any ShardKeyStrategy, pattern: ShardKeyPattern) throws(ServerError) {
        self.strategy = strategy
        self.pattern = pattern
        layout = try strategy.layout(of: pattern)
        names = layout.components.map { component in
            guard let name = component.name else {
                return pattern.fields.indices.contains(component.field) ? pattern.fields[component.field].path : ""
            }
            return name
        }
        if let fault { throw ServerError(.badValue, "The shard key strategy '\(strategy.name)' \(fault)") }
    }

    /// The same, of a pattern that has not been checked.
    public init(_ strategy: any ShardKeyStrategy, pattern: Document) throws(ServerError) {
        try self.init(strategy, pattern: try ShardKeyPattern(pattern))
    }

    private var fault: String? {
        let components = layout.components
        if components.isEmpty { return "makes positions of nothing" }
        if components.count > Limits.indexFieldsMax { return "has more than \(Limits.indexFieldsMax) components" }
        for component in components {
            if !pattern.fields.indices.contains(component.field) { return "uses a field that the key has not" }
            if case .buckets(let count) = component.kind, !(1...Limits.shardKeyBucketsMax).contains(count) {
                return "asks for \(count) buckets; there may be 1 to \(Limits.shardKeyBucketsMax)"
            }
        }
        if names.contains(where: { $0.isEmpty || $0.utf8.contains(0) }) { return "has a component without a name" }
        return Set(names).count < names.count ? "names a component twice" : nil
    }

    /// The pattern of an index whose keys are the positions, so that a range of positions is a range of that index; nil
    /// when there is no such index and a range is found by looking at every document.
    public var supportingIndex: Document? {
        guard layout.components.map(\.field) == Array(pattern.fields.indices) else { return nil }
        for (component, field) in zip(layout.components, pattern.fields) {
            switch component.kind {
            case .ordered where !field.isHashed, .hashed where field.isHashed: continue
            default: return nil
            }
        }
        return pattern.document
    }

    // MARK: Positions

    /// Appends the position of a document.
    /// - Throws: `ShardKeyNotFound` when an array is in the way, `InternalError` when the strategy contradicts itself.
    public func appendPosition(of document: DocumentView, to buffer: ByteBuffer) throws(ServerError) {
        for component in layout.components {
            try append(component, try pattern.value(component.field, in: document), to: buffer)
        }
    }

    /// The position of a document, as bytes of its own.
    public func position(of document: DocumentView) throws(ServerError) -> [UInt8] {
        let buffer = ByteBuffer(capacity: 64)
        try appendPosition(of: document, to: buffer)
        return buffer.toArray()
    }

    private func append(
        _ component: ShardKeyComponent, _ value: ValueView?, to buffer: ByteBuffer
    ) throws(ServerError) {
        guard component.isNumber else {
            if let value { IndexKey.append(value, to: buffer) } else { IndexKey.appendNull(to: buffer) }
            return
        }
        let null = ValueView(type: .null, pointer: UnsafeRawPointer(buffer.base), byteCount: 0)
        ShardKeySpace.append(number: try number(of: value ?? null, component), to: buffer)
    }

    func number(of value: ValueView, _ component: ShardKeyComponent) throws(ServerError) -> Int64 {
        guard component.asksStrategy else { return HashedKey.hash(value) }
        let (once, again) = HashedKey.withCanonicalBytes(value) {
            (strategy.scatter($0, for: component), strategy.scatter($0, for: component))
        }
        guard once == again else {
            throw ServerError(
                .internalError,
                "The shard key strategy '\(strategy.name)' answers differently when it is asked again: nothing was done"
            )
        }
        guard case .buckets(let count) = component.kind else { return Int64(bitPattern: once) }
        return Int64(truncatingIfNeeded: once % UInt64(count))
    }

    /// The same, of a value that is not in a document.
    func number(of value: Value, _ component: ShardKeyComponent) throws(ServerError) -> Int64 {
        let document = Document { $0.append("", value) }
        let number = document.withView { view -> Result<Int64, ServerError> in
            guard let value = view.first?.value else { return .success(0) }
            return Result { () throws(ServerError) in try self.number(of: value, component) }
        }
        return try number.get()
    }

    static func append(number: Int64, to buffer: ByteBuffer) {
        withUnsafeBytes(of: number.littleEndian) { bytes in
            guard let base = bytes.baseAddress else { return }
            IndexKey.append(ValueView(type: .int64, pointer: base, byteCount: 8), to: buffer)
        }
    }

    /// What the strategy made of a fixed sample of values: kept with the collection when it is sharded. A program whose
    /// strategy of that name has another one would look for documents elsewhere, and must refuse the collection.
    /// - Throws: `InternalError` when the strategy contradicts itself.
    public func fingerprint() throws(ServerError) -> Int64 {
        var mixed = UInt64(layout.components.count)
        let buffer = ByteBuffer(capacity: 1024)
        for component in layout.components {
            buffer.append(littleEndian: Int64(component.field))
            let number: Int64 =
                switch component.kind {
                case .ordered: 1
                case .hashed: 2
                case .scattered: 3
                case .buckets(let count): 4 + Int64(count)
                }
            buffer.append(littleEndian: number)
            guard component.asksStrategy else { continue }
            for value in ShardKeySpace.sample { buffer.append(littleEndian: try self.number(of: value, component)) }
        }
        for byte in buffer.bytes { mixed = SplitMix64.mix(mixed &* 257 &+ UInt64(byte)) }
        return Int64(bitPattern: mixed)
    }

    private static let sample: [Value] =
        (-20..<20).map { .int32($0) }
        + (0..<20).flatMap { (number: Int32) -> [Value] in
            [
                .int64(Int64(number) &* 0x1234_5678_9ABC),
                .string(String(repeating: "ab\(number)", count: Int(number))),
                .objectID(ObjectID(high: UInt64(number) << 40, low: UInt32(number))),
                .dateTime(Int64(number) * 86_400_000), ["a": .int32(number), "b": .double(Double(number) / 2)],
            ]
        } + [.null, .undefined, .minKey, .maxKey, .bool(true), .bool(false)]
}
