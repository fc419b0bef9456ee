import BSON
import Core

/// `$first`, `$last`, `$push` over a window, and `$shift` over a window of one.
final class SlidingList: WindowFunction {
    enum Selection { case first, last, all }

    private let selection: Selection
    /// What an empty window gives.
    private let otherwise: Value?
    private var values = WindowQueue<Value?>()
    private(set) var memoryBytes = 0

    init(_ selection: Selection, otherwise: Value? = nil) {
        self.selection = selection
        self.otherwise = otherwise
    }

    func add(_ input: WindowInput) {
        values.append(input.value)
        memoryBytes += input.value?.memoryBytes ?? 1
    }

    func remove(_ input: WindowInput) {
        values.removeFirst()
        memoryBytes -= input.value?.memoryBytes ?? 1
    }

    func result(for current: WindowInput) -> Value? {
        switch selection {
        case .first: values.first ?? otherwise
        case .last: values.last ?? otherwise
        case .all: .array(values.all.compactMap { $0 })
        }
    }
}

/// `$min`, `$max` over a window: candidates only, each better than all that come behind it.
final class SlidingExtreme: WindowFunction {
    private let keepsGreatest: Bool
    private var candidates = WindowQueue<(number: Int, value: Value)>()
    private(set) var memoryBytes = 0

    init(keepsGreatest: Bool) { self.keepsGreatest = keepsGreatest }

    func add(_ input: WindowInput) {
        guard let value = input.value, !isNullish(value) else { return }
        while let last = candidates.last {
            let order = Value.order(value, last.value)
            guard keepsGreatest ? order > 0 : order < 0 else { break }
            memoryBytes -= last.value.memoryBytes
            candidates.removeLast()
        }
        memoryBytes += value.memoryBytes
        candidates.append((input.number, value))
    }

    func remove(_ input: WindowInput) {
        guard let first = candidates.first, first.number == input.number else { return }
        memoryBytes -= first.value.memoryBytes
        candidates.removeFirst()
    }

    func result(for current: WindowInput) -> Value? { candidates.first?.value }
}

/// `$addToSet` over a window.
final class SlidingSet: WindowFunction {
    private struct Member {
        var value: Value
        var count: Int
        var number: Int
    }

    private var members: [[UInt8]: Member] = [:]
    private(set) var memoryBytes = 0

    func add(_ input: WindowInput) {
        guard let value = input.value else { return }
        let key = GroupKey.bytes(of: value)
        if members[key] == nil {
            memoryBytes += 2 * value.memoryBytes
            members[key] = Member(value: value, count: 1, number: input.number)
        } else {
            members[key]?.count += 1
        }
    }

    func remove(_ input: WindowInput) {
        guard let value = input.value else { return }
        let key = GroupKey.bytes(of: value)
        members[key]?.count -= 1
        guard let member = members[key], member.count <= 0 else { return }
        memoryBytes -= 2 * member.value.memoryBytes
        members[key] = nil
    }

    func result(for current: WindowInput) -> Value? {
        .array(members.values.sorted { $0.number < $1.number }.map { $0.value })
    }
}
