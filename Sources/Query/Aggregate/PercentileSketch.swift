import BSON

#if canImport(Glibc)
    import Glibc
#endif

/// What is known of many numbers to say their percentiles: all of them while they are few, and then a t-digest
/// (Dunning, "Computing extremely accurate quantiles using t-digests"), which is most accurate at both ends. Its size
/// and the work of one step are bounded.
struct PercentileSketch {
    /// Numbers that are kept as they are, and then those that are merged into the digest at once.
    static let bufferMax = 4096
    /// How fine the digest is: about half as many centroids.
    private static let fineness = 2000.0

    private struct Centroid {
        var mean: Double
        var weight: Double
    }

    private var centroids: [Centroid] = []
    private var buffer: [Double] = []
    private var least = Double.infinity
    private var greatest = -Double.infinity
    private(set) var count = 0

    var memoryBytes: Int {
        MemoryLayout<Double>.stride * buffer.count + MemoryLayout<Centroid>.stride * centroids.count
    }

    /// Takes a number; NaN counts nothing.
    mutating func add(_ number: Double) {
        guard !number.isNaN else { return }
        count += 1
        least = min(least, number)
        greatest = max(greatest, number)
        buffer.append(number)
        if buffer.count == PercentileSketch.bufferMax { compress() }
    }

    /// All that is known: `{least, greatest, count, numbers, means, weights}`.
    var state: Document {
        Document { writer in
            writer.append("least", double: least)
            writer.append("greatest", double: greatest)
            writer.append("count", int64: Int64(count))
            writer.array("numbers") { array in for number in buffer { array.append(double: number) } }
            writer.array("means") { array in for one in centroids { array.append(double: one.mean) } }
            writer.array("weights") { array in for one in centroids { array.append(double: one.weight) } }
        }
    }

    /// Takes what another sketch knows; false when that cannot be read.
    mutating func merge(_ state: Document) -> Bool {
        guard let otherLeast = state["least"]?.asNumber, let otherGreatest = state["greatest"]?.asNumber,
            let otherCount = state["count"]?.asInteger.flatMap({ Int(exactly: $0) }), otherCount >= 0,
            let numbers = state["numbers"]?.asArray?.compactMap(\.asNumber),
            let means = state["means"]?.asArray?.compactMap(\.asNumber),
            let weights = state["weights"]?.asArray?.compactMap(\.asNumber), means.count == weights.count
        else { return false }
        let before = count
        for number in numbers { add(number) }
        if !means.isEmpty {
            compress(with: zip(means, weights).map { Centroid(mean: $0, weight: $1) })
        }
        count = before &+ otherCount
        least = min(least, otherLeast)
        greatest = max(greatest, otherGreatest)
        return true
    }

    /// Merges the buffer and the centroids into as few centroids as the scale function allows.
    private mutating func compress(with others: [Centroid] = []) {
        var all = centroids + others + buffer.map { Centroid(mean: $0, weight: 1) }
        guard !all.isEmpty else { return }
        all.sort { $0.mean < $1.mean }
        buffer.removeAll(keepingCapacity: true)
        centroids.removeAll(keepingCapacity: true)
        let total = all.reduce(0) { $0 + $1.weight }
        var current = all[0]
        var before = 0.0
        var limit = total * PercentileSketch.upperBound(after: 0)
        for next in all.dropFirst() {
            // Means of infinities would be no numbers.
            let isMergeable = next.mean == current.mean || (next.mean.isFinite && current.mean.isFinite)
            if isMergeable, before + current.weight + next.weight <= limit {
                let weight = current.weight + next.weight
                if next.mean != current.mean {
                    current.mean += (next.mean - current.mean) * (next.weight / weight)
                }
                current.weight = weight
            } else {
                centroids.append(current)
                before += current.weight
                limit = total * PercentileSketch.upperBound(after: before / total)
                current = next
            }
        }
        centroids.append(current)
    }

    /// The quantile up to which a centroid that begins at `quantile` may reach: one step of the scale function `k1`.
    private static func upperBound(after quantile: Double) -> Double {
        let step = 2 * Double.pi / fineness
        let angle = asin(min(max(2 * quantile - 1, -1), 1)) + step
        return angle >= Double.pi / 2 ? 1 : (sin(angle) + 1) / 2
    }

    /// The number at a percentile, 0 to 1; nil when there are none. Exact while the numbers are few.
    func percentiles(_ fractions: [Double]) -> [Double?] {
        guard count > 0 else { return fractions.map { _ in nil } }
        guard centroids.isEmpty else {
            var merged = self
            if !merged.buffer.isEmpty { merged.compress() }
            return fractions.map { merged.interpolated($0) }
        }
        let sorted = buffer.sorted()
        return fractions.map { fraction in
            let rank = Int((Double(sorted.count) * fraction).rounded(.up)) - 1
            return sorted[max(0, min(sorted.count - 1, rank))]
        }
    }

    private func interpolated(_ fraction: Double) -> Double {
        if fraction <= 0 { return least }
        if fraction >= 1 { return greatest }
        let rank = fraction * Double(count)
        var before = 0.0
        for (index, centroid) in centroids.enumerated() {
            let end = before + centroid.weight
            if rank <= end || index == centroids.count - 1 {
                if centroid.weight <= 1 { return centroid.mean }
                let low = index > 0 ? (centroids[index - 1].mean + centroid.mean) / 2 : least
                let high = index + 1 < centroids.count ? (centroid.mean + centroids[index + 1].mean) / 2 : greatest
                guard low.isFinite, high.isFinite else { return centroid.mean }
                return low + (high - low) * min(max((rank - before) / centroid.weight, 0), 1)
            }
            before = end
        }
        return greatest
    }
}
