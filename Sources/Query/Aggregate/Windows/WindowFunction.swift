import BSON
import Core

/// What a function of `$setWindowFields` is given of a document.
struct WindowInput {
    /// The value of its expression; nil for missing.
    let value: Value?
    /// The document's value in the sort, where that is by one field.
    let position: Value?
    /// The document's place among those of its partition that sort differently, from 0.
    let rank: Int
    /// The document's number in its partition, from 0.
    let number: Int
    /// The number of the first document that sorts as this one.
    let firstOfRank: Int
}

/// What `$setWindowFields` computes over a window. Not a plug point: MongoDB's window functions.
///
/// Documents come in and go out in order; a result may be asked for at any time.
protocol WindowFunction: AnyObject {
    func add(_ input: WindowInput) throws(ServerError)
    /// The document that came first of those that are in goes out.
    func remove(_ input: WindowInput) throws(ServerError)
    /// Does so many steps of what the result takes; true when it may be asked for.
    func prepare(steps: Int) throws(ServerError) -> Bool
    /// The function's value for a document with its window; nil, shown as null, when there is none.
    func result(for current: WindowInput) throws(ServerError) -> Value?
    /// Whether the result is the same for all documents with the same window.
    var isOfWindowOnly: Bool { get }
    /// Bytes that grow with the window.
    var memoryBytes: Int { get }
}

extension WindowFunction {
    var isOfWindowOnly: Bool { true }
    var memoryBytes: Int { 0 }
    func remove(_ input: WindowInput) throws(ServerError) {}
    func prepare(steps: Int) -> Bool { true }
}

/// An accumulator of `$group` over a window that nothing leaves.
final class GrowingWindow: WindowFunction {
    private let accumulator: any Accumulator

    init(_ accumulator: any Accumulator) { self.accumulator = accumulator }

    func add(_ input: WindowInput) throws(ServerError) { try accumulator.add(input.value) }
    func result(for current: WindowInput) -> Value? { accumulator.result }
    var memoryBytes: Int { accumulator.memoryBytes }
}

/// An accumulator that cannot take a value back: it begins anew for each window out of which one went.
final class RepeatedWindow: WindowFunction {
    private let make: () -> any Accumulator
    private var values = WindowQueue<Value?>()
    private var accumulator: (any Accumulator)?
    /// How many of the values the accumulator has been given.
    private var taken = 0
    private(set) var memoryBytes = 0

    init(_ make: @escaping () -> any Accumulator) { self.make = make }

    func add(_ input: WindowInput) {
        values.append(input.value)
        memoryBytes += input.value?.memoryBytes ?? 1
    }

    func remove(_ input: WindowInput) {
        values.removeFirst()
        memoryBytes -= input.value?.memoryBytes ?? 1
        accumulator = nil
    }

    func prepare(steps: Int) throws(ServerError) -> Bool {
        let accumulator = begun()
        let end = min(values.count, taken + steps)
        while taken < end {
            try accumulator.add(values[taken])
            taken += 1
        }
        return taken == values.count
    }

    private func begun() -> any Accumulator {
        if let accumulator { return accumulator }
        let made = make()
        accumulator = made
        taken = 0
        return made
    }

    func result(for current: WindowInput) -> Value? { begun().result }
}
