public import BSON

/// A border between chunks or zones: as documents show it, and as it is compared.
public struct ShardKeyBound: Sendable, Hashable {
    /// A value for each component.
    public let document: Document
    /// The position that it stands for.
    public let key: [UInt8]
}

extension ShardKeySpace {
    /// The bound before all documents: MinKey in every component.
    public var lowest: Document { Document { writer in for name in names { writer.append(name, .minKey) } } }
    /// The bound behind all documents: MaxKey in every component.
    public var highest: Document { Document { writer in for name in names { writer.append(name, .maxKey) } } }

    /// Reads a bound: a document with a value for every component, in order.
    /// - Throws: `BadValue` that names what does not fit.
    public func bound(_ document: Document) throws(ServerError) -> ShardKeyBound {
        guard document.keys == names else {
            throw ServerError(
                .badValue,
                "A bound of the shard key must have the fields \(names.joined(separator: ", ")) in this order, not "
                    + "\(document.keys.joined(separator: ", "))")
        }
        let buffer = ByteBuffer(capacity: 64)
        for ((component, name), value) in zip(zip(layout.components, names), document.values) {
            try append(component, name, value, to: buffer)
        }
        return ShardKeyBound(document: document, key: document == lowest ? [] : buffer.toArray())
    }

    private func append(
        _ component: ShardKeyComponent, _ name: String, _ value: Value, to buffer: ByteBuffer
    ) throws(ServerError) {
        switch value {
        case .minKey, .maxKey: break
        case .int64, .int32:
            if component.isNumber { return ShardKeySpace.append(number: value.asInteger ?? 0, to: buffer) }
        default:
            guard !component.isNumber else {
                throw ServerError(
                    .badValue, "The bound of '\(name)' must be an integer: the strategy \(strategyName) keeps numbers")
            }
        }
        Document { $0.append("", value) }.withView { view in
            if let value = view.first?.value { IndexKey.append(value, to: buffer) }
        }
    }

    /// The bound of a document that names the first components only; the others are MinKey.
    /// - Throws: `BadValue` when it does not begin as the key does.
    public func bound(extending document: Document) throws(ServerError) -> ShardKeyBound {
        let given = document.keys
        guard !given.isEmpty, given.count <= names.count, Array(names.prefix(given.count)) == given else {
            throw ServerError(
                .badValue,
                "A bound of the shard key must begin with its first fields: \(names.joined(separator: ", "))")
        }
        let full = Document { writer in
            for (name, value) in document.fields { writer.append(name, value) }
            for name in names.dropFirst(given.count) { writer.append(name, .minKey) }
        }
        // What ends at MaxKey ends behind everything, however many fields say so.
        return try bound(document.values.allSatisfy { $0 == .maxKey } ? highest : full)
    }

    /// The bound that lies at a document: where a chunk can be split.
    public func bound(at document: DocumentView) throws(ServerError) -> ShardKeyBound {
        let buffer = ByteBuffer(capacity: 64)
        var values: [Value] = []
        for component in layout.components {
            let value = try pattern.value(component.field, in: document)
            guard component.isNumber else {
                values.append(value.map { Value($0) } ?? .null)
                if let value { IndexKey.append(value, to: buffer) } else { IndexKey.appendNull(to: buffer) }
                continue
            }
            let null = ValueView(type: .null, pointer: UnsafeRawPointer(buffer.base), byteCount: 0)
            let number = try self.number(of: value ?? null, component)
            values.append(.int64(number))
            ShardKeySpace.append(number: number, to: buffer)
        }
        let shown = Document { writer in
            for (name, value) in zip(names, values) { writer.append(name, value) }
        }
        return ShardKeyBound(document: shown, key: buffer.toArray())
    }

    /// The range between two bounds; the highest bound ends behind everything.
    /// - Throws: `BadValue` when nothing is between them.
    public func range(_ min: Document, _ max: Document) throws(ServerError) -> KeyRange {
        let lower = try bound(min)
        let upper = try bound(max)
        let range = KeyRange(lower: lower.key, upper: max == highest ? nil : upper.key)
        guard !range.isEmpty else { throw ServerError(.badValue, "The lower bound must be less than the upper one") }
        return range
    }

    // MARK: Initial chunks

    /// The bounds between the first chunks of an empty collection that the strategy asks for: ascending, each once,
    /// none before or behind everything. What is no bound of this space is left out.
    public func initialSplits(
        shardCount: Int, chunksPerShard: Int = 1, zones: [InitialChunkRequest.Zone] = []
    ) -> [ShardKeyBound] {
        let request = InitialChunkRequest(
            pattern: pattern, layout: layout, shardCount: max(shardCount, 1),
            chunksPerShard: min(max(chunksPerShard, 1), Limits.initialChunksMax), zones: zones)
        let (lowest, highest) = (lowest, highest)
        var bounds: [ShardKeyBound] = []
        for document in strategy.initialSplits(request).prefix(Limits.initialChunksMax) {
            guard document != lowest, document != highest, let bound = try? bound(document) else { continue }
            bounds.append(bound)
        }
        bounds.sort { $0.key.lexicographicallyPrecedes($1.key) }
        return bounds.enumerated().filter { $0.offset == 0 || bounds[$0.offset - 1].key != $0.element.key }
            .map(\.element)
    }
}
