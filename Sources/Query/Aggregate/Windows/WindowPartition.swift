import BSON
import Core

/// The documents of one partition, those that windows still reach, and the functions over them.
struct WindowPartition {
    /// One field's function, and how far its window has come.
    private struct Runner {
        let frame: WindowFrame
        let function: any WindowFunction
        /// The window's first document.
        var lower = 0
        /// The first that is not in it yet.
        var upper = 0
        /// The result for the window as it is; nil when there is none yet.
        var known: Value??
        var bytes = 0
        /// The last document that is there and has a value.
        var lastValue = -1
    }

    private let specification: WindowSpecification
    private var runners: [Runner]
    private var key: [UInt8]?
    private let rows: WindowRows
    private let memory: StageMemory
    /// The number of the document that is shown next.
    private var current = 0
    /// The order key of the last document.
    private var order: [UInt8] = []
    private var rank = -1
    private var firstOfRank = 0
    /// The last document's value in the sort.
    private var lastPosition: Value?
    /// Bytes that the functions hold.
    private var bytes = 0
    /// No document comes any more.
    var isComplete = false

    init(_ specification: WindowSpecification, _ memory: StageMemory) {
        self.specification = specification
        self.memory = memory
        rows = WindowRows(memory)
        runners = specification.outputs.map { Runner(frame: $0.frame, function: $0.make()) }
    }

    private var end: Int { rows.end }

    /// Gives back what it holds elsewhere.
    func close() { rows.close() }

    /// Whether a document with this key belongs to the partition; the first one decides.
    mutating func begins(with other: UnsafeRawBufferPointer) -> Bool {
        guard let key else {
            key = Array(other)
            return true
        }
        return key.elementsEqual(other)
    }

    /// Takes the next document.
    /// - Parameters:
    ///   - values: what the functions' expressions give.
    ///   - key: its place in the sort.
    mutating func add(_ document: DocumentView, _ values: [Value?], order key: UnsafeRawBufferPointer) throws {
        if rank < 0 || !order.elementsEqual(key) {
            order = Array(key)
            rank += 1
            firstOfRank = end
        }
        let position = specification.position?.resolve(in: document)
        var size = document.byteCount + 64
        for (index, value) in values.enumerated() where !isNullish(value) { runners[index].lastValue = end }
        let inputs = values.map { value in
            size += 96 + (value?.nestedByteCount ?? 0)
            return WindowInput(value: value, position: position, rank: rank, number: end, firstOfRank: firstOfRank)
        }
        lastPosition = position
        try rows.append(WindowRows.Row(document: document.document, inputs: inputs, bytes: size))
        try memory.check(bytes + rows.bytes, "$setWindowFields")
    }

    /// Whether all is there that the windows of the next document reach.
    func canShow() throws -> Bool {
        guard current < end else { return false }
        if isComplete { return true }
        return try runners.indices.allSatisfy { try reachesEnd($0) }
    }

    // MARK: Bounds

    private func input(_ number: Int, _ index: Int) throws -> WindowInput { try rows.row(number).inputs[index] }

    /// Whether the last document that is there is the last of the window, or lies behind it.
    private func reachesEnd(_ index: Int) throws -> Bool {
        switch runners[index].frame {
        case .documents(_, .unbounded), .range(_, .unbounded), .time(_, .unbounded, _): return false
        case .documents(_, .current): return true
        case .documents(_, .distance(let distance)): return end > current + distance
        case .range, .time:
            guard let last = lastPosition else { return false }
            let here = try input(current, index).position
            // A bound that cannot be told is an error of the document, which is about to be shown.
            guard let bound = try? RangeBounds.upper(runners[index].frame, here) else { return true }
            return Value.order(last, bound) > 0
        case .upToValue: return runners[index].lastValue >= current
        }
    }

    /// Whether the window of the next document goes on at its upper end.
    private func isInside(_ runner: Runner, _ index: Int, _ bound: Value?) throws -> Bool {
        switch runner.frame {
        case .documents(_, .unbounded): return true
        case .documents(_, .current): return runner.upper <= current
        case .documents(_, .distance(let distance)): return runner.upper <= current + distance
        case .range, .time:
            guard let bound else { return true }
            return Value.order(try input(runner.upper, index).position ?? .null, bound) <= 0
        case .upToValue:
            if runner.upper <= current { return true }
            return isNullish(try input(runner.upper - 1, index).value)
        }
    }

