import BSON
import Core

/// What `$group` says.
struct GroupSpecification {
    let key: Expression
    /// The only field of a key that is a document of one field: the group is that of the field's value, with null for
    /// a missing one. (In a key of several fields missing ones stay away.)
    private(set) var keyField: String?
    let accumulators: [AccumulatorSpecification]
    /// The buckets of `$bucket`: groups are then intervals, and come out in order.
    var buckets: BucketBounds?
    /// Which part of the work the stage does.
    var part = GroupPart.whole

    init(key: Expression, accumulators: [AccumulatorSpecification], buckets: BucketBounds? = nil) {
        self.key = key
        self.accumulators = accumulators
        self.buckets = buckets
    }

    init(_ argument: ValueView, context: QueryContext) throws(ServerError) {
        guard let document = argument.asDocument else {
            throw ServerError(location: 15947, "a group's fields must be specified in an object")
        }
        var key: Expression?
        var accumulators: [AccumulatorSpecification] = []
        for element in document {
            if element.key == "_id" {
                guard key == nil else { throw ServerError(location: 15948, "a group's _id may only be specified once") }
                (key, keyField) = try GroupSpecification.key(element.value, context)
            } else {
                accumulators.append(try AccumulatorSpecification(element, context: context))
            }
        }
        guard let key else { throw ServerError(location: 15955, "a group specification must include an _id") }
        self.key = key
        self.accumulators = accumulators
    }

    private static func key(
        _ value: ValueView, _ context: QueryContext
    ) throws(ServerError) -> (Expression, field: String?) {
        guard let fields = value.asDocument, let first = fields.first, !first.key.isOperator else {
            return (try Expression(value, context: context), nil)
        }
        for field in fields where field.value.type.isNumber || field.value.type == .bool {
            throw ServerError(location: 17390, "$group does not support inclusion-style expressions")
        }
        // Compiled whole for its checks of names.
        let whole = try Expression(value, context: context)
        guard fields.fieldCount == 1 else { return (whole, nil) }
        return (try Expression(first.value, context: context), first.key.string)
    }
}

/// Which part of a group's work a stage does, where its input lies on several shards.
enum GroupPart {
    /// All of it.
    case whole
    /// That of one shard: what its accumulators know comes out, as it is.
    case partial
    /// What shards have found out comes in.
    case merging
}

/// The intervals of `$bucket`.
struct BucketBounds {
    let boundaries: [Value]
    let otherwise: Value?

    /// The lower bound of the value's interval, or the default.
    func bucket(_ value: Value?) throws(ServerError) -> Value {
        if let value, !isNullish(value), Value.order(value, boundaries[0]) >= 0 {
            for index in 1..<boundaries.count where Value.order(value, boundaries[index]) < 0 {
                return boundaries[index - 1]
            }
        }
        guard let otherwise else {
            throw ServerError(
                location: 40066,
                "$switch could not find a matching branch for an input, and no default was specified.")
        }
        return otherwise
    }
}

/// `$group`: one document for each distinct key, in the order in which the keys came first.
///
/// When its memory is used up, further documents are no longer added to their groups: what they would add goes into a
/// temporary table, ordered by group. At the end the table is read, group after group; a group that is in memory goes
/// on with what it has. Those come out in the order of their keys.
final class GroupStage: InnerStage {
    private struct Group {
        let key: Value
        var accumulators: [any Accumulator]
        var isShown = false
    }

    private let input: InterruptibleSource
    var source: any StageExecution { input }
    private let specification: GroupSpecification
    private let clock: PipelineClock
    private let memory: StageMemory
    private var groups: [Group] = []
    private var indexes: [[UInt8]: Int] = [:]
    private var bytes = 0
    private var isComplete = false
    private var index = 0
    private let buffer = ByteBuffer()
    private var spilled: SpilledRows?
    private let wrapped = ByteBuffer()
    /// The group of the table that is being read.
    private var current: (key: ArraySlice<UInt8>, group: Group, bytes: Int)?

    init(
        _ source: any StageExecution, _ specification: GroupSpecification, _ clock: PipelineClock,
        _ budget: EvaluationBudget?, _ memory: StageMemory
    ) {
        input = InterruptibleSource(source, budget)
        self.specification = specification
        self.clock = clock
        // The intervals of `$bucket` come out in order, and are few.
        self.memory = specification.buckets == nil ? memory : StageMemory(bytesMax: memory.bytesMax, store: nil)
    }

    func close() {
        spilled?.drop()
        input.close()
    }

    func next() throws -> StageOutput {
        while !isComplete {
            switch try input.next() {
            case .document(let document):
                guard let group = try input.evaluate({ () throws(ServerError) in try evaluate(document) }) else {
                    return .yield
                }
                try add(group.key, group.values)
            case .yield: return .yield
            case .end:
                isComplete = true
                try spilled?.flush()
                guard spilled == nil else { break }
                indexes = [:]
                if specification.buckets != nil { groups = stableSorted(groups) { Value.order($0.key, $1.key) } }
            }
        }
        if spilled != nil {
            while true {
                if clock.isOver() { return .yield }
                guard let ended = try readSpilled() else { continue }
                if let group = ended { return .document(try write(group)) }
                spilled?.drop()
                spilled = nil
                indexes = [:]
                break
            }
        }
        while index < groups.count, groups[index].isShown { index += 1 }
        guard index < groups.count else { return .end }
        if clock.isOver() { return .yield }
        index += 1
        return .document(try write(groups[index - 1]))
    }

