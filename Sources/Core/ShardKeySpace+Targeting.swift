internal import BSON

extension ShardKeySpace {
    /// One interval of a field, encoded. A point's ends are the same.
    private struct Run {
        let low: [UInt8]
        let includesLow: Bool
        let high: [UInt8]
        let includesHigh: Bool
        /// The value of a point; nil for more than one value.
        let point: Value?

        var isAll: Bool { low == least && high == greatest && includesLow && includesHigh }
    }

    /// A way through the components so far: the bytes, and which point of a field they stand for.
    private struct Prefix {
        var bytes: [UInt8]
        /// By field, the chosen run.
        var chosen: [Int?]
    }

    /// The smallest set of ranges that holds the positions of all documents that match: ascending, without overlap,
    /// none when nothing can match.
    ///
    /// The points of leading components are multiplied; the first component that has more than points ends it, because
    /// what lies behind it is in every order. A component of hashes ends it as soon as its field has a range; one of
    /// buckets does not, because a document is in one of them.
    /// - Parameter bounds: what the filter says of each field of the pattern.
    /// - Throws: `InternalError` when the strategy contradicts itself.
    public func ranges(_ bounds: [ShardKeyBounds]) throws(ServerError) -> [KeyRange] {
        guard bounds.count == pattern.fields.count else { return [.all] }
        let runs = bounds.map { $0.intervals.compactMap(ShardKeySpace.run) }
        if runs.contains(where: \.isEmpty) { return [] }
        var prefixes = [Prefix(bytes: [], chosen: Array(repeating: nil, count: runs.count))]
        for component in layout.components {
            let field = runs[component.field]
            let isPoints = field.allSatisfy { $0.point != nil }
            if !isPoints, component.kind == .ordered {
                if field.count == 1, field[0].isAll { break }
                guard fits(prefixes, field.count) else { break }
                return KeyRange.joined(
                    prefixes.flatMap { prefix in field.map { ShardKeySpace.range($0, behind: prefix.bytes) } })
            }
            guard
                let longer = try isPoints
                    ? byPoints(prefixes, component, field) : byBuckets(prefixes, component)
            else { break }
            prefixes = longer
        }
        return KeyRange.joined(prefixes.map { KeyRange(prefix: $0.bytes) })
    }

    /// A list of points is as long as the client made it; only products can outgrow the query.
    private func fits(_ prefixes: [Prefix], _ count: Int) -> Bool {
        prefixes.count == 1 || prefixes.count * count <= Limits.shardKeyRangesMax
    }

    /// Nil when there would be too many.
    private func byPoints(
        _ prefixes: [Prefix], _ component: ShardKeyComponent, _ field: [Run]
    ) throws(ServerError) -> [Prefix]? {
        var encoded: [[UInt8]] = []
        for run in field { encoded.append(try encode(run, component)) }
        // A field that an earlier component has taken a point of is that point here too.
        if prefixes.allSatisfy({ $0.chosen[component.field] != nil }) {
            return prefixes.map { prefix in
                var longer = prefix
                if let chosen = prefix.chosen[component.field] { longer.bytes += encoded[chosen] }
                return longer
            }
        }
        guard fits(prefixes, field.count) else { return nil }
        return prefixes.flatMap { prefix in
            encoded.indices.map { index in
                var longer = prefix
                longer.bytes += encoded[index]
                longer.chosen[component.field] = index
                return longer
            }
        }
    }

    private func encode(_ run: Run, _ component: ShardKeyComponent) throws(ServerError) -> [UInt8] {
        guard component.isNumber, let point = run.point else { return run.low }
        let buffer = ByteBuffer(capacity: 16)
        let number = try self.number(of: point, component)
        ShardKeySpace.append(number: number, to: buffer)
        return buffer.toArray()
    }

    /// Every bucket; nil for another component, or when there would be too many.
    private func byBuckets(_ prefixes: [Prefix], _ component: ShardKeyComponent) -> [Prefix]? {
        guard case .buckets(let count) = component.kind, prefixes.count * count <= Limits.shardKeyRangesMax else {
            return nil
        }
        return prefixes.flatMap { prefix in
            (0..<count).map { number in
                let buffer = ByteBuffer(capacity: 16)
                ShardKeySpace.append(number: Int64(number), to: buffer)
                return Prefix(bytes: prefix.bytes + buffer.toArray(), chosen: prefix.chosen)
            }
        }
    }

    /// Nil for an interval without values.
    private static func run(_ interval: ShardKeyBounds.Interval) -> Run? {
        let low = key(interval.low)
        let high = key(interval.high)
        if high.lexicographicallyPrecedes(low) { return nil }
        let isPoint = low == high
        if isPoint, !(interval.includesLow && interval.includesHigh) { return nil }
        return Run(
            low: low, includesLow: interval.includesLow, high: high, includesHigh: interval.includesHigh,
            // Not nil, which a value can be made of, too.
            point: isPoint ? .some(interval.low) : Optional<Value>.none)
    }

    private static func key(_ value: Value) -> [UInt8] {
        let buffer = ByteBuffer(capacity: 64)
        Document { $0.append("", value) }.withView { view in
            if let value = view.first?.value { IndexKey.append(value, to: buffer) }
        }
        return buffer.toArray()
    }

    private static let least = key(.minKey)
    private static let greatest = key(.maxKey)

    private static func range(_ run: Run, behind prefix: [UInt8]) -> KeyRange {
        let lower = prefix + run.low
        let upper = prefix + run.high
        return KeyRange(
            lower: run.includesLow ? lower : KeyRange.successor(of: lower) ?? lower,
            upper: run.includesHigh ? KeyRange.successor(of: upper) : upper)
    }
}