    /// Whether the window's first document is before that of the next document.
    private func isOutside(_ runner: Runner, _ index: Int, _ bound: Value?) throws -> Bool {
        switch runner.frame {
        case .documents(.unbounded, _), .upToValue: return false
        case .documents(.current, _): return runner.lower < current
        case .documents(.distance(let distance), _): return runner.lower < current + distance
        case .range, .time:
            guard let bound else { return false }
            return Value.order(try input(runner.lower, index).position ?? .null, bound) < 0
        }
    }

    // MARK: Results

    /// Moves the windows to those of the next document, by some steps; true when they are there.
    mutating func advance() throws -> Bool {
        var steps = WindowPartition.stepsAtOnce
        for index in runners.indices {
            guard try advance(index, &steps) else { return false }
        }
        return true
    }

    private static let stepsAtOnce = 1024

    private mutating func advance(_ index: Int, _ steps: inout Int) throws -> Bool {
        let function = runners[index].function
        let here = try input(current, index).position
        let upperBound = try RangeBounds.upper(runners[index].frame, here)
        while runners[index].upper < end, try isInside(runners[index], index, upperBound) {
            guard steps > 0 else { return false }
            try function.add(input(runners[index].upper, index))
            runners[index].upper += 1
            runners[index].known = nil
            steps -= 1
        }
        if !runners[index].frame.isOpenBelow {
            let lowerBound = try RangeBounds.lower(runners[index].frame, here)
            while runners[index].lower < runners[index].upper, try isOutside(runners[index], index, lowerBound) {
                guard steps > 0 else { return false }
                try function.remove(input(runners[index].lower, index))
                runners[index].lower += 1
                runners[index].known = nil
                steps -= 1
            }
        }
        guard runners[index].known == nil || !function.isOfWindowOnly else { return true }
        bytes += function.memoryBytes - runners[index].bytes
        runners[index].bytes = function.memoryBytes
        try memory.check(bytes + rows.bytes, "$setWindowFields")
        return try function.prepare(steps: max(1, steps))
    }

    /// Appends the next document with its fields; the windows have been moved there.
    mutating func show(in buffer: ByteBuffer) throws {
        var values: [Value?] = []
        values.reserveCapacity(runners.count)
        for index in runners.indices { values.append(try result(index) ?? .null) }
        try rows.row(current).document.withChecked { (document) throws(ServerError) in
            try specification.additions.apply(document, values, to: buffer)
        }
        current += 1
        let needed = runners.reduce(current) { $1.frame.isOpenBelow ? min($0, $1.upper) : min($0, $1.lower, $1.upper) }
        rows.removeAll(before: needed)
    }

    private mutating func result(_ index: Int) throws -> Value? {
        let function = runners[index].function
        if function.isOfWindowOnly, let known = runners[index].known { return known }
        let result = try function.result(for: input(current, index))
        runners[index].known = .some(result)
        return result
    }
}

/// The ends of windows by value.
enum RangeBounds {
    /// The greatest value in the window of a document with `here`; nil for no end.
    static func upper(_ frame: WindowFrame, _ here: Value?) throws(ServerError) -> Value? {
        switch frame {
        case .range(_, let bound): try value(bound, here)
        case .time(_, let bound, let unit): try date(bound, unit, here)
        default: nil
        }
    }

    static func lower(_ frame: WindowFrame, _ here: Value?) throws(ServerError) -> Value? {
        switch frame {
        case .range(let bound, _): try value(bound, here)
        case .time(let bound, _, let unit): try date(bound, unit, here)
        default: nil
        }
    }

    private static func value(_ bound: WindowFrame.Bound<Value>, _ here: Value?) throws(ServerError) -> Value? {
        if case .unbounded = bound { return nil }
        if here?.type == .dateTime {
            throw ServerError(location: 5_429_513, "For windows that involve date, unit must be provided.")
        }
        guard let number = Number(here) else {
            throw ServerError(
                location: 5_429_414, "For windows that involve numeric values, the sortBy must be a number.")
        }
        guard case .distance(let distance) = bound, let distance = Number(distance) else { return here }
        return Number.add(number, distance).value
    }

    private static func date(
        _ bound: WindowFrame.Bound<Int64>, _ unit: DateUnit, _ here: Value?
    ) throws(ServerError) -> Value? {
        if case .unbounded = bound { return nil }
        guard case .dateTime(let millis) = here else {
            throw ServerError(location: 5_429_513, "For windows with a unit, the sortBy must be a date.")
        }
        guard case .distance(let distance) = bound else { return here }
        guard let moved = DateMathOperators.moved(millis, by: distance, unit) else {
            throw ServerError(location: 5_166_406, "a window's bound lies beyond all dates")
        }
        return .dateTime(moved)
    }
}
