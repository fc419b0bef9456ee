import BSON
import Core

/// What `$densify` says.
struct DensifySpecification {
    enum Bounds {
        /// From the least value of all to the greatest.
        case full
        /// The same for each partition.
        case partition
        /// From the first value to before the second.
        case explicit(Value, Value)
    }

    let field: String
    let fieldPath: ExpressionPath
    let partitionFields: [ExpressionPath]
    let step: Value
    /// For dates.
    let unit: DateUnit?
    let bounds: Bounds
    let sort: SortPattern

    init(_ argument: ValueView) throws(ServerError) {
        let name = "$densify"
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 5_733_801,
                "The $densify stage specification must be an object, found "
                    + argument.type.operatorName)
        }
        var field: String?
        var partitions: [ExpressionPath] = []
        var range: DocumentView?
        for element in document {
            switch element.key {
            case "field":
                guard let text = element.value.asString else {
                    throw StageFields.wrongType(name, "field", element.value, "string")
                }
                field = text
            case "partitionByFields":
                guard let list = element.value.asArray else {
                    throw StageFields.wrongType(name, "partitionByFields", element.value, "array")
                }
                for item in list {
                    guard let text = item.value.asString else {
                        throw StageFields.wrongType(name, "partitionByFields", item.value, "string")
                    }
                    partitions.append(try ExpressionPath(text))
                }
            case "range":
                guard let fields = element.value.asDocument else {
                    throw StageFields.wrongType(name, "range", element.value, "object")
                }
                range = fields
            default: throw StageFields.unknown(name, element.key.string)
            }
        }
        guard let field else { throw StageFields.missing(name, "field") }
        guard let range else { throw StageFields.missing(name, "range") }
        let path = try ExpressionPath(field)
        for partition in partitions {
            let clash = zip(partition.components, path.components).allSatisfy { $0 == $1 }
            guard !clash else {
                throw ServerError(
                    location: partition.dotted == field ? 8_993_000 : 8_993_001,
                    "BSON field '$densify.partitionByFields' must not contain, or be a prefix of, the field to densify")
            }
        }
        self.field = field
        fieldPath = path
        partitionFields = partitions
        (step, unit, bounds) = try DensifySpecification.range(range)
        if case .partition = bounds, partitions.isEmpty {
            throw ServerError(
                location: 5_733_408,
                "one may not specify the bounds as 'partition' without specifying a non-empty "
                    + "array of partitionByFields. You may have meant to specify 'full' bounds.")
        }
        sort = try Document { $0.append(field, .int32(1)) }.withChecked { (view) throws(ServerError) in
            try SortPattern(view)
        }
    }

    private static func range(
        _ document: DocumentView
    ) throws(ServerError) -> (step: Value, unit: DateUnit?, bounds: Bounds) {
        let name = "$densify.range"
        for element in document where !["step", "unit", "bounds"].contains(element.key.string) {
            throw StageFields.unknown(name, element.key.string)
        }
        guard let step = document["step"] else { throw StageFields.missing(name, "step") }
        guard let bounds = document["bounds"] else { throw StageFields.missing(name, "bounds") }
        guard let number = Number(Value(step)) else {
            throw StageFields.wrongType(name, "step", step, "number")
        }
        guard number.doubleValue > 0 else {
            throw ServerError(
                location: 5_733_401,
                "the step parameter in a range statement must be a strictly "
                    + "positive numeric value")
        }
        var unit: DateUnit?
        if let value = document["unit"] {
            guard let text = value.asString else { throw StageFields.wrongType(name, "unit", value, "string") }
            guard let read = DateUnit(rawValue: text) else {
                throw ServerError(.failedToParse, "unknown time unit value: \(text)")
            }
            guard number.exactInteger != nil else {
                throw ServerError(
                    location: 6_586_400,
                    "The step parameter in a range statement must be a whole number when "
                        + "densifying a date range")
            }
            unit = read
        }
        return (Value(step), unit, try DensifySpecification.bounds(bounds, unit))
    }

    private static func bounds(_ value: ValueView, _ unit: DateUnit?) throws(ServerError) -> Bounds {
        if let text = value.asString {
            switch text {
            case "full": return .full
            case "partition": return .partition
            default:
                throw ServerError(
                    location: 5_946_802, "Bounds string must either be 'full' or 'partition', but was: \(text)")
            }
        }
        guard let array = value.asArray else {
            throw ServerError(
                location: 5_733_402,
                "the bounds in a range statement must be the string 'full', 'partition', or an "
                    + "ascending array of two numbers or two dates")
        }
        let ends = array.map { Value($0.value) }
        guard ends.count == 2 else {
            throw ServerError(
                location: 5_733_403, "a bounding array in a range statement must have exactly two elements")
        }
        for end in ends {
            guard unit == nil ? Number(end) != nil : end.type == .dateTime else {
                throw ServerError(
                    location: 5_733_402,
                    unit == nil
                        ? "numeric bounds are expected for a range without unit" : "dates are expected with a unit")
            }
        }
        guard Value.order(ends[0], ends[1]) < 0 else {
            throw ServerError(
                location: 5_733_404, "the bounds in a range statement must be in ascending order")
        }
        return .explicit(ends[0], ends[1])
    }

    /// The value `count` steps behind `start`.
    func value(_ start: Value, _ count: Int) throws(ServerError) -> Value {
        guard let unit else {
            guard let start = Number(start), let step = Number(step) else { return .null }
            return Number.add(start, Number.multiply(step, Number.integer(Int64(count), narrow: true))).value
        }
        guard case .dateTime(let millis) = start, let step = step.asInteger else { return .null }
        let (amount, overflow) = step.multipliedReportingOverflow(by: Int64(count))
        guard !overflow, let moved = DateMathOperators.moved(millis, by: amount, unit) else {
            throw ServerError(location: 5_166_406, "$densify went beyond all dates")
        }
        return .dateTime(moved)
    }
}