    /// The key of a document's group and what its accumulators are given.
    private func evaluate(_ document: DocumentView) throws(ServerError) -> (key: Value?, values: [Value?]) {
        if specification.part == .merging {
            let parts = specification.accumulators.map { accumulator in document[accumulator.field].map { Value($0) } }
            return (document["_id"].map { Value($0) }, parts)
        }
        let key = try specification.key.evaluate(root: document)
        var values: [Value?] = []
        values.reserveCapacity(specification.accumulators.count)
        for accumulator in specification.accumulators {
            guard let expression = accumulator.expression else {
                values.append(.int32(1))
                continue
            }
            values.append(try expression.evaluate(root: document))
        }
        return (key, values)
    }

    private func add(_ key: Value?, _ values: [Value?]) throws {
        var key = key ?? .null
        if let buckets = specification.buckets, specification.part != .merging { key = try buckets.bucket(key) }
        if case .undefined = key { key = .null }
        let keyBytes = GroupKey.bytes(of: key)
        if spilled == nil, bytes > memory.bytesMax, let store = memory.store { spilled = try SpilledRows(store) }
        guard spilled == nil else { return try spill(keyBytes, key, values) }
        let at: Int
        if let known = indexes[keyBytes] {
            at = known
        } else {
            at = groups.count
            indexes[keyBytes] = at
            groups.append(Group(key: key, accumulators: specification.accumulators.map { $0.make() }))
            bytes += keyBytes.count + key.memoryBytes + 64 * (1 + specification.accumulators.count)
        }
        bytes += try add(values, to: groups[at])
        if memory.store == nil { try memory.check(bytes, "$group") }
    }

    /// Gives the values to a group's accumulators; returns by how much they have grown.
    private func add(_ values: [Value?], to group: Group) throws(ServerError) -> Int {
        var grown = 0
        let isMerging = specification.part == .merging
        for (index, accumulator) in group.accumulators.enumerated() {
            let before = accumulator.memoryBytes
            if isMerging {
                if let part = values[index] { try accumulator.merge(part) }
            } else {
                try accumulator.add(values[index])
            }
            grown += accumulator.memoryBytes - before
        }
        return grown
    }

    // MARK: Spilling

    private func spill(_ keyBytes: [UInt8], _ key: Value, _ values: [Value?]) throws {
        wrapped.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: wrapped)
        writer.append("k" as String, key)
        for (index, value) in values.enumerated() { if let value { writer.append(String(index), value) } }
        writer.finish()
        spilled?.append(DocumentView(base: UnsafeRawPointer(wrapped.base))) { $0.append(keyBytes) }
        if spilled?.isFull == true { try spilled?.flush() }
    }

    /// Reads one row of the table. Returns nil while its group goes on, the group that has ended otherwise, and inside
    /// of that nil behind the last one.
    private func readSpilled() throws -> Group?? {
        let row = try spilled?.peek()
        if let ended = current, row.map({ $0.key != ended.key }) ?? true {
            current = nil
            return .some(ended.group)
        }
        guard let row else { return .some(nil) }
        if current == nil { current = begin(row.key, row.value) }
        guard let group = current?.group else { return nil }
        let values = row.value.withView { view in
            specification.accumulators.indices.map { view[String($0)].map { Value($0) } }
        }
        spilled?.advance()
        current?.bytes += try add(values, to: group)
        try memory.check(current?.bytes ?? 0, "$group")
        return nil
    }

    /// A group that is in memory goes on there; the memory of its own is given back when it has been shown.
    private func begin(_ key: ArraySlice<UInt8>, _ row: Document) -> (ArraySlice<UInt8>, Group, Int) {
        if let known = indexes[Array(key)] {
            let group = groups[known]
            groups[known].isShown = true
            groups[known].accumulators = []
            return (key, group, 0)
        }
        let value = row.withView { view in view["k"].map { Value($0) } ?? .null }
        return (key, Group(key: value, accumulators: specification.accumulators.map { $0.make() }), 0)
    }

    private func write(_ group: Group) throws(ServerError) -> DocumentView {
        buffer.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: buffer)
        if specification.part == .partial {
            writer.append("_id" as String, group.key)
            for (index, accumulator) in group.accumulators.enumerated() {
                if let part = accumulator.partial { writer.append(specification.accumulators[index].field, part) }
            }
            writer.finish()
            return try buffer.stageDocument()
        }
        if let field = specification.keyField {
            writer.document("_id") { $0.append(field, group.key) }
        } else {
            writer.append("_id" as String, group.key)
        }
        for (index, accumulator) in group.accumulators.enumerated() {
            writer.append(specification.accumulators[index].field, accumulator.result ?? .null)
        }
        writer.finish()
        return try buffer.stageDocument()
    }
}
