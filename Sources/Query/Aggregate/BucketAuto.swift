import BSON
import Core

/// What `$bucketAuto` says.
struct BucketAutoSpecification {
    let key: Expression
    let buckets: Int
    let accumulators: [AccumulatorSpecification]
    let granularity: Granularity?

    init(_ argument: ValueView, context: QueryContext) throws(ServerError) {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 40240,
                "The argument to $bucketAuto must be an object, but found type: \(argument.type.operatorName).")
        }
        var key: Expression?
        var buckets: Int?
        var accumulators: [AccumulatorSpecification]?
        var granularity: Granularity?
        for element in document {
            let value = element.value
            switch element.key {
            case "groupBy":
                let isExpression =
                    value.asString.map { $0.utf8.first == UInt8(ascii: "$") }
                    ?? value.asDocument?.first?.key.isOperator ?? false
                guard isExpression else {
                    throw ServerError(
                        location: 40239,
                        "The $bucketAuto 'groupBy' field must be defined as a $-prefixed path or an expression, but "
                            + "found: \(ValueText.text(value)).")
                }
                key = try Expression(value, context: context)
            case "buckets": buckets = try BucketAutoSpecification.count(value)
            case "output":
                guard let output = value.asDocument else {
                    throw ServerError(
                        location: 40244,
                        "The $bucketAuto 'output' field must be an object, but found type: "
                            + "\(value.type.operatorName).")
                }
                accumulators = try output.map { (field) throws(ServerError) in
                    try AccumulatorSpecification(field, context: context)
                }
            case "granularity":
                guard let name = value.asString else {
                    throw ServerError(
                        location: 40261,
                        "The $bucketAuto 'granularity' field must be a string, but found type: "
                            + "\(value.type.operatorName).")
                }
                granularity = try Granularity(name)
            default:
                throw ServerError(location: 40245, "Unrecognized option to $bucketAuto: \(element.key.string).")
            }
        }
        guard let key, let buckets else {
            throw ServerError(location: 40246, "$bucketAuto requires 'groupBy' and 'buckets' to be specified.")
        }
        self.key = key
        self.buckets = buckets
        if let accumulators, !accumulators.isEmpty {
            self.accumulators = accumulators
        } else {
            self.accumulators = [try .counting(context)]
        }
        self.granularity = granularity
    }

    private static func count(_ value: ValueView) throws(ServerError) -> Int {
        guard value.type.isNumber else {
            throw ServerError(
                location: 40241,
                "The $bucketAuto 'buckets' field must be a numeric value, but found type: "
                    + "\(value.type.operatorName).")
        }
        guard let number = value.asInteger, let count = Int32(exactly: number) else {
            throw ServerError(
                location: 40242,
                "The $bucketAuto 'buckets' field must be representable as a 32-bit integer, but found "
                    + "\(ValueText.text(value)).")
        }
        guard count > 0 else {
            throw ServerError(
                location: 40243, "The $bucketAuto 'buckets' field must be greater than 0, but found: \(count).")
        }
        return Int(count)
    }
}

extension AccumulatorSpecification {
    /// `{count: {$sum: 1}}`: what buckets show when nothing else was asked for.
    static func counting(_ context: QueryContext) throws(ServerError) -> AccumulatorSpecification {
        let document = Document { writer in writer.document("count") { $0.append("$sum", int32: 1) } }
        return try document.withChecked { (view) throws(ServerError) in
            guard let element = view.first else { throw ServerError(.internalError, "a written field is missing") }
            return try AccumulatorSpecification(element, context: context)
        }
    }
}

/// `$bucketAuto`: documents in the order of a value, in so many groups of about the same size.
final class BucketAutoStage: InnerStage {
    private let input: InterruptibleSource
    var source: any StageExecution { input }
    private let specification: BucketAutoSpecification
    private let sorter: StageSorter
    private let memory: StageMemory
    private var count = 0
    private var isCollected = false
    /// Buckets begun so far.
    private var begun = 0
    private var bucket: Bucket?
    /// The next document's value and those of the accumulators, which the last bucket did not take.
    private var ahead: Row?
    private var isOver = false
    private let key = ByteBuffer()
    private let row = ByteBuffer()
    private let buffer = ByteBuffer()

    private struct Row {
        let value: Value
        let inputs: [Value?]
    }

    /// The bucket that is being filled.
    private struct Bucket {
        var low: Value
        /// The value of its last document, or the boundary behind it.
        var high: Value
        var count = 0
        /// With a granularity: where it ends, once it is large enough.
        var boundary: Value?
        let accumulators: [any Accumulator]
        var bytes = 0
    }