/// `$densify`: puts documents where values are missing between those that there are.
final class DensifyStage: InnerStage {
    let source: any StageExecution
    private let specification: DensifySpecification
    private let clock: PipelineClock
    private let sorter: StageSorter
    private var isCollected = false
    private let prefix = ByteBuffer()
    private let buffer = ByteBuffer()
    private let other = ByteBuffer()
    /// The least and the greatest value of all.
    private var extent: (low: Value, high: Value)?
    /// The next document; valid until the sorter is asked again.
    private var ahead: StageSorter.Row?
    private var isOver = false
    private var gap: Gap?
    private var made = 0

    /// The partition under way, and where its next value is missing.
    private struct Gap {
        let key: [UInt8]
        /// The values of its fields, to be shown with what is made.
        let fields: [Value?]
        var start: Value?
        var steps = 0
        /// The next value; nil while there is no first.
        var next: Value?
        /// Where it ends for good: the last value, which belongs to it, or the one that does not.
        var end: (value: Value, isIncluded: Bool)?
    }

    init(
        _ source: any StageExecution, _ specification: DensifySpecification, _ clock: PipelineClock,
        _ memory: StageMemory
    ) {
        self.source = source
        self.specification = specification
        self.clock = clock
        sorter = StageSorter(specification.sort, clock, memory)
    }

    func close() {
        sorter.close()
        source.close()
    }

    func next() throws -> StageOutput {
        while !isCollected {
            switch try source.next() {
            case .document(let document): try collect(document)
            case .yield: return .yield
            case .end:
                isCollected = true
                source.close()
                try beginWithoutDocuments()
            }
        }
        while true {
            if ahead == nil, !isOver {
                switch try sorter.next() {
                case .row(let row): ahead = row
                case .yield: return .yield
                case .end: isOver = true
                }
            }
            if let row = ahead {
                let key = UnsafeRawBufferPointer(
                    rebasing: row.key[..<min(Int(truncatingIfNeeded: row.tag), row.key.count)])
                if gap == nil { gap = try begin(key, row.document) }
                if gap?.key.elementsEqual(key) == true { return try show(row.document) }
            }
            guard gap != nil else { return .end }
            if isMissing(before: nil) { return try fill() }
            gap = nil
        }
    }

    // MARK: Collecting

