import Core
import Testing

@testable import Simulation

struct ReplayTests {
    @Test("two runs of a seed have the same trace", arguments: [false, true])
    func replay(shuffles: Bool) throws {
        for seed in UInt64(1)...24 {
            let difference = try TraceComparison.firstDifference { window in
                try runChattyWorld(seed: seed, shuffles: shuffles, recording: window)
            }
            #expect(difference == nil, "seed \(seed)")
        }
    }

    @Test("different seeds give different traces")
    func differentSeeds() throws {
        let hashes = try Set((UInt64(1)...10).map { try runChattyWorld(seed: $0).trace.hash })
        #expect(hashes.count == 10)
    }

    @Test("the workload reaches tasks, timers, messages, opens and closes")
    func coverage() throws {
        let world = try runChattyWorld(seed: 3, recording: 0..<1_000_000)
        let kinds = Set(world.trace.recorded.map(\.kind))
        #expect(kinds.isSuperset(of: [.job, .timer, .spawn, .message, .open, .accept, .close, .fault]))
        #expect(world.eventCount > 3000)
    }

    @Test("the first event in which two runs differ is named")
    func difference() throws {
        var flips = 0
        let text = try TraceComparison.firstDifference { window in
            flips += 1
            let world = SimulatedWorld(seed: 1, recording: window)
            let node = world.addNode("a")
            for index in 0..<5000 {
                // Every second run sets one timer late: what a clock that was not injected would do.
                let late = index == 4500 && flips % 2 == 0 ? 1 : 0
                node.schedule(after: .microseconds(Int64(index * 2 + late))) {}
            }
            try world.run(for: .seconds(1))
            return world
        }
        let found = try #require(text)
        #expect(found.contains("event 4501 differs: timer of a at 9000000 ns"), "\(found)")
    }

    @Test("shuffling changes the order between nodes and keeps each node's own")
    func shuffling() throws {
        var orders: Set<String> = []
        for seed in UInt64(1)...8 {
            let world = SimulatedWorld(seed: seed, shufflesNodes: true)
            var order = ""
            let nodes = ["a", "b", "c"].map { world.addNode($0) }
            for round in 0..<4 { for node in nodes { node.enqueue { order += "\(node.name)\(round) " } } }
            try world.run(for: .zero)
            for name in ["a", "b", "c"] {
                let own = order.split(separator: " ").filter { $0.hasPrefix(name) }
                #expect(own == own.sorted())
                #expect(own.count == 4)
            }
            orders.insert(order)
        }
        #expect(orders.count > 4)
    }
}
