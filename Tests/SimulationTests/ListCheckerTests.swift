import BSON
import Core
import Testing

@testable import Simulation

/// The checker of lists: histories that keep the promises and histories that break one each.
struct ListCheckerTests {
    private func history(_ build: (inout ListHistory) -> Void) -> ListHistory {
        var history = ListHistory()
        build(&history)
        return history
    }

    private func check(_ history: ListHistory, _ final: [Int: [Int64]], isComplete: Bool = true) -> String? {
        ListChecker(history, final: isComplete ? final : nil).check(isComplete: isComplete)
    }

    @Test("a history that keeps all promises passes")
    func good() {
        let good = history {
            let first = $0.invoke(1, key: 0, session: nil)
            $0.acknowledge(first)
            let begun = $0.now()
            _ = $0.invoke(2, key: 0, session: nil)
            $0.answer(key: 0, .linearizable, session: nil, invoked: begun, list: [1])
        }
        #expect(check(good, [0: [1, 2]]) == nil)
        #expect(check(good, [0: [1]]) == nil, "an append of unknown outcome may be lost")
    }

    @Test("a lost acknowledged append is found")
    func lost() {
        let lost = history {
            let first = $0.invoke(1, key: 0, session: nil)
            $0.acknowledge(first)
        }
        #expect(check(lost, [0: []])?.contains("is lost") == true)
    }

    @Test("an append that was applied twice is found")
    func twice() {
        let twice = history { _ = $0.invoke(1, key: 0, session: nil) }
        #expect(check(twice, [0: [1, 1]])?.contains("twice") == true)
    }

    @Test("a majority read of what was rolled back is found, a local one is allowed")
    func rolledBack() {
        for concern in [ListHistory.Concern.majority, .snapshot, .linearizable, .local] {
            let read = history {
                _ = $0.invoke(1, key: 0, session: nil)
                let begun = $0.now()
                $0.answer(key: 0, concern, session: nil, invoked: begun, list: [1])
            }
            #expect((check(read, [0: []]) == nil) == (concern == .local), "\(concern)")
        }
    }

    @Test("a stale linearizable read is found")
    func stale() {
        let stale = history {
            let first = $0.invoke(1, key: 0, session: nil)
            $0.acknowledge(first)
            let begun = $0.now()
            $0.answer(key: 0, .linearizable, session: nil, invoked: begun, list: [])
        }
        #expect(check(stale, [0: [1]])?.contains("linearizable") == true)
    }

    @Test("appends whose order contradicts time are found")
    func order() {
        let order = history {
            let first = $0.invoke(1, key: 0, session: nil)
            $0.acknowledge(first)
            let second = $0.invoke(2, key: 0, session: nil)
            $0.acknowledge(second)
        }
        #expect(check(order, [0: [1, 2]]) == nil)
        #expect(check(order, [0: [2, 1]])?.contains("took place") == true)
    }

    @Test("a session that does not see its own write, or what its writer had seen, is found")
    func causality() {
        let own = history {
            let first = $0.invoke(1, key: 0, session: 1)
            $0.acknowledge(first)
            let begun = $0.now()
            $0.answer(key: 0, .majority, session: 1, invoked: begun, list: [])
        }
        #expect(check(own, [0: [1]])?.contains("causal session 1") == true)
        // Session 2 reads list 1, whose writer had seen list 0.
        let transitive = history {
            let first = $0.invoke(1, key: 0, session: 1)
            $0.acknowledge(first)
            let second = $0.invoke(2, key: 1, session: 1)
            $0.acknowledge(second)
            let begun = $0.now()
            $0.answer(key: 1, .majority, session: 2, invoked: begun, list: [2])
            $0.answer(key: 0, .majority, session: 2, invoked: begun, list: [])
        }
        #expect(check(transitive, [0: [1], 1: [2]])?.contains("causal session 2") == true)
    }

    @Test("two states at one time are found")
    func snapshots() {
        let at = Timestamp(seconds: 5, increment: 1)
        let two = history {
            _ = $0.invoke(1, key: 0, session: nil)
            let begun = $0.now()
            $0.answer(key: 0, .snapshot, session: nil, invoked: begun, list: [], time: at)
            $0.answer(key: 0, .snapshot, session: nil, invoked: begun, list: [1], time: at)
        }
        #expect(check(two, [0: [1]])?.contains("appends at") == true)
    }

    @Test("of a set that is unavailable, majority reads must still agree with one another")
    func unavailable() {
        let forked = history {
            _ = $0.invoke(1, key: 0, session: nil)
            _ = $0.invoke(2, key: 0, session: nil)
            let begun = $0.now()
            $0.answer(key: 0, .majority, session: nil, invoked: begun, list: [1])
            $0.answer(key: 0, .majority, session: nil, invoked: begun, list: [2, 1])
        }
        #expect(check(forked, [:], isComplete: false) != nil)
    }

    /// All orders of the operations that respect time, tried one by one.
    private static func isLinearizableByTrial(_ history: ListHistory, final: [Int64]) -> Bool {
        struct Operation {
            let begin: Int
            let end: Int
            let value: Int64?
            let list: [Int64]
        }
        var operations: [Operation] = []
        for append in history.appends where final.contains(append.value) {
            operations.append(
                Operation(begin: append.invoked, end: append.acknowledged ?? .max, value: append.value, list: []))
        }
        for read in history.reads {
            operations.append(Operation(begin: read.invoked, end: read.answered, value: nil, list: read.list))
        }
        func search(_ left: [Operation], _ state: [Int64]) -> Bool {
            if left.isEmpty { return state == final }
            for (index, next) in left.enumerated() where !left.contains(where: { $0.end < next.begin }) {
                var rest = left
                rest.remove(at: index)
                if let value = next.value {
                    if search(rest, state + [value]) { return true }
                } else if next.list == state, search(rest, state) {
                    return true
                }
            }
            return false
        }
        return search(operations, [])
    }

    @Test("the checker agrees with a search of all orders on random histories")
    func againstSearch() {
        var generator = SeededGenerator(seed: 7)
        var verdicts: [Bool: Int] = [:]
        for _ in 0..<600 {
            var history = ListHistory()
            var open: [Int] = []
            var begun: [Int] = []
            let count = 2 + generator.next(below: 2)
            var final = (1...Int64(count)).map { $0 }
            if generator.nextBool(probability: 0.3) { final.swapAt(0, Int(count) - 1) }
            var next: Int64 = 1
            for _ in 0..<8 {
                switch generator.next(below: 4) {
                case 0 where next <= Int64(count):
                    open.append(history.invoke(next, key: 0, session: nil))
                    next += 1
                case 1 where !open.isEmpty: history.acknowledge(open.remove(at: 0))
                case 2 where begun.count < 3: begun.append(history.now())
                case 3 where !begun.isEmpty:
                    let shown = Int(generator.next(below: UInt64(final.count) + 1))
                    history.answer(
                        key: 0, .linearizable, session: nil, invoked: begun.remove(at: 0), list: Array(final[..<shown]))
                default: break
                }
            }
            while next <= Int64(count) {
                _ = history.invoke(next, key: 0, session: nil)
                next += 1
            }
            let expected = Self.isLinearizableByTrial(history, final: final)
            verdicts[expected, default: 0] += 1
            #expect((ListChecker(history, final: [0: final]).linearizability() == nil) == expected)
        }
        #expect((verdicts[true] ?? 0) > 50 && (verdicts[false] ?? 0) > 50)
    }
}