    private func collect(_ document: DocumentView) throws {
        let value = specification.fieldPath.resolve(in: document)
        try check(value)
        prefix.removeAll()
        for path in specification.partitionFields {
            (path.resolve(in: document) ?? .null).withView { IndexKey.append($0, to: prefix) }
        }
        try sorter.add(document, behind: prefix, tag: UInt64(prefix.count))
        guard let value, !isNullish(value) else { return }
        guard let known = extent else {
            extent = (value, value)
            return
        }
        if Value.order(value, known.low) < 0 { extent = (value, known.high) }
        if Value.order(value, known.high) > 0 { extent = (known.low, value) }
    }

    private func check(_ value: Value?) throws(ServerError) {
        if isNullish(value) { return }
        let isDate = value?.type == .dateTime
        guard isDate || Number(value) != nil else {
            throw ServerError(location: 5_733_201, "PlanExecutor error: Densify field type must be numeric or a date")
        }
        guard isDate == (specification.unit != nil) else {
            throw ServerError(
                location: 6_053_600,
                isDate
                    ? "Encountered date densify value in collection when step does not have a date unit."
                    : "Encountered numeric densify value in collection when step has a date unit.")
        }
    }

    // MARK: Filling

    private func beginWithoutDocuments() throws(ServerError) {
        guard case .explicit = specification.bounds, specification.partitionFields.isEmpty else { return }
        gap = try Document().withChecked { (empty) throws(ServerError) in
            try begin(UnsafeRawBufferPointer(start: nil, count: 0), empty)
        }
    }

    private func begin(_ key: UnsafeRawBufferPointer, _ document: DocumentView) throws(ServerError) -> Gap {
        var gap = Gap(key: Array(key), fields: specification.partitionFields.map { $0.resolve(in: document) })
        switch specification.bounds {
        case .full:
            gap.start = extent?.low
            gap.end = extent.map { ($0.high, true) }
        case .partition: break
        case .explicit(let low, let high):
            gap.start = low
            gap.end = (high, false)
        }
        gap.next = gap.start
        return gap
    }

    /// A document of the input, or what is missing before it.
    private func show(_ document: DocumentView) throws -> StageOutput {
        let value = specification.fieldPath.resolve(in: document)
        if let value, !isNullish(value) {
            if gap?.start == nil {
                gap?.start = value
                gap?.next = value
            }
            if isMissing(before: value) { return try fill() }
            if let next = gap?.next, Value.equal(next, value) { try step() }
        }
        ahead = nil
        return .document(document)
    }

    /// Whether a value is missing before this one, or before the partition's end.
    private func isMissing(before value: Value?) -> Bool {
        guard let gap, let next = gap.next else { return false }
        if let value, Value.order(next, value) >= 0 { return false }
        guard let end = gap.end else { return value != nil }
        let order = Value.order(next, end.value)
        return end.isIncluded ? order <= 0 : order < 0
    }

    private func step() throws(ServerError) {
        guard let gap, let start = gap.start else { return }
        self.gap?.steps = gap.steps + 1
        self.gap?.next = try specification.value(start, gap.steps + 1)
    }

    /// Makes the next document that is missing.
    private func fill() throws -> StageOutput {
        if clock.isOver() { return .yield }
        guard let gap, let next = gap.next else { return .yield }
        made += 1
        guard made <= Limits.densifiedDocumentsMax else {
            throw ServerError(
                location: 5_897_900,
                "Generated \(made) documents in $densify, which is over the limit of "
                    + "\(Limits.densifiedDocumentsMax).")
        }
        try step()
        return .document(try write(gap, next).stageDocument())
    }

    private func write(_ gap: Gap, _ value: Value) -> ByteBuffer {
        var (to, from) = (buffer, other)
        to.removeAll(keeping: 1 << 16)
        DocumentWriter(startingIn: to).finish()
        let paths = specification.partitionFields + [specification.fieldPath]
        for (path, value) in zip(paths, gap.fields + [value]) {
            guard let value else { continue }
            swap(&to, &from)
            to.removeAll(keeping: 1 << 16)
            value.withView { NestedField(path).set($0, in: DocumentView(base: UnsafeRawPointer(from.base)), to: to) }
        }
        return to
    }
}