    init(
        _ source: any StageExecution, _ specification: BucketAutoSpecification, _ clock: PipelineClock,
        _ budget: EvaluationBudget?, _ memory: StageMemory
    ) throws {
        self.memory = memory
        input = InterruptibleSource(source, budget)
        self.specification = specification
        sorter = StageSorter(try SortPattern.none(), clock, memory)
    }

    func close() {
        sorter.close()
        input.close()
    }

    func next() throws -> StageOutput {
        while !isCollected { if try !collect() { return .yield } }
        while true {
            if ahead == nil, !isOver {
                switch try sorter.next() {
                case .row(let row): ahead = try read(row.document)
                case .yield: return .yield
                case .end: isOver = true
                }
            }
            guard let next = ahead else {
                guard let last = bucket else { return .end }
                bucket = nil
                return .document(try write(last, upTo: nil))
            }
            if bucket == nil { bucket = begin(next) }
            if takes(next) {
                try add(next)
                ahead = nil
                continue
            }
            guard let full = bucket else { continue }
            bucket = begin(next, at: full.boundary)
            return .document(try write(full, upTo: full.boundary ?? next.value))
        }
    }

    private func collect() throws -> Bool {
        switch try input.next() {
        case .document(let document):
            let found = try input.evaluate { () throws(ServerError) -> Row in
                var inputs: [Value?] = []
                for accumulator in specification.accumulators {
                    inputs.append(try accumulator.inputs(of: document))
                }
                return Row(value: try specification.key.evaluate(root: document) ?? .null, inputs: inputs)
            }
            guard let found else { return false }
            try specification.granularity?.check(found.value)
            key.removeAll()
            found.value.withView { IndexKey.append($0, to: key) }
            row.removeAll(keeping: 1 << 20)
            let writer = DocumentWriter(startingIn: row)
            writer.append("", found.value)
            for (index, value) in found.inputs.enumerated() { if let value { writer.append(String(index), value) } }
            writer.finish()
            try sorter.add(
                document, behind: key, inItsPlace: DocumentView(base: UnsafeRawPointer(row.base)), tag: 0)
            count += 1
        case .yield: return false
        case .end:
            isCollected = true
            input.close()
        }
        return true
    }

    private func read(_ document: DocumentView) throws(ServerError) -> Row {
        guard let value = document.first?.value else {
            throw ServerError(.internalError, "a sorted document has lost its value")
        }
        let inputs = specification.accumulators.indices.map { document[String($0)].map { Value($0) } }
        return Row(value: Value(value), inputs: inputs)
    }

    private func begin(_ row: Row, at boundary: Value? = nil) -> Bucket {
        begun += 1
        let low = boundary ?? specification.granularity?.down(row.value) ?? row.value
        return Bucket(low: low, high: row.value, accumulators: specification.accumulators.map { $0.make() })
    }

    /// Documents that a bucket takes at least.
    private var size: Int {
        max(1, Int((Double(count) / Double(specification.buckets)).rounded(.toNearestOrAwayFromZero)))
    }

    /// Whether the bucket takes a document: while it is small, while the value stays the same, and the last one all.
    private func takes(_ row: Row) -> Bool {
        guard let bucket else { return false }
        if begun >= specification.buckets || bucket.count < size { return true }
        if let granularity = specification.granularity {
            let boundary = bucket.boundary ?? granularity.up(bucket.high, next: row.value)
            self.bucket?.boundary = boundary
            return Value.order(row.value, boundary) < 0
        }
        return Value.equal(row.value, bucket.high)
    }

    private func add(_ row: Row) throws(ServerError) {
        guard let accumulators = bucket?.accumulators else { return }
        bucket?.count += 1
        bucket?.high = row.value
        var bytes = 0
        for (index, accumulator) in accumulators.enumerated() {
            try accumulator.add(row.inputs[index])
            bytes += accumulator.memoryBytes
        }
        try memory.check(bytes, "$bucketAuto")
    }

    private func write(_ bucket: Bucket, upTo boundary: Value?) throws(ServerError) -> DocumentView {
        buffer.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: buffer)
        writer.document("_id") { id in
            id.append("min" as String, bucket.low)
            id.append("max" as String, boundary ?? specification.granularity?.up(bucket.high, next: nil) ?? bucket.high)
        }
        for (index, accumulator) in bucket.accumulators.enumerated() {
            writer.append(specification.accumulators[index].field, accumulator.result ?? .null)
        }
        writer.finish()
        return try buffer.stageDocument()
    }
}

extension AccumulatorSpecification {
    /// What a document gives the accumulator.
    func inputs(of document: DocumentView) throws(ServerError) -> Value? {
        guard let expression else { return .int32(1) }
        return try expression.evaluate(root: document)
    }
}
